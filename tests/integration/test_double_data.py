# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double's database: its triggers, its history and its generated data."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.double_fixtures import Release, fingerprint, generate, psql

pytestmark = pytest.mark.once("trixie")

Databases = Callable[..., str]

MATERIALIZED = ("treenode_edge", "treenode_connector_edge", "connector_geom")
# What each statement needs; nothing needs the statistics and the cache.
NEEDED = {
    "treenode_edge": "treenode",
    "catmaid_skeleton_summary": "treenode",
    "connector_geom": "connector",
    "treenode_connector_edge": "treenode_connector",
}
EDITS = """
    UPDATE treenode SET location_x = location_x + 16, editor_id = 1 WHERE id % 7 = 0;
    UPDATE connector SET location_y = location_y - 8 WHERE id % 3 = 0;
    DELETE FROM treenode_connector WHERE id % 5 = 0;
    DELETE FROM review;
    DELETE FROM treenode_connector tc USING treenode t
    WHERE t.id = tc.treenode_id AND t.id NOT IN (SELECT parent_id FROM treenode WHERE parent_id IS NOT NULL);
    DELETE FROM treenode WHERE id NOT IN (SELECT parent_id FROM treenode WHERE parent_id IS NOT NULL);
    UPDATE treenode_connector SET treenode_id = (SELECT max(id) FROM treenode) WHERE id % 4 = 0;
    DELETE FROM treenode_connector WHERE connector_id = (SELECT min(id) FROM connector);
    DELETE FROM connector WHERE id = (SELECT min(id) FROM connector);
"""


def copy_row(database: str, table: str) -> None:
    """Insert a second row like the first one."""
    columns = psql(
        database,
        f"""SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
            WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attname <> 'id'""",
    )
    psql(database, f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} ORDER BY id LIMIT 1")


@pytest.mark.parametrize("derived", NEEDED)
def test_nothing_can_be_inserted_without_the_derived_tables(double_database: Databases, derived: str) -> None:
    database, table = double_database(), NEEDED[derived]
    before = int(psql(database, f"SELECT count(*) FROM {derived}"))
    copy_row(database, table)
    assert int(psql(database, f"SELECT count(*) FROM {derived}")) == before + (derived != "catmaid_skeleton_summary")
    psql(database, f"DROP TABLE {derived}")
    with pytest.raises(AssertionError, match=f'relation "{derived}" does not exist'):
        copy_row(database, table)


@pytest.mark.parametrize("edits", ["", EDITS])
def test_triggers_make_what_a_rebuild_makes(
    double_release: Callable[..., Release], double_database: Databases, edits: str
) -> None:
    database = double_database()
    psql(database, edits)

    def state() -> list[str]:
        unlike = ("last_summary_update", "num_imported_nodes", "last_editor_id")
        return [
            *(fingerprint(database, table) for table in MATERIALIZED),
            fingerprint(database, "catmaid_skeleton_summary", unlike),
        ]

    before = state()
    double_release(database=database).manage("catmaid_rebuild_all_materializations")
    assert state() == before


def test_statistics_are_reproducible(double_release: Callable[..., Release], double_database: Databases) -> None:
    database = double_database()
    release = double_release(database=database)
    release.manage("catmaid_populate_summary_tables")
    once = fingerprint(database, "catmaid_stats_summary", ("id",))
    assert int(once.split("|")[0]) > 10
    release.manage("catmaid_populate_summary_tables")
    assert fingerprint(database, "catmaid_stats_summary", ("id",)) == once
    release.manage("catmaid_populate_summary_tables", "--clean")
    assert fingerprint(database, "catmaid_stats_summary", ("id",)) == once
    assert psql(database, "SELECT sum(n_treenodes) FROM catmaid_stats_summary") == "10000"
    assert int(psql(database, "SELECT sum(n_imported_treenodes) FROM catmaid_stats_summary")) > 0


def test_the_generator_makes_what_it_promises(double_database: Databases) -> None:
    database = double_database(treenodes=20300)
    counts = {
        "treenode": "20300",
        "connector": "1015",
        "treenode_connector": "3045",
        "catmaid_skeleton_summary": "41",
        "treenode_edge": "20300",
        "connector_geom": "1015",
        "treenode_connector_edge": "3045",
        "catmaid_stats_summary": "0",
        "project": "2",
    }
    assert {table: psql(database, f"SELECT count(*) FROM ONLY {table}") for table in counts} == counts
    facts = {
        "four tracers": "count(DISTINCT user_id) = 4 FROM treenode",
        "a second project": "count(DISTINCT project_id) = 2 FROM treenode",
        "one third of the transactions are imports": "count(*) = 4 FROM catmaid_transaction_info "
        "WHERE label = 'skeletons.import'",
        "imported nodes": "sum(num_imported_nodes) BETWEEN 5000 AND 8000 FROM catmaid_skeleton_summary",
        "branches": "count(*) > 300 FROM (SELECT parent_id FROM treenode GROUP BY 1 HAVING count(*) > 1) AS forks",
        "exact lengths": "bool_and(cable_length > 0 AND cable_length = trunc(cable_length)) "
        "FROM catmaid_skeleton_summary",
        "history": "count(*) BETWEEN 1500 AND 3000 FROM treenode__history",
        "deleted reviews": "count(*) > 0 FROM review__history",
        "reviews": "count(*) BETWEEN 3500 AND 4060 FROM review",
        "three links each": "bool_and(links = 3 AND nodes = 3) FROM (SELECT count(*) AS links, "
        "count(DISTINCT treenode_id) AS nodes FROM treenode_connector GROUP BY connector_id) AS connectors",
        "partners": "count(DISTINCT skeleton_id) > 20 FROM treenode_connector",
    }
    assert {name: psql(database, f"SELECT {fact}") for name, fact in facts.items()} == dict.fromkeys(facts, "t")
    assert psql(database, "SELECT count(*) FROM location") == "21315"


def test_the_generator_is_deterministic(double_database: Databases) -> None:
    one, other = double_database(treenodes=0), double_database(treenodes=0)
    for database in (one, other):
        generate(database, 6000)
    for table, without in {
        "treenode": ("txid", "edition_time"),
        "connector": ("txid", "edition_time"),
        "treenode_connector": ("txid",),
        "class_instance": ("txid", "edition_time"),
        "review": ("txid",),
        "treenode_edge": (),
        "catmaid_skeleton_summary": ("last_summary_update", "last_edition_time"),
    }.items():
        assert fingerprint(one, table, without) == fingerprint(other, table, without)
    generate(one, 1000, project=7)
    assert psql(one, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM project") == "1 2 7 8"
    assert psql(one, "SELECT count(*) FROM treenode WHERE project_id = 7") == "1000"


def test_history_follows_edits(double_database: Databases) -> None:
    database = double_database(treenodes=0)
    generate(database, 1000)
    rows = "SELECT count(*) FROM connector__history"
    before = int(psql(database, rows))
    old = psql(database, "SELECT location_x FROM connector ORDER BY id LIMIT 1")
    psql(database, "UPDATE connector SET location_x = 0 WHERE id = (SELECT min(id) FROM connector)")
    assert int(psql(database, rows)) == before + 1
    assert psql(database, "SELECT location_x FROM connector__history ORDER BY exec_transaction_id DESC LIMIT 1") == old
    assert psql(database, "SELECT count(*) FROM connector__with_history") == str(50 + before + 1)
    psql(database, "TRUNCATE connector CASCADE")
    assert psql(database, rows) == "0"
    regclass = "SELECT history_table FROM catmaid_history_table WHERE live_table = 'connector'::regclass"
    assert psql(database, regclass) == "connector__history"


def test_constraints_are_checked_when_a_transaction_ends(double_database: Databases) -> None:
    database = double_database(treenodes=0)
    generate(database, 1000)
    kinds = "SELECT condeferrable, count(*) > 3 FROM pg_constraint WHERE contype = 'f' GROUP BY 1 ORDER BY 1"
    assert psql(database, kinds) == "f|t\nt|t"
    removed = "BEGIN; DELETE FROM auth_user WHERE username = 'tracer1'; SELECT 'so far'; COMMIT;"
    with pytest.raises(AssertionError, match="violates foreign key constraint"):
        psql(database, removed)
