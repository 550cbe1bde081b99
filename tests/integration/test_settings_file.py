# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module settings_file: the application itself says what comes of a text before that is its settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.double_fixtures import Release
from tests.integration.instances import finish, start

pytestmark = pytest.mark.once("bookworm")

HOSTILE = "' \" \\ $ % # { } : end"


def write(release: Release, check: bool = False, **more: object) -> dict[str, object]:
    parameters = {"project_path": str(release.source), "virtualenv": str(release.env), "_ansible_check_mode": check}
    return finish(start("settings_file", **parameters, **more))


def path(release: Release) -> Path:
    return release.source / "django/projects/mysite/settings.py"


def asked(release: Release, expression: str) -> object:
    printed = release.manage(
        "shell", "-c", f"import json; from django.conf import settings; print(json.dumps({expression}))"
    )
    return json.loads(printed.stdout.splitlines()[-1])


def test_values_come_out_as_they_went_in(
    double_release: Callable[..., Release], double_database: Callable[..., str]
) -> None:
    release = double_release("2030.06.20", double_database("2030.06.20", 0))
    file = path(release)
    before, stat = file.read_bytes(), file.stat()
    wanted = {
        "values": {"LAB": HOSTILE, "NODE_LIST_MAXIMUM_COUNT": None, "EMAIL_BACKEND": "mine", "MEDIA_ROOT": "/srv/m"},
        "secret_values": {"LAB_TOKEN": HOSTILE * 2},
        "database": {"CONN_MAX_AGE": 60},
    }
    assert write(release, check=True, **wanted)["changed"]
    assert file.read_bytes() == before
    said = write(release, **wanted)
    assert said["changed"] and said["path"] == str(file)
    assert HOSTILE * 2 not in json.dumps(said).encode().decode("unicode_escape")
    assert Path(str(said["backup_file"])).read_bytes() == before
    now = file.stat()
    assert (now.st_uid, now.st_gid, now.st_mode) == (stat.st_uid, stat.st_gid, stat.st_mode)
    assert asked(release, "[settings.LAB, settings.LAB_TOKEN]") == [HOSTILE, HOSTILE * 2]
    assert asked(release, "settings.DATABASES['default']['CONN_MAX_AGE']") == 60
    assert not write(release, **wanted)["changed"]
    assert write(release, state="absent", backup=False)["backup_file"] == ""
    assert file.read_bytes() == before


def test_what_is_wrong_is_said_and_nothing_is_written(
    double_release: Callable[..., Release], double_database: Callable[..., str]
) -> None:
    release = double_release("2030.06.20", double_database("2030.06.20", 0))
    file = path(release)
    before = file.read_bytes()
    for values, message in (
        ({"STATIC_EXTENSION_FILES": "lab.js"}, "ImproperlyConfigured: The setting STATIC_EXTENSION_FILES must be"),
        ({"not a name": 1}, "'not a name' is no name of a setting"),
    ):
        for check in (True, False):
            assert message in str(write(release, check=check, values=values)["msg"])
    assert file.read_bytes() == before
    assert write(release, values={"LAB": 1})["changed"]
    with file.open("a", encoding="utf-8") as text:
        text.write("LAB = 2\n")
    assert asked(release, "settings.LAB") == 2
    assert write(release, values={"LAB": 1})["changed"]  # by going behind it
    assert asked(release, "settings.LAB") == 1
    file.write_text("A = (\n", encoding="utf-8")
    assert "Somebody has broken it" in str(write(release, values={"LAB": 1})["msg"])
    file.write_bytes(before + b'NODE_PROVIDER = "postgis2d"\n')
    lines = {finding["setting"]: finding["line"] for finding in write(release)["findings"]}
    assert "nothing reads it" in str(write(release, values={"LAB": 1}, strict=True)["msg"])
    assert lines["NODE_PROVIDER"] == before.count(b"\n") + 1
