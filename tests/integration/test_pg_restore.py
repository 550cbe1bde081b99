# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore: all of a whole archive, or nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.support import names, quoted, run_module, sql, value

Unused = Callable[[], str]

OBJECTS = """
SELECT (SELECT string_agg(tgname || tgenabled::text, ',' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal),
       (SELECT string_agg(conname || convalidated::text, ',' ORDER BY conname) FROM pg_constraint WHERE conrelid <> 0),
       (SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'),
       (SELECT last_value FROM location_id_seq), pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'treenode'
"""
PROPERTIES = """
SELECT pg_get_userbyid(datdba), datacl, datconnlimit, shobj_description(oid, 'pg_database'),
       (SELECT string_agg(setrole::regrole || array_to_string(setconfig, ';'), ';') FROM pg_db_role_setting
         WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = current_database()
"""


def backup(database: str, dest: str, **options: Any) -> str:
    """Make a backup and return its folder."""
    made = run_module("pg_dump", login_db=database, dest=dest, **{"materializations": "include", **options})
    assert not made.failed, made.result["msg"]
    return str(made.result["path"])


def restore(database: str, archive: str, **options: Any) -> support.Run:
    return run_module("pg_restore", login_db=database, archive=archive, **options)


def foreign(database: str, folder: Path, kind: str) -> Path:
    """Write an archive with pg_dump as an administrator would."""
    path = folder / f"foreign {kind}"
    if kind == "d":
        made = "/var/tmp/foreign archive"
        subprocess.run([*support.AS_POSTGRES, "pg_dump", "-Fd", "-f", made, support.conninfo(database)], check=True)
        shutil.move(made, path)
    else:
        with path.open("wb") as file:
            argv = [*support.AS_POSTGRES, "pg_dump", f"-F{kind}", support.conninfo(database)]
            subprocess.run(argv, check=True, stdout=file, cwd="/")
    return path


def test_checks_restores_and_refuses_to_restore_again(spatial: str, dest: str, unused: Unused) -> None:
    database = spatial
    sql(
        database,
        f"COMMENT ON DATABASE {quoted(database)} IS 'it''s'; ALTER DATABASE {quoted(database)} CONNECTION LIMIT 50;"
        f'ALTER DATABASE {quoted(database)} SET search_path TO "$user", public, "Odd.Schema";'
        f"ALTER ROLE {quoted(support.OWNER)} IN DATABASE {quoted(database)} SET work_mem TO '7MB';"
        f"REVOKE CONNECT ON DATABASE {quoted(database)} FROM PUBLIC; SELECT nextval('location_id_seq')",
    )
    archive, target = backup(database, dest), unused()
    predicted = restore(target, archive, check=True, diff=True)
    assert predicted.changed
    assert predicted.result["created"]
    assert target not in names()

    done = restore(target, archive, diff=True)
    assert done.changed
    assert done.result["diff"] == predicted.result["diff"]
    assert done.result["skipped"] == done.result["left_out"] == done.result["missing"] == []
    assert support.rows(target) == support.rows(database)
    assert sql(target, OBJECTS) == sql(database, OBJECTS)
    assert sql(target, PROPERTIES) == sql(database, PROPERTIES)
    assert value(target, "SELECT count(*) FROM pg_statistic WHERE starelid = 'treenode'::regclass") != "0"
    assert set(done.result["seconds"]) == {"pre-data", "data", "post-data", "analyze", "verify"}
    assert done.result["proved_by"] == "manifest"
    assert done.result["tables_compared"] == len(support.rows(database))
    assert done.result["rows_compared"] == sum(support.rows(database).values())

    for check in (True, False):
        assert "tables already" in restore(target, archive, check=check).error
    assert support.rows(target) == support.rows(database)


def test_tells_what_a_backup_lacks(database: str, dest: str, unused: Unused) -> None:
    archive, target = backup(database, dest, materializations="safe", format="custom"), unused()
    done = restore(target, archive)
    assert {entry["name"] for entry in done.result["left_out"]} >= {"treenode_edge", "node_query_cache"}
    after = support.rows(target)
    assert after["public.treenode"] == 2000
    assert after["public.treenode_edge"] == 0
    sql(target, "INSERT INTO treenode (x) VALUES (1)")
    assert support.rows(target)["public.treenode_edge"] == 1


@pytest.mark.parametrize("kind", ["c", "d", "t"])
def test_restores_foreign_archives_and_refuses_damaged_ones(
    database: str, tmp_path: Path, unused: Unused, kind: str
) -> None:
    target, archive = unused(), foreign(database, tmp_path, kind)
    done = restore(target, str(archive), owner=support.OWNER)
    assert done.changed
    assert done.result["manifest"] is None
    assert support.rows(target) == support.rows(database)
    assert support.is_proven(done, database)
    assert value(target, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()") == (
        support.OWNER
    )

    part = max(archive.glob("*.dat.gz"), key=lambda path: path.stat().st_size) if kind == "d" else archive
    whole, second = part.read_bytes(), unused()
    # Tar has no checksum of its contents, so a flipped bit in it goes unnoticed, as far as text stays text.
    for damaged in [whole[: len(whole) * 2 // 3], *([] if kind == "t" else [flipped(whole, len(whole) // 2)])]:
        part.write_bytes(damaged)
        assert "reading back" in restore(second, str(archive)).error
        assert second not in names()


@pytest.mark.parametrize("format_", ["directory", "custom"])
def test_refuses_a_damaged_backup(database: str, dest: str, unused: Unused, format_: str) -> None:
    archive, target = Path(backup(database, dest, format=format_, compression="none")), unused()
    parts = list((archive / "dump").glob("*.dat")) or [archive / "dump.pgc"]
    part = max(parts, key=lambda path: path.stat().st_size)
    whole = part.read_bytes()
    for damaged, message in ((whole[:-1], "bytes instead of"), (flipped(whole, len(whole) // 2), "have changed")):
        part.write_bytes(damaged)
        for check in (True, False):
            assert message in restore(target, str(archive), check=check).error
        assert target not in names()
        listed = run_module("backup_info", dest=dest, verify=True).result
        assert listed["newest"] is None
        assert message in listed["backups"][0]["problems"][0]
    part.unlink()
    assert "missing" in restore(target, str(archive)).error
    part.write_bytes(whole)
    assert restore(target, str(archive)).changed


def test_refuses_a_manifest_that_proves_nothing(database: str, dest: str, unused: Unused) -> None:
    archive, target = Path(backup(database, dest)), unused()
    path = archive / "manifest.json"
    manifest = json.loads(path.read_text())
    changes: list[tuple[dict[str, Any], str]] = [
        ({"verified": False}, "never verified"),
        ({"format": 99}, "does not know"),
        ({"files": []}, "no file of the dump"),
        ({"files": [{"path": "../../x", "bytes": 1, "sha256": ""}]}, "outside of the backup"),
    ]
    for change, message in changes:
        path.write_text(json.dumps({**manifest, **change}))
        assert message in restore(target, str(archive)).error
    path.write_text(path.read_text()[:-9])
    assert "it is damaged" in restore(target, str(archive)).error
    assert target not in names()


def test_drops_what_does_not_match_the_manifest(database: str, dest: str, unused: Unused) -> None:
    archive, target = Path(backup(database, dest)), unused()
    path = archive / "manifest.json"
    manifest = json.loads(path.read_text())
    table = next(table for table in manifest["tables"] if table["name"] == "treenode")
    table["rows"] += 1
    manifest["objects"]["triggers"] += 1
    path.write_text(json.dumps(manifest))
    refused = restore(target, str(archive))
    assert "public.treenode has 2000 rows instead of 2001" in refused.error
    assert "2 triggers instead of 3" in refused.error
    assert target not in names()
    unproven = restore(target, str(archive), verify=False).result
    assert (unproven["proved_by"], unproven["rows_compared"]) == ("", 0)


def test_stops_at_the_first_error(database: str, dest: str, unused: Unused) -> None:
    # What many schemas have: a function that works only with the usual search_path, which a restore does not set.
    sql(
        database,
        "CREATE FUNCTION known(bigint) RETURNS bool LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN EXISTS (SELECT FROM connector_geom);"
        " EXCEPTION WHEN undefined_table THEN RETURN false; END $$;"
        "INSERT INTO connector_geom VALUES (1);"
        "CREATE TABLE checked (a bigint CHECK (known(a))); INSERT INTO checked VALUES (1)",
    )
    archive, target = backup(database, dest), unused()
    refused = restore(target, archive)
    assert "restoring data of" in refused.error
    assert "violates check constraint" in refused.error
    assert target not in names()

    # The same into a database that was there before: it stays.
    sql("postgres", f"CREATE DATABASE {quoted(target)} TEMPLATE template0")
    assert "violates check constraint" in restore(target, archive).error
    assert target in names()


def test_restores_by_sections(database: str, dest: str, unused: Unused) -> None:
    archive, target = backup(database, dest), unused()
    assert "there is no database" in restore(target, archive, sections=["post-data"]).error
    first = restore(target, archive, sections=["data", "pre-data"])
    assert first.result["created"]
    assert set(first.result["seconds"]) == {"pre-data", "data", "analyze", "verify"}
    assert support.rows(target) == support.rows(database)
    assert value(target, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == "0"
    swap = run_module("database_swap", login_db=database, replacement=target, keep_as=unused())
    assert "was never finished" in swap.error
    assert "has rows already" in restore(target, archive, sections=["data"]).error

    last = restore(target, archive, sections=["post-data"])
    assert not last.result["created"]
    assert sql(target, OBJECTS) == sql(database, OBJECTS)
    assert sql(target, PROPERTIES) == sql(database, PROPERTIES)


def test_starts_again_after_it_was_killed(database: str, dest: str, unused: Unused) -> None:
    archive, target = backup(database, dest), unused()
    running = support.start_module("pg_restore", login_db=target, archive=archive)
    deadline = time.monotonic() + 20
    while target not in names():
        assert time.monotonic() < deadline
    running.kill()
    running.communicate()
    deadline = time.monotonic() + 20
    while support.processes("pg_restore", archive):
        assert time.monotonic() < deadline
    if value("postgres", f"SELECT count(*) FROM pg_database WHERE datname = $q${target}$q$") == "1":
        assert restore(target, archive).result["created"] or support.rows(target) == {}
    assert support.rows(target) == support.rows(database)


def test_replaces_in_place_or_not_at_all(database: str, dest: str) -> None:
    archive = backup(database, dest)
    before = support.rows(database)
    sql(database, "DELETE FROM treenode WHERE id > 100; DROP TABLE connector_geom; CREATE TABLE new_one (a int)")
    changed = support.rows(database)
    assert "tables already" in restore(database, archive).error
    assert restore(database, archive, in_place=True, check=True).changed
    assert support.rows(database) == changed
    assert "all sections" in restore(database, archive, in_place=True, sections=["data"]).error

    # Something that hangs on what is to be replaced, and that the archive does not know.
    sql(database, "CREATE VIEW in_the_way AS SELECT * FROM treenode")
    assert "in_the_way" in restore(database, archive, in_place=True, verify=False).error
    assert support.rows(database) == changed

    sql(database, "DROP VIEW in_the_way; DROP TABLE new_one")
    done = restore(database, archive, in_place=True)
    assert done.changed
    assert not done.result["created"]
    assert support.rows(database) == before


def test_restores_as_the_owner_of_the_database(spatial: str, dest: str, unused: Unused) -> None:
    database = spatial
    archive, target = backup(database, dest), unused()
    login = {"login_host": "localhost", "login_user": support.OWNER, "login_password": support.PASSWORD}
    assert "permission denied to create database" in restore(target, archive, **login).error
    sql("postgres", f"CREATE DATABASE {quoted(target)} TEMPLATE template0 OWNER {quoted(support.OWNER)}")
    assert 'permission denied to create extension "postgis"' in restore(target, archive, **login).error
    sql(target, "CREATE EXTENSION postgis")
    done = restore(target, archive, **login)
    assert done.changed
    assert support.PASSWORD not in done.output
    assert {entry["reason"].split(";")[0] for entry in done.result["skipped"]} == {
        "the extension exists already",
        "the extension has its comment already, and only its owner may change it",
        "the table belongs to PostGIS",
    }
    assert support.rows(target) == support.rows(database)
    assert sql(target, OBJECTS) == sql(database, OBJECTS)


def test_restores_roles_that_are_missing(database: str, dest: str, unused: Unused) -> None:
    lost, group, target = "it lost; \"role'", "it group", unused()
    sql(
        database,
        f"CREATE ROLE {quoted(group)}; CREATE ROLE {quoted(lost)} LOGIN PASSWORD 'x' IN ROLE {quoted(group)};"
        f"CREATE TABLE of_lost (a int); ALTER TABLE of_lost OWNER TO {quoted(lost)};"
        f"GRANT CONNECT ON DATABASE {quoted(database)} TO {quoted(lost)}",
    )
    try:
        shadow = f"SELECT rolpassword, rolcanlogin FROM pg_authid WHERE rolname = $q${lost}$q$"
        password = sql("postgres", shadow)
        archive = backup(database, dest)
        without = backup(database, dest, globals=False)
        sql(database, f"DROP OWNED BY {quoted(lost)}; DROP ROLE {quoted(lost)}; DROP ROLE {quoted(group)}")
        for options in ({}, {"check": True}):
            assert "do not exist: \"role'" in restore(target, archive, **options).error.replace("role'\".", "role'")
        assert "with a backup that has its roles beside it" in restore(target, without, restore_roles=True).error
        assert target not in names()

        sql("postgres", f"ALTER ROLE {quoted(support.OWNER)} CONNECTION LIMIT 77")  # must not be put back
        assert set(restore(target, archive, restore_roles=True, check=True).result["roles_created"]) == {lost, group}
        done = restore(target, archive, restore_roles=True)
        assert set(done.result["roles_created"]) == {lost, group}
        assert sql("postgres", shadow) == password
        assert password[0][0] not in done.output
        assert value("postgres", f"SELECT pg_has_role($q${lost}$q$, '{group}', 'MEMBER')") == "t"
        limit = f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{support.OWNER}'"
        assert value("postgres", limit) == "77"
        assert value(target, "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'of_lost'") == lost
    finally:
        sql("postgres", f"ALTER ROLE {quoted(support.OWNER)} CONNECTION LIMIT -1")
        for name in (database, target):
            support.drop(name)
        sql("postgres", f"DROP ROLE IF EXISTS {quoted(lost)}; DROP ROLE IF EXISTS {quoted(group)}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"archive": "/nonexistent"}, "no such file"),
        ({"archive": "/etc"}, "neither a manifest nor an archive"),
        ({"archive": "/etc/passwd"}, "no archive of pg_dump"),
        ({"sections": []}, "no section"),
        ({"jobs": 0}, "no number of jobs"),
        ({"create_extensions": ["nosuch"]}, "no extension nosuch"),
        ({"create_database": False}, "there is no database"),
        ({"owner": "nobody here"}, "do not exist: nobody here"),
    ],
)
def test_says_what_is_wrong(
    database: str, dest: str, unused: Unused, options: dict[str, Any], message: str
) -> None:  # fmt: skip
    target = unused()
    archive = options.get("archive") or backup(database, dest)
    for check in (True, False):
        assert (
            message
            in run_module("pg_restore", check=check, **{"login_db": target, "archive": archive, **options}).error
        )
    assert target not in names()


def flipped(content: bytes, place: int) -> bytes:
    """Return ``content`` with one bit changed."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_keeps_encoding_and_locale(dest: str, unused: Unused) -> None:
    newer = int(value("postgres", "SHOW server_version_num")) >= 170000
    kinds = [
        "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
        "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'",
        *(["LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"] if newer else []),
    ]
    locale = (
        "SELECT pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider, to_jsonb(d) ->>"
        f" '{'datlocale' if newer else 'daticulocale'}' FROM pg_database d WHERE datname = current_database()"
    )
    for kind in kinds:
        original, target = unused(), unused()
        sql("postgres", f"CREATE DATABASE {quoted(original)} TEMPLATE template0 {kind}")
        assert restore(target, backup(original, dest)).changed
        assert sql(target, locale) == sql(original, locale)
