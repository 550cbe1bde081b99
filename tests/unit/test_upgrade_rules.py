# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What releases are known to want: each rule meets a host that it speaks of, and one that it does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid.commits import Position
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import migrations, requirements, rules
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.host import Host, PostGIS
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.known import RULES
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.settings import parse

GB = 1_000_000_000
MODERN = "from mysite.settings_base import *\nREQUIRE_EXTRA_TOKEN_PERMISSIONS = False\n"
WHOLE = Host(
    python=(3, 8),
    interpreter="/usr/bin/python3.8",
    server=130010,
    postgis=PostGIS("3.1.4", "3.1.4", "3.1.4"),
    extensions={"postgis": "3.1.4", "pg_trgm": "1.5"},
    settings=parse(MODERN),
    gdal=32,
    database_bytes=4 * GB,
    database_free=9 * GB,
    database_folder="/var/lib/postgresql",
    release_bytes=GB,
    release_free=2 * GB,
)
EVERYTHING = ("2015.12.21", "2021.12.21+")
AUTOMATIC = {"rest-swagger", "compiled-migrations", "asgi-packages", "pip"}
ALWAYS = {"project-configuration", "error-codes", "reindex"}


def names(found: Iterable[rules.Finding]) -> set[str]:
    return {finding.name for finding in found if finding.level != rules.FULFILLED}


def host(settings: str = "", texts: dict[str, str] | None = None, **different: Any) -> Host:
    if settings:
        different["settings"] = parse(f"{MODERN}{settings}\n")
    return replace(WHOLE, **different)


def test_a_host_that_meets_all_has_nothing_to_do_but_what_nobody_can_see() -> None:
    found = rules.evaluate(RULES, *EVERYTHING, WHOLE)
    assert names(found) == AUTOMATIC | ALWAYS
    assert {finding.level for finding in found if finding.name in AUTOMATIC} == {rules.AUTOMATIC}
    assert len(found) == len(RULES) == len({rule.name for rule in RULES})


@pytest.mark.parametrize(
    ("name", "level", "found", "different"),
    [
        ("settings-import", "error", "line 3", {"settings": "from settings_base import *"}),
        ("djcelery", "error", "line 3", {"settings": "import djcelery\ndjcelery.setup_loader()"}),
        ("python-3-settings", "error", "line 4", {"settings": "A = 1\nprint 'no'"}),
        ("cookie-suffix", "error", "CATMAID_URL", {"settings": "S = hashlib.md5(CATMAID_URL).hexdigest()"}),
        ("node-providers", "action", "line 3", {"settings": "NODE_PROVIDER = 'postgis2d'"}),
        ("extensions", "action", "line 3", {"settings": "INSTALLED_APPS += ('synapsesuggestor',)"}),
        ("pg_trgm", "error", "no extension", {"extensions": {"postgis": "3.1.4"}}),
        ("token-permission", "action", "otherwise", {"settings": None}),
        ("postgis-2.5", "error", "2.4.1", {"postgis": PostGIS("2.4.1", "2.4.1")}),
        ("postgis-3.1", "error", "3.0.2", {"postgis": PostGIS("3.0.2", "3.0.2")}),
        ("channel-layers", "error", "line 3", {"settings": "CHANNEL_LAYERS['default']['BACKEND'] = 'x'"}),
        ("channels-layers", "action", "line 3", {"settings": "CHANNELS_LAYERS = {}"}),
        ("gdal", "error", "GDAL 1", {"gdal": 1}),
        ("rewritten-tables", "error", "are needed", {"database_free": 4 * GB}),
        ("asgi-application", "error", "routing", {"settings": "ASGI_APPLICATION = 'mysite.routing.application'"}),
    ],
)
def test_what_a_host_lacks_is_told(name: str, level: str, found: str, different: dict[str, Any]) -> None:
    if "settings" in different and different["settings"] is None:
        here = replace(WHOLE, settings=parse("from mysite.settings_base import *"))
    else:
        here = host(**different)
    (told,) = [finding for finding in rules.evaluate(RULES, *EVERYTHING, here) if finding.name == name]
    assert told.level == level and found in told.found and told.remedy


def test_settings_that_are_as_they_should_be_are_left_alone() -> None:
    good = """\
COOKIE_SUFFIX = hashlib.md5(CATMAID_URL.encode('utf-8')).hexdigest()
CHANNEL_LAYERS = {'default': {}}
CHANNEL_LAYERS['default']['BACKEND'] = 'x'
NODE_PROVIDERS = ['postgis3d']
ASGI_APPLICATION = 'mysite.asgi.application'
"""
    assert names(rules.evaluate(RULES, *EVERYTHING, host(good))) == AUTOMATIC | ALWAYS


def test_a_broken_settings_file_is_told_of_without_its_text() -> None:
    here = host("PASSWORD = 'secret")
    assert "secret" not in str(rules.evaluate(RULES, *EVERYTHING, here))


@pytest.mark.parametrize(
    ("old", "new", "some", "none"),
    [
        ("2019.06.20", "2020.02.15", "asgi-packages", "compiled-migrations"),
        ("2020.02.15", "2021.12.21", "pip", "asgi-packages"),
        ("2021.12.21", "2021.12.21+", "reindex", "pip"),
        ("2019.06.20", "2021.12.21+", "reindex", "compiled-migrations"),
    ],
)
def test_only_releases_between_have_a_say(old: str, new: str, some: str, none: str) -> None:
    said = {finding.name for finding in rules.evaluate(RULES, old, new, WHOLE)}
    assert some in said and none not in said


@pytest.mark.parametrize(
    ("release", "coming", "different", "lacking"),
    [
        ("2021.12.21", False, {}, set()),
        ("2021.12.21", False, {"python": (3, 10)}, {"python"}),
        ("2021.12.21", True, {"python": (3, 10)}, set()),
        ("2021.12.21", True, {"python": (3, 7), "server": 120000}, {"python", "postgresql"}),
        ("2021.12.21", False, {"python": ()}, {"python"}),
        ("2021.12.21", False, {"postgis": PostGIS("3.1.4", "3.3.2", "3.3.2")}, {"postgis-update"}),
        ("2021.12.21", False, {"postgis": PostGIS("3.1.4", problem="could not access file")}, {"postgis-library"}),
        ("2021.12.21", False, {"postgis": PostGIS()}, {"postgis"}),
        ("2021.12.21", False, {"database_free": GB}, {"disk-copy"}),
        ("2021.12.21", False, {"database_free": GB, "protect": "none"}, set()),
        ("2021.12.21", False, {"database_free": GB, "protect": "dump", "dump_free": 9 * GB}, set()),
        ("2021.12.21", False, {"protect": "dump", "dump_bytes": 2 * GB, "dump_free": GB}, {"disk-dump"}),
        ("2021.12.21", False, {"database_free": None}, set()),
        ("2021.12.21", False, {"release_free": GB // 2}, {"disk-release"}),
        ("", False, {"python": (3, 5)}, set()),
    ],
)
def test_what_the_wanted_version_needs(
    release: str, coming: bool, different: dict[str, Any], lacking: set[str]
) -> None:  # fmt: skip
    here = host(**different)
    assert names(rules.of_target(Position("c0ffee", "x", release, 305 if coming else 0), coming, here)) == lacking


@pytest.mark.parametrize(("dump_free", "level"), [(2 * GB, rules.NOTE), (GB, rules.ERROR), (None, rules.ERROR)])
def test_a_dump_stands_in_for_a_copy_without_room(dump_free: int | None, level: str) -> None:
    target = Position("c0ffee", "x", "2021.12.21", 0)
    here = host(database_free=GB, dump_bytes=2 * GB, dump_free=dump_free, dump_folder="/var/backups")
    found = {finding.name: finding for finding in rules.of_target(target, False, here)}
    assert found["disk-copy"].level == level
    assert ("dump" in found["disk-copy"].line()) and "disk-dump" not in found


def test_operations_are_read_from_the_source() -> None:
    source = """
class Migration(migrations.Migration):
    operations = [
        migrations.RunSQL("DELETE FROM treenode", "SELECT 1"),
        migrations.AddField(model_name="deeplink", name="is_public", field=models.BooleanField()),
        CreateModel("Sampler", fields=[]),
        migrations.RenameField("a", "old", "new"),
        *more(),
    ]
"""
    assert migrations.operations(source) == [
        "RunSQL",
        "AddField deeplink is_public",
        "CreateModel Sampler",
        "RenameField a old",
        "made when it runs",
    ]
    assert migrations.operations("print 'old'") == ["not readable as Python 3"]


def test_requirements_are_compared_by_package() -> None:
    text = "# all\nDjango_X==3.0  # why\n-r other.txt\nscipy==1; python_version < '3'\nscipy==2\n\nujson\n"
    assert requirements.wanted(text) == {
        "django-x": "==3.0",
        "scipy": "==1; python_version < '3' or ==2",
        "ujson": "any",
    }
