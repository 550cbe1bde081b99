# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restore_plan: whether a backup fits to the code that serves, said before anything is restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.cluster_fixtures import Cluster
from tests.integration.double_fixtures import SERVICE_USER, Release, drop_database
from tests.integration.support import run_module
from tests.integration.test_pg_restore import foreign

pytestmark = pytest.mark.once("trixie")

OLD, NEW = "2030.01.15", "2030.06.20"

Releases = Callable[..., Release]
Databases = Callable[..., str]


def project(release: Release) -> dict[str, Any]:
    return {"project_path": str(release.source), "virtualenv": str(release.env), "project_user": SERVICE_USER}


def backup(release: Release, database: str, dest: str) -> str:
    made = run_module("pg_dump", login_db=database, dest=dest, project_path=str(release.source))
    assert not made.failed, made.result["msg"]
    return str(made.result["path"])


def plan(release: Release, database: str, archive: str, **options: Any) -> dict[str, Any]:
    return run_module("restore_plan", login_db=database, archive=archive, **{**project(release), **options}).result


@pytest.fixture(scope="module")
def releases(double_release: Releases) -> dict[str, Release]:
    """Both releases, whose settings lead to no database that exists."""
    return {version: double_release(version, "nowhere") for version in (OLD, NEW)}


def test_tells_which_way_the_migrations_differ(
    releases: dict[str, Release], double_database: Databases, dest: str
) -> None:
    old, new = (double_database(version, 0) for version in (OLD, NEW))
    of_old, of_new = (backup(releases[v], name, dest) for v, name in ((OLD, old), (NEW, new)))

    equal = plan(releases[OLD], old, of_old)
    assert (equal["same"], equal["unknown"], equal["forward"], equal["changed"]) == (True, [], [], False)
    assert 0 < equal["needed"] < equal["free"]
    assert "their migrations are equal" in equal["summary"][0]

    later = plan(releases[NEW], new, of_old)
    assert (later["same"], later["unknown"]) == (False, [])
    assert any(name.startswith("catmaid.0006") for name in later["forward"])
    assert f"made with {OLD}, {NEW} serves" in later["summary"][0]

    earlier = plan(releases[OLD], old, of_new)
    assert (earlier["same"], earlier["forward"]) == (False, [])
    assert any(name.startswith("catmaid.0006") for name in earlier["unknown"])
    assert f"made with {NEW}, {OLD} serves" in earlier["summary"][0]
    assert earlier["backup"]["describe"] == NEW
    assert earlier["code"] == {**equal["code"], "dirty": False}

    # and when the database is gone
    drop_database(old)
    assert plan(releases[OLD], old, of_new)["unknown"] == earlier["unknown"]


def test_tells_whether_the_instance_moves(
    releases: dict[str, Release],
    double_release: Releases,
    double_database: Databases,
    dest: str,
    cluster: Cluster,
) -> None:
    database = double_database(OLD, 0)
    archive = backup(releases[OLD], database, dest)
    live, elsewhere = double_release(OLD, database), double_release(OLD, database, 'DATABASES["default"]["PORT"] = 1\n')
    # known by the server that answers, or by host and port when none does
    stays = [plan(release, database, archive) for release in (live, releases[OLD])]
    moves = [
        plan(elsewhere, database, archive),
        *(plan(release, database, archive, **cluster.peer) for release in (live, releases[OLD])),
    ]
    assert [(found["moves"], len(found["summary"])) for found in stays] == [(False, 2)] * 2
    assert [(found["moves"], len(found["summary"])) for found in moves] == [(True, 3)] * 3
    assert moves[0]["settings_lead_to"] == {"host": "localhost", "port": 1}
    assert moves[1]["settings_lead_to"] == {"host": "localhost", "port": 5432}
    assert "its settings lead to localhost port 5432 now" in moves[1]["summary"][2]


def test_knows_little_of_a_foreign_archive(
    releases: dict[str, Release], double_database: Databases, tmp_path: Path
) -> None:
    database = double_database(OLD, 0)
    found = plan(releases[OLD], database, str(foreign(database, tmp_path, "c")))
    assert (found["backup"], found["unknown"], found["forward"]) == ({"commit": "", "describe": ""}, [], [])
    size = int(support.value("postgres", f"SELECT pg_database_size('{database}')"))
    assert abs(found["needed"] - size) < 1_000_000
    assert plan(releases[OLD], "gone", str(tmp_path / "foreign c"))["needed"] == 0
