# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings files as labs have them: the block of ours, and what is found wrong in them without running them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import settings_rules
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django import settings_file
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError

HOSTILE = "' \" \\ $ % # { } : \n end"

# What a lab could have written over ten years, in our words.
OLD = """\
import hashlib
import djcelery
from mysite.settings_base import *

djcelery.setup_loader()
DEBUG = False
ALLOWED_HOSTS = ["a.example.org"]
NODE_PROVIDER = 'postgis2d'
STATIC_EXTENSION_FILES = ('lab.js',)
STATIC_EXTENSION_ROOT = "/tmp"
COOKIE_SUFFIX = hashlib.md5(CATMAID_URL).hexdigest()
if DEBUG:
    NODE_LIST_MAXIMUM_COUNT = "3500"
DEBUG = True
CHANNELS_LAYERS["default"] = {}
"""
GOOD = """\
from mysite.settings_base import *

SECRET_KEY = open("/etc/key").read()
ALLOWED_HOSTS = ["a.example.org"]
STATIC_EXTENSION_FILES += ("lab.js",)
NODE_PROVIDERS = ["postgis2d", ("cached_json", {"enabled": True})]
NODE_LIST_MAXIMUM_COUNT = None
DIGEST = hashlib.md5()


def later():
    DEBUG = True
"""


def lint(tmp_path: Path, text: str, mode: int = 0o640) -> list[tuple[str, int]]:
    path = tmp_path / "settings.py"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return [(finding["setting"], finding["line"]) for finding in settings_rules.lint(str(path), text)]


def test_finds_what_is_wrong_by_line(tmp_path: Path) -> None:
    assert lint(tmp_path, OLD) == [
        ("INSTALLED_APPS", 2),
        ("NODE_PROVIDER", 8),
        ("STATIC_EXTENSION_FILES", 9),
        ("STATIC_EXTENSION_ROOT", 10),
        ("COOKIE_SUFFIX", 11),
        ("NODE_LIST_MAXIMUM_COUNT", 13),
        ("DEBUG", 14),
        ("CHANNELS_LAYERS", 15),
    ]


@pytest.mark.parametrize(
    ("line", "setting"),
    [
        ("ALLOWED_HOSTS = []", "ALLOWED_HOSTS"),
        ("ALLOWED_HOSTS = ['*']", "ALLOWED_HOSTS"),
        ("ALLOWED_HOSTS = None", "ALLOWED_HOSTS"),
        ("NODE_PROVIDERS = 'postgis2d'", "NODE_PROVIDERS"),
        ("NODE_LIST_MAXIMUM_COUNT = True", "NODE_LIST_MAXIMUM_COUNT"),
        ("from kombu import Exchange", "INSTALLED_APPS"),
        ("CHANNELS_LAYERS = {}", "CHANNELS_LAYERS"),
    ],
)
def test_finds_each_fault(tmp_path: Path, line: str, setting: str) -> None:
    assert lint(tmp_path, f"{line}\n") == [(setting, 1)]


def test_has_nothing_to_say_of_a_good_one(tmp_path: Path) -> None:
    assert lint(tmp_path, GOOD) == []
    assert lint(tmp_path, GOOD, 0o644) == [("SECRET_KEY", 0)]


@pytest.mark.parametrize("text", [GOOD, GOOD.rstrip("\n"), "", GOOD.replace("\n", "\r\n")])
def test_the_block_comes_and_goes_without_a_trace(text: str) -> None:
    values = {"NODE_LIST_MAXIMUM_COUNT": 20000, "LAB_NAME": HOSTILE, "NODE_PROVIDERS": ["postgis2d"]}
    written = settings_file.with_block("p", text, values, {"CONN_MAX_AGE": 60})
    assert settings_file.with_block("p", written, values, {"CONN_MAX_AGE": 60}) == written
    found = {"DATABASES": {"default": {}}}
    exec(written.replace(GOOD.splitlines()[0], "").partition(settings_file.BEGIN)[2], found)
    assert {name: found[name] for name in values} == values
    assert found["DATABASES"] == {"default": {"CONN_MAX_AGE": 60}}
    other = settings_file.with_block("p", written, {"DEBUG": False}, {})
    assert "LAB_NAME" not in other
    assert settings_file.with_block("p", other, {}, {}) == text


def test_shows_only_the_block_and_no_secret_in_it() -> None:
    values = {"EMAIL_HOST_PASSWORD": "hush", "NODE_LIST_MAXIMUM_COUNT": 5, "LAB": "quiet"}
    written = settings_file.with_block("p", f"{GOOD}OTHER = 'mine'\n", values, {"PASSWORD": "hush"})
    shown = settings_file.shown(written, ["LAB"])
    assert "NODE_LIST_MAXIMUM_COUNT = 5\n" in shown
    assert not [word for word in ("hush", "quiet", "mine") if word in shown]
    assert settings_file.shown(GOOD, []) == ""


def test_refuses_what_it_cannot_understand(tmp_path: Path) -> None:
    with pytest.raises(CatmaidError, match="line 2"):
        settings_file.parse("p", "A = 1\nB = (\n")
    with pytest.raises(CatmaidError, match="not just one pair"):
        settings_file.with_block("p", f"A = 1\n{settings_file.BEGIN}\nB = 2\n", {"C": 3}, {})
    with pytest.raises(CatmaidError, match="is no name of a setting"):
        settings_file.with_block("p", "", {"a; import os": 1}, {})
    with pytest.raises(CatmaidError, match="not in UTF-8"):
        (tmp_path / "latin").write_bytes(b"# \xe9\n")
        settings_file.read(str(tmp_path / "latin"))


def test_writes_the_name_that_is_read_today() -> None:
    assert settings_rules.current_names({"NODE_PROVIDER": "postgis2d"}) == {"NODE_PROVIDERS": ["postgis2d"]}
    both = {"NODE_PROVIDER": "postgis2d", "NODE_PROVIDERS": ["postgis3d"]}
    assert settings_rules.current_names(both) == {"NODE_PROVIDERS": ["postgis3d"]}
