# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rebuild_materializations on filled databases of the double."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from tests.integration.double_fixtures import Release, fingerprint, psql, wait_for
from tests.integration.instances import (
    HISTORY_TRIGGERS,
    Instance,
    finish,
    go_on,
    session_that_runs,
    snapshot,
    surveyed,
    without_history,
)

pytestmark = pytest.mark.once("trixie")

Releases = Callable[..., Release]
Databases = Callable[..., str]

MODULE = "rebuild_materializations"
ALL = (
    "treenode_edge",
    "treenode_connector_edge",
    "connector_geom",
    "catmaid_stats_summary",
    "catmaid_skeleton_summary",
)
# When an hour ends during a test, statistics have it, too: what is compared ends before.
THIS_HOUR = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:00+00")
# Written anew by each rebuild, or taken from a sequence.
VOLATILE = ("id", "last_summary_update", "last_editor_id")
IMPORTED = "SELECT string_agg(num_imported_nodes::text, ',' ORDER BY skeleton_id) FROM catmaid_skeleton_summary"
CACHED = 'NODE_PROVIDERS = [("cached_msgpack", {"enabled": True})]\n'
UNKNOWN = "INSERT INTO django_migrations (app, name, applied) VALUES ('catmaid', '9999_of_the_future', now())"
KNOWN = "DELETE FROM django_migrations WHERE name = '9999_of_the_future'"
OURS_ARE_GONE = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'catmaid.admin/rebuild/%')"


@pytest.fixture
def instance(double_release: Releases, double_database: Databases) -> Callable[..., Instance]:
    """A function that makes an instance whose statistics are filled, as an old instance has them."""

    def make(version: str = "2030.06.20", treenodes: int = 3000, more: str = "") -> Instance:
        database = double_database(version, treenodes)
        here = Instance(double_release(version, database, more), database)
        name = "refresh_node_statistics" if version > "2030.02" else "populate_summary_tables"
        here.release.manage(f"catmaid_{name}", "--clean")
        return here

    return make


def contents(database: str, tables: tuple[str, ...] = ALL) -> dict[str, str]:
    """Return what is in the derived tables."""
    keep = {"treenode_edge": (), "treenode_connector_edge": (), "connector_geom": ()}
    until = {"catmaid_stats_summary": f"date < '{THIS_HOUR}'"}
    return {
        table: fingerprint(database, table, keep.get(table, VOLATILE), until.get(table, "true")) for table in tables
    }


@pytest.mark.parametrize("version", ["2030.01.15", "2030.06.20"])
def test_empty_tables_come_back_as_they_were(instance: Callable[..., Instance], version: str) -> None:
    here = instance(version)
    before, imported = contents(here.database), psql(here.database, IMPORTED)
    fresh = here.check(MODULE)
    assert not fresh["changed"] and fresh["stale"] == [] and fresh["unused"] == ["node_query_cache"]

    psql(here.database, "TRUNCATE treenode_edge, treenode_connector_edge, connector_geom, catmaid_stats_summary")
    without_history(here.database)
    planned = here.check(MODULE)
    assert planned["changed"] and planned["rebuilt"] == ["edges", "node_statistics"]
    reasons = {finding["table"]: finding["reason"] for finding in planned["stale"]}
    assert reasons["treenode_edge"] == "3000 rows missing"
    assert reasons["catmaid_stats_summary"].endswith("hours missing")
    assert planned["rows"]["treenode_edge"] == {"before": 0, "after": 0}

    done = here.run(MODULE)
    assert done["rebuilt"] == planned["rebuilt"] and done["stale"] == planned["stale"]
    assert done["diff"] == planned["diff"] and done["changed"]
    assert done["rows"]["treenode_edge"] == {"before": 0, "after": 3000}
    assert set(done["duration"]["materializations"]) == {"edges", "node_statistics"}
    assert contents(here.database) == before and psql(here.database, IMPORTED) == imported
    # No system checks were run on the way: they would have switched history tracking on again.
    assert psql(here.database, HISTORY_TRIGGERS) == "0"

    unchanged = snapshot(here.database)
    assert not here.run(MODULE)["changed"]
    assert snapshot(here.database) == unchanged


STALE = {
    "a geometry that is off": (
        "UPDATE treenode_edge SET edge = ST_Translate(edge, 0, 0, 1) WHERE id = (SELECT min(id) FROM treenode)",
        ("edges", "treenode_edge", "1 rows different"),
    ),
    "a wrong parent": (
        "UPDATE treenode_edge SET parent_id = 0 WHERE id = (SELECT max(id) FROM treenode)",
        ("edges", "treenode_edge", "1 rows different"),
    ),
    "an edge of nothing": (
        "INSERT INTO treenode_edge SELECT 0, NULL, 1, edge FROM treenode_edge LIMIT 1",
        ("edges", "treenode_edge", "1 rows too many"),
    ),
    "a missing connector edge": (
        "DELETE FROM treenode_connector_edge WHERE id = (SELECT min(id) FROM treenode_connector_edge)",
        ("edges", "treenode_connector_edge", "1 rows missing"),
    ),
    "the same connector twice": (
        "INSERT INTO connector_geom SELECT * FROM connector_geom LIMIT 1",
        ("edges", "connector_geom", "1 rows too many"),
    ),
    "one hour's statistics lost": (
        "DELETE FROM catmaid_stats_summary WHERE id = (SELECT id FROM catmaid_stats_summary ORDER BY date LIMIT 1)",
        ("node_statistics", "catmaid_stats_summary", "1 hours missing"),
    ),
    "an hour with too few nodes": (
        """UPDATE catmaid_stats_summary SET n_treenodes = n_treenodes - 1 WHERE id =
        (SELECT id FROM catmaid_stats_summary WHERE n_treenodes > 0 ORDER BY date LIMIT 1)""",
        ("node_statistics", "catmaid_stats_summary", "1 hours different"),
    ),
    "a skeleton that vanished": (
        "DELETE FROM catmaid_skeleton_summary WHERE skeleton_id = (SELECT max(skeleton_id) FROM treenode)",
        ("skeleton_summary", "catmaid_skeleton_summary", "1 skeletons missing"),
    ),
    "a wrong number of nodes": (
        "UPDATE catmaid_skeleton_summary SET num_nodes = 1 WHERE skeleton_id = (SELECT min(skeleton_id) FROM treenode)",
        ("skeleton_summary", "catmaid_skeleton_summary", "1 skeletons different"),
    ),
}


@pytest.mark.parametrize("damage", list(STALE))
def test_only_what_is_stale_is_rebuilt(instance: Callable[..., Instance], damage: str) -> None:
    here = instance(treenodes=1000)
    before = contents(here.database)
    sql, (name, table, reason) = STALE[damage]
    psql(here.database, sql)
    files = "SELECT string_agg(relfilenode::text, ' ' ORDER BY relname) FROM pg_class WHERE relname = ANY('{%s}')"
    others = files % ",".join(other for other in ALL if other != table and name != "edges")
    untouched = psql(here.database, others)

    done = here.run(MODULE)
    assert done["stale"] == [{"materialization": name, "table": table, "reason": reason}]
    assert done["rebuilt"] == [name]
    assert contents(here.database) == before
    assert psql(here.database, others) == untouched
    assert not here.run(MODULE)["changed"]


def test_what_is_not_stale(instance: Callable[..., Instance]) -> None:
    """Statistics that lack the newest hours, hours with deleted nodes, a skeleton that has lost all its nodes."""
    here = instance(treenodes=1000)
    psql(
        here.database,
        """DELETE FROM catmaid_stats_summary WHERE date > (SELECT min(date) FROM catmaid_stats_summary);
        UPDATE catmaid_stats_summary SET n_treenodes = n_treenodes + 1;
        UPDATE catmaid_stats_summary s SET date = date_trunc('hour', h.date)
          FROM (SELECT min(creation_time) AS date FROM treenode) h;
        INSERT INTO catmaid_skeleton_summary (skeleton_id, project_id, original_creation_time, last_edition_time,
                                              num_nodes, cable_length, last_editor_id)
        SELECT id, project_id, now(), now(), 0, 0, user_id FROM class_instance
         WHERE id NOT IN (SELECT skeleton_id FROM catmaid_skeleton_summary) LIMIT 1""",
    )
    stale = here.check(MODULE)["stale"]
    assert [finding for finding in stale if finding["materialization"] != "node_statistics"] == []
    # What is behind the newest hour of a project is counted by CATMAID itself.
    psql(here.database, "UPDATE treenode SET creation_time = now(), edition_time = now()")
    assert here.check(MODULE, materializations=["node_statistics"])["stale"] == []


def test_force_keeps_what_the_stock_rebuild_loses(instance: Callable[..., Instance]) -> None:
    here = instance()
    # A skeleton with a single node, which once vanished in a rebuild.
    psql(
        here.database,
        """INSERT INTO class_instance (user_id, project_id, class_id, name)
           SELECT user_id, project_id, class_id, 'single' FROM class_instance i
            WHERE id = (SELECT min(skeleton_id) FROM treenode);
           INSERT INTO treenode (user_id, editor_id, project_id, skeleton_id, location_x, location_y, location_z)
           SELECT user_id, user_id, project_id, id, 1, 2, 3 FROM class_instance WHERE name = 'single'""",
    )
    before, imported = contents(here.database), psql(here.database, IMPORTED)
    assert any(number != "0" for number in imported.split(","))
    assert not here.check(MODULE)["changed"]
    done = here.run(MODULE, force=True)
    assert done["rebuilt"] == ["edges", "node_statistics", "skeleton_summary"] and done["stale"] == []
    assert not done.get("warnings")
    assert contents(here.database) == before and psql(here.database, IMPORTED) == imported
    assert all(rows["before"] == rows["after"] for rows in done["rows"].values())


def test_an_empty_summary_is_rebuilt_with_a_warning(instance: Callable[..., Instance]) -> None:
    here = instance()
    psql(here.database, "TRUNCATE catmaid_skeleton_summary")
    assert not here.check(MODULE, materializations=["edges"])["changed"]
    done = here.run(MODULE, materializations=["skeleton_summary"])
    assert list(done["rows"]) == ["catmaid_skeleton_summary"]
    assert "6 skeletons were missing in catmaid_skeleton_summary" in str(done["warnings"])
    assert not here.run(MODULE)["changed"]


def test_the_cache_is_looked_at_when_the_settings_use_it(instance: Callable[..., Instance]) -> None:
    here = instance(treenodes=1000, more=CACHED)
    planned = here.check(MODULE)
    assert planned["rebuilt"] == ["node_query_cache"] and planned["unused"] == []
    done = here.run(MODULE)
    assert done["rows"]["node_query_cache"]["after"] > 0
    assert not here.run(MODULE)["changed"]


def test_another_database_than_that_of_the_settings(
    instance: Callable[..., Instance], double_database: Databases
) -> None:
    live = instance()
    beside = Instance(live.release, double_database("2030.06.20", 1000))
    psql(beside.database, "TRUNCATE treenode_edge, catmaid_stats_summary")
    before, media = snapshot(live.database), sorted(live.release.media.rglob("*"))
    done = beside.run(MODULE, force=True)
    assert done["rows"]["treenode_edge"] == {"before": 0, "after": 1000}
    assert snapshot(live.database) == before
    assert sorted(live.release.media.rglob("*")) == media


def test_a_killed_rebuild_loses_nothing(instance: Callable[..., Instance]) -> None:
    here = instance()
    before = contents(here.database), psql(here.database, IMPORTED)
    # The reviews are read by the statistics only: they stop after the table was emptied and before it is filled.
    kill_in_the_middle(here, "review", "node_statistics", "catmaid_stats_summary")
    # The summary's function reads the nodes, after its table was emptied.
    kill_in_the_middle(here, "treenode", "skeleton_summary", "catmaid_skeleton_summary")
    # CATMAID's own command, which is used where the contents of a release are not known.
    psql(here.database, UNKNOWN)
    kill_in_the_middle(here, "connector", "edges", "treenode_edge")
    psql(here.database, KNOWN)
    assert (contents(here.database), psql(here.database, IMPORTED)) == before
    assert here.run(MODULE, force=True)["changed"]
    assert (contents(here.database), psql(here.database, IMPORTED)) == before


def kill_in_the_middle(here: Instance, blocked: str, name: str, emptied: str) -> None:
    """Kill a rebuild that holds the table it has emptied, and waits for another one to fill it from."""
    holds = f"""EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.granted
        AND l.relation = '{emptied}'::regclass AND l.mode = 'AccessExclusiveLock'
        AND a.application_name LIKE 'catmaid.admin/rebuild/%' AND a.wait_event_type = 'Lock')"""
    blocking = f"LOCK TABLE {blocked} IN ACCESS EXCLUSIVE MODE"
    with surveyed(here, name) as process, session_that_runs(here.database, blocking):
        go_on(process)
        wait_for(here.database, holds)
        process.kill()
        process.wait()
        # Nobody is left, also while the lock that it waited for is still held.
        wait_for(here.database, OURS_ARE_GONE)


def test_who_holds_the_lock_is_named(instance: Callable[..., Instance]) -> None:
    here = instance(treenodes=1000)
    before = contents(here.database)
    for name, table in (("edges", "treenode_edge"), ("skeleton_summary", "catmaid_skeleton_summary")):
        with session_that_runs(here.database, f"LOCK TABLE {table} IN ACCESS SHARE MODE", "slow page"):
            failed = here.fail(MODULE, materializations=[name], force=True, lock_timeout=1)
        assert f"the lock on {table} is held by pid" in failed["msg"]
        assert failed["blockers"][0]["application"] == "slow page"
    assert contents(here.database) == before


def test_a_table_that_is_not_there_is_no_rebuild(instance: Callable[..., Instance]) -> None:
    here = instance(treenodes=1000)
    psql(here.database, "DROP TABLE treenode_connector_edge")
    for check in (True, False):
        failed = here.fail(MODULE, check)
        assert failed["missing"] == ["treenode_connector_edge"] and "pg_dump -T" in failed["msg"]
    psql(here.database, "DROP TABLE treenode CASCADE")
    assert "it has no tables of CATMAID" in here.fail(MODULE)["msg"]


def test_a_rebuild_that_says_no_is_found_out(instance: Callable[..., Instance]) -> None:
    """The command ends with 0 also when it has been told not to do anything."""
    here = instance(treenodes=1000, more='import builtins\nbuiltins.input = lambda prompt="": "n"\n')
    psql(here.database, UNKNOWN)
    failed = here.fail(MODULE, materializations=["edges"], force=True)
    assert "did not say 'Successfully rebuilt edge tables'" in failed["msg"] and "Canceled" in failed["msg"]
    assert finish(here.start(MODULE, materializations=["edges"]))["changed"] is False
