# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore: geometry tables that the archive lacks are filled on the way, exactly as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.double_fixtures import PASSWORD, ROLE, drop_database, fingerprint, psql

pytestmark = pytest.mark.once("trixie")

Databases = Callable[..., str]
GEOMETRY = ["connector_geom", "treenode_connector_edge", "treenode_edge"]
INDEXES = "SELECT count(*), sum(indisvalid::int) FROM pg_index WHERE indrelid::regclass::text = ANY(%s)"
TRIGGERS = (
    "SELECT string_agg(tgname || tgenabled::text, ',' ORDER BY tgname, tgrelid::regclass::text) FROM pg_trigger"
    " WHERE NOT tgisinternal"
)
# Enough for tables that are loaded, filled and indexed by programs of their own.
TREENODES = 60000


@pytest.fixture
def target() -> Iterator[str]:
    """The name of a database that does not exist; dropped afterwards."""
    name = "double_filled"
    drop_database(name)
    yield name
    drop_database(name)


def backup(database: str, dest: Path, **options: Any) -> str:
    made = support.run_module("pg_dump", login_db=database, dest=str(dest), **{"materializations": "safe", **options})
    assert not made.failed, made.error
    return str(made.result["path"])


def restore(database: str, archive: str, **options: Any) -> support.Run:
    return support.run_module("pg_restore", login_db=database, archive=archive, **options)


def geometry(database: str) -> dict[str, str]:
    return {table: fingerprint(database, table) for table in GEOMETRY}


def objects(database: str) -> list[str]:
    tables = ", ".join(f"'{table}'" for table in (*GEOMETRY, "treenode"))
    valid = INDEXES.replace("%s", f"ARRAY[{tables}]")
    return [psql(database, valid), psql(database, TRIGGERS)]


@pytest.mark.parametrize(
    ("options", "jobs"),
    [({}, 2), ({}, 1), ({"format": "custom"}, 2), ({"compression": "gzip"}, 3), ({"format": "custom"}, 1)],
)
def test_comes_back_exactly(
    double_database: Databases, tmp_path: Path, target: str, options: dict[str, Any], jobs: int
) -> None:
    database = double_database(treenodes=TREENODES)
    done = restore(target, backup(database, tmp_path, **options), jobs=jobs)
    assert done.changed
    assert done.result["filled"] == GEOMETRY
    assert not {entry["name"] for entry in done.result["left_out"]} & set(GEOMETRY)
    assert "fill" in done.result["seconds"]
    assert geometry(target) == geometry(database)
    assert objects(target) == objects(database)
    # The table is in use: its trigger needs the row that was filled.
    psql(target, "UPDATE treenode SET location_x = location_x + 1 WHERE id = (SELECT min(id) FROM treenode)")
    assert geometry(target) != geometry(database)


def test_leaves_it_to_the_rebuild_where_it_should(double_database: Databases, tmp_path: Path, target: str) -> None:
    database = double_database(treenodes=2000)
    archive = backup(database, tmp_path)
    done = restore(target, archive, fill=False)
    assert done.result["filled"] == []
    assert {entry["name"] for entry in done.result["left_out"]} >= set(GEOMETRY)
    assert psql(target, "SELECT count(*) FROM treenode_edge") == "0"
    drop_database(target)

    # A release that nobody has compared yet.
    psql(database, "INSERT INTO django_migrations (app, name, applied) VALUES ('catmaid', '9999_future', now())")
    done = restore(target, backup(database, tmp_path))
    assert done.result["filled"] == []
    assert {entry["name"] for entry in done.result["left_out"]} >= set(GEOMETRY)
    assert psql(target, "SELECT count(*) FROM treenode_edge") == "0"


def test_an_archive_with_the_rows_is_not_filled(double_database: Databases, tmp_path: Path, target: str) -> None:
    database = double_database(treenodes=TREENODES)
    psql(database, "ALTER TABLE treenode_edge DISABLE TRIGGER ALL; DELETE FROM treenode_edge WHERE id % 2 = 0")
    done = restore(target, backup(database, tmp_path, materializations="include"))
    assert done.result["filled"] == []
    assert geometry(target) == geometry(database)


def test_fills_what_a_foreign_archive_lacks_section_by_section(
    double_database: Databases, tmp_path: Path, target: str
) -> None:
    database = double_database(treenodes=TREENODES)
    archive = tmp_path / "foreign.dump"
    left_out = [f"--exclude-table-data={table}" for table in GEOMETRY]
    with archive.open("wb") as file:
        dumped = support.subprocess.run(
            [*support.AS_POSTGRES, "pg_dump", "-Fc", *left_out, database], stdout=file, check=False, cwd="/"
        )
    assert dumped.returncode == 0
    first = restore(target, str(archive), sections=["pre-data", "data"])
    assert first.result["filled"] == GEOMETRY
    last = restore(target, str(archive), sections=["post-data"])
    assert last.result["filled"] == []
    assert geometry(target) == geometry(database)
    assert objects(target) == objects(database)


def test_the_owner_can_do_it(double_database: Databases, tmp_path: Path, target: str) -> None:
    database = double_database(treenodes=TREENODES)
    archive = backup(database, tmp_path)
    psql("postgres", f"CREATE DATABASE {target} OWNER {ROLE} TEMPLATE template0 ENCODING UTF8")
    psql(target, "CREATE EXTENSION postgis; CREATE EXTENSION pg_trgm")
    login = {"login_host": "localhost", "login_user": ROLE, "login_password": PASSWORD}
    done = restore(target, archive, create_extensions=[], **login)
    assert done.result["filled"] == GEOMETRY
    assert geometry(target) == geometry(database)


# An index that cannot be built again, because what it calls has changed its mind; and rows that may not be filled in.
FAULTS = {
    "no more": (
        "CREATE FUNCTION picky(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1; END $$;"
        "CREATE INDEX ON treenode (picky(project_id));"
        "CREATE OR REPLACE FUNCTION picky(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS"
        " $$ BEGIN RAISE 'no more'; END $$"
    ),
    "violates check constraint": (
        "DELETE FROM treenode_edge WHERE id = (SELECT max(id) FROM treenode);"
        "DO $$ BEGIN EXECUTE format('ALTER TABLE treenode_edge ADD CHECK (id <> %s)',"
        " (SELECT max(id) FROM treenode)); END $$"
    ),
}


@pytest.mark.parametrize("cause", list(FAULTS))
def test_a_failure_of_one_part_ends_all_and_leaves_nothing(
    double_database: Databases, tmp_path: Path, target: str, cause: str
) -> None:
    database = double_database(treenodes=TREENODES)
    psql(database, FAULTS[cause])
    refused = restore(target, backup(database, tmp_path))
    assert cause in refused.error
    assert psql("postgres", f"SELECT count(*) FROM pg_database WHERE datname = '{target}'") == "0"
    assert support.processes("pg_restore", str(tmp_path)) == []
