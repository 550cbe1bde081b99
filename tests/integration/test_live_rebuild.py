# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The geometry tables of an instance that serves are rebuilt while people view and trace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration.double_fixtures import ROLE, fingerprint, psql, wait_for
from tests.integration.instances import Instance, go_on, session_that_runs, surveyed

pytestmark = pytest.mark.once("bookworm")

GEOMETRY = ("treenode_edge", "treenode_connector_edge", "connector_geom")
TABLES = "{treenode_edge,treenode_connector_edge,connector_geom}"
TWINS = "EXISTS (SELECT FROM pg_namespace WHERE nspname = 'catmaid_admin_twin')"
OURS = "application_name LIKE 'catmaid.admin/rebuild/%'"
BUILDING = "wait_event_type = 'Lock' AND query LIKE 'INSERT%'"
LEFT = """
CREATE SCHEMA catmaid_admin_twin;
COMMENT ON SCHEMA catmaid_admin_twin IS 'catmaid.admin: tables that are being made, left by a job if none is running'
"""
# What somebody may have given the tables since CATMAID made them.
OF_ITS_OWN = f"""
ALTER TABLE treenode_edge SET (autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE treenode_edge ALTER project_id SET STATISTICS 700;
COMMENT ON TABLE treenode_edge IS 'it''s derived'; COMMENT ON COLUMN treenode_edge.edge IS 'line';
CREATE INDEX "of the Lab" ON treenode_edge (parent_id) WHERE parent_id IS NOT NULL;
GRANT SELECT ON connector_geom TO PUBLIC; GRANT INSERT ON connector_geom TO {ROLE} WITH GRANT OPTION;
"""
DEFINITION = f"""
SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
  SELECT indexdef AS line FROM pg_indexes WHERE tablename = ANY('{TABLES}')
  UNION ALL SELECT conrelid::regclass || conname || pg_get_constraintdef(oid) || convalidated FROM pg_constraint
             WHERE conrelid = ANY('{TABLES}'::regclass[])
  UNION ALL SELECT relname || relowner::regrole || coalesce(relacl::text, '') || coalesce(reloptions::text, '')
                   || coalesce(obj_description(oid, 'pg_class'), '') FROM pg_class WHERE relname = ANY('{TABLES}')
  UNION ALL SELECT attrelid::regclass || attname || format_type(atttypid, atttypmod) || attnotnull || attstorage::text
                   || coalesce(attstattarget::text, '') || coalesce(col_description(attrelid, attnum), '')
              FROM pg_attribute WHERE attrelid = ANY('{TABLES}'::regclass[]) AND attnum > 0) d
"""
# A tracer at work, with all triggers: nodes are added, moved and deleted, and so are a connector and its links.
ADD = """
INSERT INTO treenode (user_id, editor_id, project_id, skeleton_id, parent_id, location_x, location_y, location_z)
SELECT user_id, user_id, project_id, skeleton_id, id, location_x + 1, location_y, location_z FROM treenode
 ORDER BY random() LIMIT 3;
"""
TRACE = f"""{ADD}
UPDATE treenode SET location_x = location_x + 5 WHERE id IN (SELECT id FROM treenode ORDER BY random() LIMIT 3);
DELETE FROM treenode WHERE id = (SELECT t.id FROM treenode t
  WHERE NOT EXISTS (SELECT FROM treenode c WHERE c.parent_id = t.id)
    AND NOT EXISTS (SELECT FROM treenode_connector l WHERE l.treenode_id = t.id)
    AND NOT EXISTS (SELECT FROM review r WHERE r.treenode_id = t.id) ORDER BY t.id DESC LIMIT 1);
UPDATE connector SET location_y = location_y + 2 WHERE id = (SELECT id FROM connector ORDER BY random() LIMIT 1);
DELETE FROM treenode_connector WHERE id = (SELECT max(id) FROM treenode_connector);
"""

# Somebody who writes first what others write last.
REVERSED = """
UPDATE connector SET location_y = location_y + 2 WHERE id = (SELECT max(id) FROM connector);
SELECT pg_sleep(0.1);
UPDATE treenode SET location_x = location_x + 5 WHERE id = (SELECT max(id) FROM treenode);
"""


@pytest.fixture
def live(double_release: Callable[..., Any], double_database: Callable[..., str]) -> Callable[..., Instance]:
    """A function that makes an instance with so many treenodes."""

    def make(treenodes: int = 3000) -> Instance:
        database = double_database("2030.06.20", treenodes)
        return Instance(double_release("2030.06.20", database), database)

    return make


def rebuild(here: Instance, **more: Any) -> dict[str, Any]:
    return here.run("rebuild_materializations", materializations=["edges"], force=True, **more)


def contents(database: str) -> list[str]:
    return [fingerprint(database, table) for table in GEOMETRY]


@contextmanager
def repeating(database: str, sql: str) -> Iterator[list[int]]:
    """Run SQL again and again in a session of its own; yield how often it was done. Its errors are the test's."""
    done, over, errors = [0], threading.Event(), []

    def work(connection: Any) -> None:
        try:
            while not over.is_set():
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                connection.commit()
                done[0] += 1
        except Exception as error:  # noqa: BLE001 (of a thread: whatever it is, the test fails by it, as a user would have seen it)
            errors.append(error)

    with Server().connect(database) as connection:
        thread = threading.Thread(target=work, args=(connection,))
        thread.start()
        try:
            yield done
        finally:
            over.set()
            thread.join()
    assert not errors, errors


def test_everybody_goes_on_and_nothing_is_lost(live: Callable[..., Instance]) -> None:
    here = live(20000)
    psql(here.database, OF_ITS_OWN)
    definition = psql(here.database, DEFINITION)
    numbers = psql(here.database, "SELECT 'treenode_edge'::regclass::oid")
    look = "SELECT count(*) FROM treenode_edge e JOIN connector_geom g ON g.project_id = e.project_id AND e.id = g.id"
    with repeating(here.database, TRACE) as traced, repeating(here.database, look) as viewed:
        done = rebuild(here)
    assert not done.get("warnings")
    assert traced[0] > 0 and viewed[0] > 0
    assert psql(here.database, "SELECT 'treenode_edge'::regclass::oid") != numbers
    assert psql(here.database, DEFINITION) == definition
    ours = contents(here.database)
    here.release.manage("catmaid_rebuild_edge_table", input="y\n")
    assert contents(here.database) == ours
    assert psql(here.database, f"SELECT {TWINS}") == "f"
    psql(here.database, TRACE)  # triggers find the new tables
    assert not here.check("rebuild_materializations", materializations=["edges"])["changed"]


def test_nobody_is_ended_for_writing_in_another_order(live: Callable[..., Instance]) -> None:
    here = live(1000)
    with repeating(here.database, REVERSED) as worked:
        rebuild(here)
    assert worked[0] > 0
    ours = contents(here.database)
    here.release.manage("catmaid_rebuild_edge_table", input="y\n")
    assert contents(here.database) == ours


def test_viewers_and_writers_go_on_while_the_tables_are_built(live: Callable[..., Instance]) -> None:
    here = live()
    before = contents(here.database)
    with surveyed(here, "edges") as running:
        # The rebuild cannot go on, for as long as the test likes.
        with session_that_runs(here.database, "LOCK TABLE connector IN ACCESS EXCLUSIVE MODE"):
            go_on(running)
            wait_for(here.database, f"EXISTS (SELECT FROM pg_stat_activity WHERE {OURS} AND {BUILDING})")
            psql(here.database, "SET lock_timeout = '2s'; SELECT count(*) FROM treenode_edge, connector_geom")
            psql(here.database, f"SET lock_timeout = '2s'; {ADD}")
        assert running.wait(60) == 0
    assert contents(here.database) != before
    assert not here.check("rebuild_materializations", materializations=["edges"])["changed"]


@pytest.mark.parametrize(
    ("blocked", "waits"),
    [
        pytest.param("LOCK TABLE connector IN ACCESS EXCLUSIVE MODE", BUILDING, id="building"),
        pytest.param("LOCK TABLE treenode_edge IN ACCESS SHARE MODE", "query LIKE 'LOCK%ACCESS EXCL%'", id="exchange"),
    ],
)
def test_whoever_kills_it_leaves_the_old_tables(live: Callable[..., Instance], blocked: str, waits: str) -> None:
    here = live()
    before = contents(here.database)
    with surveyed(here, "edges") as running, session_that_runs(here.database, blocked):
        go_on(running)
        wait_for(here.database, f"EXISTS (SELECT FROM pg_stat_activity WHERE {OURS} AND {waits})")
        running.kill()
        running.wait()
        wait_for(here.database, f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE {OURS})")
    assert psql(here.database, f"SELECT {TWINS}") == "t"
    assert contents(here.database) == before
    for only in ({}, {"force": True}):
        psql(here.database, LEFT if only else "SELECT 1")
        assert here.check("rebuild_materializations", materializations=["edges"], **only)["changed"]
        done = here.run("rebuild_materializations", materializations=["edges"], **only)
        assert done["changed"] and not done.get("warnings")
        assert psql(here.database, f"SELECT {TWINS}") == "f"
        assert contents(here.database) == before
    assert not here.check("rebuild_materializations", materializations=["edges"])["changed"]


def test_who_looks_at_other_tables_for_long_is_named(live: Callable[..., Instance]) -> None:
    here = live(1000)
    before = contents(here.database)
    with session_that_runs(here.database, "SELECT count(*) FROM project", "long report"):
        failed = here.fail("rebuild_materializations", materializations=["edges"], force=True, lock_timeout=2)
    assert failed["blockers"][0]["application"] == "long report"
    assert psql(here.database, f"SELECT {TWINS}") == "f"
    assert contents(here.database) == before
    assert not rebuild(here).get("warnings")


REASONS = {
    "INSERT INTO django_migrations (app, name, applied) VALUES ('catmaid', '9999_future', now())": "not known",
    "CREATE VIEW of_the_lab AS SELECT id FROM connector_geom": "of_the_lab",
    "CREATE PUBLICATION everything FOR ALL TABLES": "published",
    "CREATE POLICY everybody ON treenode_edge USING (true)": "policy everybody",
    "CREATE SCHEMA catmaid_admin_twin": "somebody else's",
}


@pytest.mark.parametrize("change", list(REASONS))
def test_what_it_cannot_make_again_is_left_to_the_command(live: Callable[..., Instance], change: str) -> None:
    here = live(1000)
    before = contents(here.database)
    psql(here.database, change)
    psql(here.database, "UPDATE treenode_edge SET parent_id = 0")
    done = rebuild(here)
    assert REASONS[change] in str(done["warnings"])
    assert contents(here.database) == before
    if "VIEW" in change:
        assert psql(here.database, "SELECT count(*) FROM of_the_lab") != "0"
