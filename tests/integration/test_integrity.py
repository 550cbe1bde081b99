# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module integrity finds each fault that was made, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.double_fixtures import Release, psql
from tests.integration.instances import Instance, snapshot

pytestmark = pytest.mark.once("trixie")

MODULE = "integrity"
UNSEEN = "SET session_replication_role = replica;"
# The check that has to find it -> what somebody does, and what is told of it
FAULTS = {
    "foreign_keys": (
        f"{UNSEEN} UPDATE treenode_connector SET connector_id = -7 WHERE id = (SELECT min(id) FROM treenode_connector)",
        "1 rows of treenode_connector lead to no row of connector: connector_id -7 for instance",
    ),
    "constraints": (
        'ALTER TABLE review ADD CONSTRAINT "a \'b" CHECK (id > 0) NOT VALID',
        "constraint a 'b of review was never validated",
    ),
    "triggers": (
        "ALTER TABLE treenode DISABLE TRIGGER ALL",
        "of treenode does not fire",
    ),
    "sequences": (
        "SELECT setval(pg_get_serial_sequence('review', 'id'), 1)",
        "is at 1, and review.id has",
    ),
    "indexes": (
        """CREATE INDEX "it's new" ON treenode (id);
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = '"it''s new"'::regclass""",
        'index "it\'s new" of treenode is not used',
    ),
    "connector_links": (
        f"""{UNSEEN} DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = 'treenode_connector'::regclass AND contype = 'u'
        LOOP EXECUTE format('ALTER TABLE treenode_connector DROP CONSTRAINT %I', name); END LOOP; END $$;
        INSERT INTO treenode_connector SELECT (jsonb_populate_record(t, jsonb_build_object('id', (SELECT max(id) + 1
        FROM treenode_connector)))).* FROM treenode_connector t WHERE id = (SELECT max(id) FROM treenode_connector)""",
        "1 links are there more than once, for instance treenode",
    ),
    "skeletons_of_nodes": (
        f"""{UNSEEN} UPDATE review SET skeleton_id = (SELECT max(skeleton_id) FROM treenode)
        WHERE id = (SELECT min(id) FROM review)""",
        "1 rows of review name another skeleton than their treenode does",
    ),
    "materializations": (
        f"{UNSEEN} DELETE FROM treenode_edge WHERE id = (SELECT max(id) FROM treenode)",
        "treenode_edge: 1 rows missing",
    ),
    "skeletons": (
        f"{UNSEEN} UPDATE treenode SET parent_id = NULL WHERE id = (SELECT max(id) FROM treenode)",
        "found 1 rows (should be 0) (check of CATMAID: each skeleton has exactly one root node)",
    ),
}


@pytest.fixture
def instance(double_release: Callable[..., Release], double_database: Callable[..., str]) -> Instance:
    """An instance whose statistics are filled, as an old instance has them."""
    database = double_database("2030.06.20", 1000)
    here = Instance(double_release("2030.06.20", database), database)
    here.release.manage("catmaid_refresh_node_statistics", "--clean")
    return here


def states(result: dict) -> dict[str, str]:
    """Return the state of each check."""
    return {check["name"]: check["state"] for check in result["checks"]}


def test_a_sound_database_is_said_to_be_sound(instance: Instance) -> None:
    before = snapshot(instance.database)
    found = instance.run(MODULE, mend=True)
    assert snapshot(instance.database) == before
    assert (found["sound"], found["faults"], found["changed"], found["mended"]) == (True, [], False, [])
    assert set(states(found)) == {*FAULTS, "extensions", "meshes"}
    assert set(states(found).values()) == {"ok"}


def test_each_fault_is_found_and_what_can_be_derived_is_mended(instance: Instance) -> None:
    for sql, _told in FAULTS.values():
        psql(instance.database, sql)
    before = snapshot(instance.database)
    found = instance.run(MODULE)
    assert snapshot(instance.database) == before
    assert not found["sound"] and not found["changed"]
    told = {check["name"]: " ".join(check["faults"]) for check in found["checks"]}
    for name, (_sql, words) in FAULTS.items():
        assert words in told[name], (name, told)
    assert states(found)["extensions"] == states(found)["meshes"] == "ok"

    planned = instance.check(MODULE, mend=True)
    assert planned["changed"] and planned["mended"] == ["sequences", "indexes", "materializations"]
    assert snapshot(instance.database) == before
    # Rows that others have made wrong stay as they are.
    done = instance.run(MODULE, mend=True)
    assert done["mended"] == planned["mended"]
    assert {name for name, state in states(done).items() if state == "failed"} == set(FAULTS) - set(planned["mended"])
    assert done["diff"]["after"] == planned["diff"]["after"]
    again = instance.run(MODULE, mend=True)
    assert not again["changed"] and again["faults"] == done["faults"]
    nextval = "SELECT nextval(pg_get_serial_sequence('review', 'id')) > (SELECT max(id) FROM review)"
    assert psql(instance.database, nextval) == "t"


def test_a_mesh_that_is_wrong_is_told_though_the_command_breaks_off(instance: Instance) -> None:
    square = "POLYHEDRALSURFACE Z (((0 0 0, 0 1 0, 1 1 0, 1 0 0, 0 0 0)))"
    made = "CREATE TABLE catmaid_volume (id serial PRIMARY KEY, geometry geometry(GeometryZ))"
    psql(instance.database, f"{made}; INSERT INTO catmaid_volume (geometry) VALUES ('{square}')")
    psql(instance.database, "GRANT SELECT ON catmaid_volume TO PUBLIC")
    [fault] = instance.run(MODULE)["faults"]
    assert "found 1 non-triangle meshes in project" in fault


def test_an_old_library_or_a_missing_extension_is_told(instance: Instance) -> None:
    psql(instance.database, "UPDATE pg_extension SET extversion = '1.1' WHERE extname = 'pg_trgm'")
    [fault] = instance.run(MODULE)["faults"]
    assert fault.startswith("extension pg_trgm is 1.1, and its library on the host 1.")
    psql(instance.database, "DROP EXTENSION pg_trgm CASCADE")
    assert "extension pg_trgm is not there" in instance.run(MODULE)["faults"]
