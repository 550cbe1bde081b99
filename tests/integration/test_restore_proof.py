# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restored database is proven to have besides its rows: triggers, constraints, sequences, extensions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import manifest, proof, verify
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration.support import names, run_module, sql
from tests.integration.test_pg_restore import backup, foreign, restore

pytestmark = pytest.mark.once("bookworm")

Unused = Callable[[], str]

SAME = "ALTER TABLE treenode__history DROP CONSTRAINT never_validated; ALTER TABLE {table} ADD CONSTRAINT"
DIFFERENCES = {
    "trigger": (
        "ALTER TABLE treenode ENABLE TRIGGER switched_off; ALTER TABLE treenode DISABLE TRIGGER on_insert",
        ["on_insert disabled, which it was not", "not any more public.treenode: switched_off disabled"],
    ),
    "replica": ("ALTER TABLE treenode ENABLE ALWAYS TRIGGER on_insert", ["on_insert always, which it was not"]),
    "constraint": (
        f"{SAME.format(table='treenode')} later CHECK (x < 0) NOT VALID",
        ["later not validated, which it was not", "not any more public.treenode__history: never_validated"],
    ),
    "shared sequence": ("SELECT setval('location_id_seq', 5)", ["sequence public.location_id_seq gives 6 next"]),
    "own sequence": (
        "SELECT setval('catmaid_stats_summary_id_seq', 9, false)",
        ["sequence public.catmaid_stats_summary_id_seq gives 9 next, and public.catmaid_stats_summary.id holds 9"],
    ),
    "identity": ("SELECT setval('identified_id_seq', 1)", ["public.identified.id holds 3 already"]),
}


@pytest.fixture
def told(database: str, dest: str) -> dict[str, Any]:
    """The manifest of a backup of the database."""
    sql(
        database,
        "CREATE TABLE identified (id int GENERATED ALWAYS AS IDENTITY); INSERT INTO identified SELECT"
        " FROM generate_series(1, 3); SELECT setval('node_query_cache_id_seq', 100),"
        " setval('node_grid_cache_cell_id_seq', 100)",
    )
    return manifest.load(backup(database, dest))


def test_the_original_is_proven(server: Server, database: str, told: dict[str, Any]) -> None:
    assert told["exceptions"] == [
        "public.treenode: switched_off disabled", "public.treenode__history: never_validated not validated",
    ]  # fmt: skip
    assert told["sequences_behind"] == []
    assert proof.prove(server, database, told, objects=True, jobs=1).notes == ()


@pytest.mark.parametrize("what", DIFFERENCES)
def test_what_is_otherwise_is_found(server: Server, database: str, told: dict[str, Any], what: str) -> None:
    change, expected = DIFFERENCES[what]
    sql(database, change)
    with pytest.raises(CatmaidError) as found:
        proof.prove(server, database, told, objects=True, jobs=1)
    assert all(text in str(found.value) for text in expected), str(found.value)


def test_a_sequence_that_was_behind_is_no_fault_of_the_restore(database: str, dest: str, unused: Unused) -> None:
    archive, target = backup(database, dest), unused()  # two tables were filled without their sequences
    assert json.loads(Path(archive, "manifest.json").read_text())["sequences_behind"] == [
        "public.node_grid_cache_cell_id_seq", "public.node_query_cache_id_seq",
    ]  # fmt: skip
    notes = restore(target, archive).result["notes"]
    assert len(notes) == 2
    assert all(note.endswith("as in the original") for note in notes)


def test_manifests_of_before_are_understood(server: Server, database: str, told: dict[str, Any]) -> None:
    sql(database, "SELECT setval('location_id_seq', 5)")
    del told["exceptions"], told["sequences_behind"]
    (note,) = proof.prove(server, database, told, objects=True, jobs=1).notes
    assert "location_id_seq gives 6 next" in note


def test_versions_of_extensions_are_compared(server: Server, spatial: str, dest: str, unused: Unused) -> None:
    archive, target = Path(backup(spatial, dest)), unused()
    path = archive / "manifest.json"
    told = json.loads(path.read_text())
    entry = next(extension for extension in told["extensions"] if extension["name"] == "postgis")
    here = entry["version"]
    entry["version"] = "2.5.1"
    notes = proof.prove(server, spatial, told, objects=True, jobs=1).notes
    assert f"extension postgis is {here}, and was 2.5.1" in notes
    entry["version"] = "9.1.0"
    path.write_text(json.dumps(told))
    refused = restore(target, str(archive))
    assert f"extension postgis is {here}, which is older than 9.1.0" in refused.error
    assert target not in names()
    assert run_module("pg_restore", login_db=target, archive=str(archive), verify=False).changed


@pytest.mark.parametrize("kind", ["c", "p"])
def test_rows_that_a_foreign_archive_has_and_the_database_has_not(
    server: Server, database: str, tmp_path: Path, kind: str
) -> None:
    sql(database, 'CREATE TABLE "Odd "".name" AS SELECT generate_series(1, 3); CREATE TABLE nothing (a int)')
    source = verify.source(str(foreign(database, tmp_path, kind)), server.version(database))
    assert proof.prove_counted(server, database, source, (), jobs=2).rows > 2000
    sql(database, 'DELETE FROM "Odd "".name" WHERE generate_series = 2; INSERT INTO nothing VALUES (1)')
    with pytest.raises(CatmaidError) as found:
        proof.prove_counted(server, database, source, (), jobs=2)
    assert '.name" has 2 rows, and the archive 3' in str(found.value)
    assert "public.nothing has 1 rows, and the archive 0" in str(found.value)
