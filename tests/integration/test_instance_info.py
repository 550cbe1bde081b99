# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module instance_info, and the git facts that it begins with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import facts
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError

from tests.integration.double_fixtures import PASSWORD, ROLE, Release, psql, run
from tests.integration.instances import HISTORY_TRIGGERS, Instance, session_that_runs, without_history

pytestmark = pytest.mark.once("trixie")

Releases = Callable[..., Release]
Databases = Callable[..., str]

MODULE = "instance_info"


@pytest.fixture
def instance(double_release: Releases, double_database: Databases) -> Callable[..., Instance]:
    """A function that puts the code of one release on a database of another."""

    def make(code: str = "2030.06.20", schema: str = "2030.06.20", treenodes: int = 1000) -> Instance:
        database = double_database(schema, treenodes)
        return Instance(double_release(code, database), database)

    return make


def git(release: Release, *arguments: str) -> str:
    return run(["git", "-c", "safe.directory=*", "-C", str(release.source), *arguments]).stdout.strip()


def test_it_says_what_is_there_and_touches_nothing(instance: Callable[..., Instance]) -> None:
    here = instance()
    with session_that_runs(here.database, "SELECT 1", "somebody else"):
        said = here.check(MODULE)
    assert not said["changed"]
    assert said["catmaid"] == {
        "commit": git(here.release, "rev-parse", "HEAD"),
        "describe": "2030.06.20",
        "branch": "",
        "dirty": False,
    }
    assert said["release"]["statistics_command"] == "catmaid_refresh_node_statistics"
    assert said["python"].startswith("3.") and said["django"][0].isdigit()

    assert said["settings"]["database"] == {
        "name": here.database,
        "host": "localhost",
        "port": 5432,
        "user": ROLE,
        "conn_max_age": 0,
    }
    assert said["settings"]["media_root"] == str(here.release.media)
    assert said["settings"]["static_root"] == str(here.release.static)
    assert said["settings"]["debug"] is False and said["settings"]["allowed_hosts"] == ["localhost"]
    assert PASSWORD not in str(said) and "a secret of the double" not in str(said)

    recorded = int(psql(here.database, "SELECT count(*) FROM django_migrations"))
    assert said["migrations"] == {"applied": recorded, "unapplied": [], "unknown": [], "orphaned": []}
    database = said["database"]
    assert (database["name"], database["owner"], database["encoding"]) == (here.database, ROLE, "UTF8")
    assert database["bytes"] == int(psql(here.database, "SELECT pg_database_size(current_database())"))
    assert database["postgis"] == database["extensions"]["postgis"] and "pg_trgm" in database["extensions"]

    assert said["materializations"]["treenode_edge"] == 1000
    assert said["materializations"]["catmaid_stats_summary"] == 0
    assert "treenode_edge" in {table["name"] for table in said["biggest_tables"]}
    assert said["sessions"] == {"somebody else": 1}
    triggers = int(psql(here.database, HISTORY_TRIGGERS))
    assert said["history_tracking"]["enabled"] and said["history_tracking"]["triggers"] == triggers

    without_history(here.database)
    again = here.run(MODULE, biggest_tables=2)
    assert again["history_tracking"] == {"enabled": False, "triggers": 0}
    assert len(again["biggest_tables"]) == 2
    assert psql(here.database, HISTORY_TRIGGERS) == "0"


def test_migrations_to_come_and_from_the_future(instance: Callable[..., Instance]) -> None:
    older = instance("2030.06.20", "2030.01.15", treenodes=0).run(MODULE)
    assert older["migrations"]["unapplied"][0] == "catmaid.0006_add_deep_link_model"
    newer = instance("2030.06.20", "2030.12.21", treenodes=0).run(MODULE)
    assert newer["migrations"]["unknown"] == ["catmaid.0009_add_samplers", "catmaid.0010_tidy_names"]
    assert newer["migrations"]["unapplied"] == []


def test_local_changes_and_branches(instance: Callable[..., Instance]) -> None:
    here = instance("maintenance/2030.01.15", "2030.01.15", treenodes=0)
    said = here.run(MODULE)["catmaid"]
    assert said["branch"] == "maintenance/2030.01.15" and not said["dirty"]
    assert said["describe"].startswith("2030.01.15-")
    (here.release.source / "README.md").write_text("changed\n")
    assert here.run(MODULE)["catmaid"]["dirty"]


def test_a_checkout_of_another_user(instance: Callable[..., Instance]) -> None:
    """Git distrusts a repository whose folder belongs to somebody else; the facts are asked for all the same."""
    here = instance(treenodes=0)
    run(["chown", "root:", str(here.release.source), str(here.release.source / ".git")])
    assert here.run(MODULE, project_user="catmaid")["catmaid"]["describe"] == "2030.06.20"


def test_a_worktree_and_what_is_no_checkout(double_release: Releases, double_folder: Path) -> None:
    release = double_release("2030.06.20")
    tree = double_folder / "worktree"
    git(release, "worktree", "add", "-q", "--detach", str(tree), "2030.12.21")
    run(["chown", "-R", "catmaid:", str(tree), str(release.source)])
    assert facts.source(str(tree)).describe == "2030.12.21"
    assert facts.source(str(tree), "catmaid") == facts.source(str(tree), "root")

    bare = double_folder / "no-checkout"
    bare.mkdir()
    for path, cause in (
        (bare, "it is no git checkout"),
        (release.source / "django", "it belongs to the checkout"),
        (bare / "nowhere", "there is no such folder"),
    ):
        with pytest.raises(CatmaidError, match=cause):
            facts.source(str(path))
