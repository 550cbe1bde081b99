# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore: what others have written, plain SQL and backups in two files, and files that mean harm."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.double_fixtures import PASSWORD, ROLE, drop_database, psql
from tests.integration.support import names, quoted, sql, value

Unused = Callable[[], str]
Databases = Callable[..., str]

OBJECTS = """
SELECT (SELECT string_agg(tgname || tgenabled::text, ',' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal),
       (SELECT string_agg(conname || convalidated::text, ',' ORDER BY conname) FROM pg_constraint WHERE conrelid <> 0),
       (SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'),
       (SELECT string_agg(proname || md5(prosrc), ',' ORDER BY proname) FROM pg_proc WHERE pronamespace =
         'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')),
       (SELECT string_agg(sequencename || last_value, ',' ORDER BY sequencename) FROM pg_sequences
         WHERE sequencename <> 'catmaid_stats_summary_id_seq'),
       (SELECT string_agg(relname || pg_get_userbyid(relowner), ',' ORDER BY relname) FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S'))
"""
# What is in the rows, the text and the functions of a database can look like anything.
TRAPS = r"""
CREATE TABLE traps (line text);
INSERT INTO traps VALUES ('\connect x'), ('DROP DATABASE postgres;'), ('\.'), (E'a\n\\.\nb'), (''''), ('$$'), (NULL),
  ('-- PostgreSQL database dump complete'), (E'\\! touch /tmp/owned\n-- Name: x; Type: INDEX; Schema: y; Owner: z');
CREATE FUNCTION trap() RETURNS text LANGUAGE sql AS $body$
  SELECT '
-- Name: x; Type: INDEX; Schema: y; Owner: z
DROP DATABASE postgres;
\connect postgres
\! touch /tmp/owned
COPY x FROM stdin;
' || $$;'$$ $body$;
CREATE FUNCTION with_body() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;
COMMENT ON TABLE traps IS E'it''s; "$$ \\! x\n\\! touch /tmp/owned\n';
CREATE VIEW "trap; view" AS SELECT E'\'; \\' AS "a;b";
"""
DERIVED = ("treenode_edge", "treenode_connector_edge", "connector_geom", "catmaid_stats_summary", "node_query_cache")
DERIVED = (*DERIVED, "catmaid_skeleton_summary")
OWNED = Path("/tmp/owned")
UNCHECKED = "SELECT count(*) FROM pg_constraint WHERE NOT convalidated"
TREENODES = 1000


def restore(database: str, archive: str | Path, **options: Any) -> support.Run:
    return support.run_module("pg_restore", login_db=database, archive=str(archive), **options)


def dump(database: str, *options: str, program: str = "pg_dump") -> bytes:
    """Return what pg_dump writes."""
    argv = [*support.AS_POSTGRES, program, *options, *([support.conninfo(database)] if program == "pg_dump" else [])]
    return subprocess.run(argv, check=True, capture_output=True, cwd="/").stdout


def packed(content: bytes, program: str) -> bytes:
    return subprocess.run([program], input=content, check=True, capture_output=True).stdout


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def spoiled(content: bytes) -> list[bytes]:
    """Return it cut short, and with a bit changed."""
    place = len(content) // 2
    return [content[:-20], content[:place], content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]]


def objects(database: str) -> list[list[str]]:
    """Return triggers, constraints, indexes, functions, sequences, and who owns what."""
    return [sorted(text.split(",")) for text in sql(database, OBJECTS)[0]]


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("cat", ["--no-comments"]),
        ("gzip", ["--create", "--clean"]),
        ("bzip2", ["--clean"]),
        ("xz", ["--inserts", "--rows-per-insert=50"]),
        ("zstd", ["--create", "--if-exists", "--clean", "--column-inserts"]),
    ],
)
def test_restores_plain_sql(
    database: str, tmp_path: Path, unused: Unused, program: str, options: list[str]
) -> None:  # fmt: skip
    if "--clean" in options:
        sql(database, support.SPATIAL)
    sql(database, f"SET ROLE {quoted(support.OWNER)}; {TRAPS}; RESET ROLE; SELECT lo_from_bytea(0, 'large')")
    plain = dump(database, *options)
    archive, target = write(tmp_path / "no name tells it", packed(plain, program)), unused()
    predicted = restore(target, archive, check=True, diff=True)
    assert predicted.changed
    assert predicted.result["created"]
    assert target not in names()
    done = restore(target, archive, diff=True)
    assert done.changed
    assert done.result["diff"] == predicted.result["diff"]
    assert done.result["skipped"] == predicted.result["skipped"]
    assert done.result["left_out"] == []
    assert support.rows(target) == support.rows(database)
    assert objects(target) == objects(database)
    assert support.is_proven(done, database)
    for query in (
        "SELECT md5(string_agg(line, '+' ORDER BY line)) FROM traps",
        'SELECT "a;b" FROM "trap; view"',
        "SELECT trap() || with_body()",
        *([] if "--no-comments" in options else ["SELECT obj_description('traps'::regclass)"]),
        "SELECT lo_get(oid) FROM pg_largeobject_metadata",
        *(["SELECT md5(string_agg(geometry::text, ' ')) FROM catmaid_volume"] if "--clean" in options else []),
    ):
        assert sql(target, query) == sql(database, query)
    assert not OWNED.exists()
    assert database in names()
    left = {entry["reason"] for entry in done.result["skipped"]}
    assert ("it is about a database by its old name" in left) == ("--create" in options)
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert value(target, owner) == (support.OWNER if "--create" in options else "postgres")
    unmarked = (
        "SELECT shobj_description(oid, 'pg_database') IS NULL FROM pg_database WHERE datname = current_database()"
    )
    assert value(target, unmarked) == "t"
    assert "tables already" in restore(target, archive).error

    refused = unused()
    for content in (
        spoiled(archive.read_bytes())
        if program != "cat"
        else [plain[: plain.rindex(b"complete")], plain[: len(plain) // 2]]
    ):
        archive.write_bytes(content)
        assert "reading " in restore(refused, archive).error
    assert "reading " in restore(refused, archive, check=True).error
    assert refused not in names()


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        (b"\n\nSET statement", rb"\! touch /tmp/owned", r"\! of psql"),
        (b"\n\n--\n-- Name: treenode; Type: TABLE", rb"\i /etc/passwd", r"\i of psql"),
        (
            b"\n\n--\n-- Name: treenode; Type: TABLE",
            rb"\connect postgres" + b"\n" + rb"\connect other",
            "postgres, other",
        ),
        (b"\n\n--\n-- Name: treenode; Type: TABLE", b"COPY treenode TO PROGRAM 'touch /tmp/owned';", "reaches out"),
        (b"\n\n--\n-- Name: treenode; Type: TABLE", b"ALTER ROLE postgres NOLOGIN;", "reaches out"),
        (b"\n\n--\n-- Name: treenode; Type: TABLE", b"DO $$ BEGIN END $$;", "does not write"),
        (b"\n\n--\n-- PostgreSQL database dump complete", b"SELECT 'x", "in the middle of the statement"),
    ],
)
def test_refuses_a_file_that_means_harm(
    database: str, tmp_path: Path, unused: Unused, place: bytes, text: bytes, message: str
) -> None:
    plain = dump(database)
    assert place in plain
    archive = write(tmp_path / "dump.sql", plain.replace(place, b"\n\n" + text + b"\n" + place, 1))
    target = unused()
    for check in (True, False):
        assert message in restore(target, archive, check=check).error
    assert target not in names()
    assert not OWNED.exists()


def test_never_touches_another_database(database: str, tmp_path: Path, unused: Unused) -> None:
    live, target = unused(), unused()
    sql("postgres", f"CREATE DATABASE {quoted(live)} TEMPLATE {quoted(database)}")
    before = support.rows(live)
    plain = dump(database).replace(
        b"\n\nSET statement",
        f"\n\nDROP DATABASE {quoted(live)};\nALTER DATABASE {quoted(live)} RENAME TO gone;\n"
        f"ALTER DATABASE {quoted(live)} CONNECTION LIMIT 0;\n\n\nSET statement".encode(),
        1,
    )
    done = restore(target, write(tmp_path / "dump.sql", plain))
    assert sum(entry["reason"] == "it is about a database by its old name" for entry in done.result["skipped"]) == 3
    assert support.rows(live) == before
    assert support.rows(target) == before

    # What a reader of text can be deceived about, the server is not: it refuses this between BEGIN and COMMIT.
    refused = unused()
    hidden = (
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE plpgsql AS $f$"
        f" BEGIN EXECUTE $s$DROP DATABASE {quoted(live)}$s$; RETURN 1; END $f$;\n"
        "CREATE TABLE public.evil (a int DEFAULT public.f());\nINSERT INTO public.evil DEFAULT VALUES;\n"
    ).encode()
    first = b"\n\n--\n-- Name: "
    archive = write(tmp_path / "dump.sql", dump(database).replace(first, b"\n\n" + hidden + first, 1))
    assert "DROP DATABASE cannot run inside a transaction" in restore(refused, archive).error
    assert live in names()
    assert refused not in names()


def test_drops_what_fails_halfway(database: str, tmp_path: Path, unused: Unused) -> None:
    target, plain = unused(), dump(database)
    damaged = plain.replace(b"\n17\t", b"\nno number\t", 1)
    assert damaged != plain
    refused = restore(target, write(tmp_path / "dump.sql", damaged))
    assert "no number" in refused.error
    assert "line " in refused.error
    assert target not in names()
    assert "plain SQL cannot" in restore(database, write(tmp_path / "dump.sql", plain), in_place=True).error
    assert "single tables cannot" in restore(target, tmp_path / "dump.sql", tables=["treenode"]).error


def test_restores_plain_sql_by_sections(database: str, tmp_path: Path, unused: Unused) -> None:
    archive, target = write(tmp_path / "dump.sql", dump(database)), unused()
    assert restore(target, archive, sections=["pre-data", "data"]).changed
    assert support.rows(target) == support.rows(database)
    assert value(target, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == "0"
    assert restore(target, archive, sections=["post-data"]).changed
    assert objects(target) == objects(database)


def test_restores_plain_sql_as_the_owner_of_the_database(spatial: str, tmp_path: Path, unused: Unused) -> None:
    archive, target = write(tmp_path / "dump.sql", dump(spatial, "--create", "--clean")), unused()
    login = {"login_host": "localhost", "login_user": support.OWNER, "login_password": support.PASSWORD}
    sql("postgres", f"CREATE DATABASE {quoted(target)} TEMPLATE template0 OWNER {quoted(support.OWNER)}")
    sql(target, "CREATE EXTENSION postgis")
    done = restore(target, archive, **login)
    assert {entry["reason"].split(";")[0] for entry in done.result["skipped"]} >= {
        "the extension exists already",
        "the extension has its comment already, and only its owner may change it",
        "the table belongs to PostGIS",
    }
    assert support.rows(target) == support.rows(spatial)
    assert objects(target) == objects(spatial)


def test_says_what_a_server_lacks(database: str, tmp_path: Path, unused: Unused) -> None:
    target, plain = unused(), dump(database)
    owner = quoted(support.OWNER).encode()
    cases = {
        plain.replace(b"OWNER TO " + owner, b"OWNER TO nobody_here"): "do not exist: nobody_here",
        plain.replace(
            b"\n\nSET default_tablespace", b"\n\nCREATE EXTENSION IF NOT EXISTS nosuch WITH SCHEMA public;\n\n"
            b"--\n-- Name: nosuch; Type: EXTENSION; Schema: -; Owner: \n--\n\nSET default_tablespace", 1
        ): "no extension nosuch",
        plain.replace(b"from database version ", b"from database version 9", 1): "comes from PostgreSQL 9",
        dump(database, "--schema-only"): "no rows",
        packed(dump(database, "-Fc"), "gzip"): "compressed once more",
        b"\x04\x22\x4d\x18 lz4": "compressed with lz4",
        dump("", program="pg_dumpall"): "pg_dumpall wrote it; the databases in it are",
        dump("", "--globals-only", program="pg_dumpall"): "only roles",
    }  # fmt: skip
    for content, message in cases.items():
        for check in (True, False):
            assert message in restore(target, write(tmp_path / "a dump", content), check=check).error
    assert target not in names()
    # What only a newer server knows is left out.
    newer = plain.replace(b"\n\nSET statement_timeout", b"\n\nSET no_such_timeout = 0;\nSET statement_timeout", 1)
    done = restore(
        target,
        write(tmp_path / "a dump", newer.replace(b"SET statement", b"SET no_such_timeout = 0;\nSET statement", 1)),
    )
    assert {"entry": "SET no_such_timeout", "reason": "this server does not know the setting"} in done.result["skipped"]


@pytest.fixture
def target() -> Iterator[str]:
    """The name of a database that does not exist; dropped afterwards."""
    drop_database("double_restored")
    yield "double_restored"
    drop_database("double_restored")


def two_files(database: str, folder: Path) -> Path:
    """Write a backup in two files, with the options of CATMAID's script; return the one with the rows."""
    without = [word for table in DERIVED for word in ("-T", table)]
    folder.mkdir(exist_ok=True)
    schema = dump(database, "--create", "--clean", "--schema-only")
    write(folder / f"{database}.schema.gz.dump", gzip.compress(schema))
    rows = dump(database, "--disable-triggers", "--create", "--clean", "-Fc", *without)
    return write(folder / f"{database}.all.gz.dump", rows)


def contents(database: str, tables: list[str]) -> list[list[str]]:
    """Return rows and checksum of each table's named columns, whatever their order is."""
    row = "to_jsonb(t)::text"
    queries = [
        f"SELECT '{table}', count(*)::text, md5(string_agg({row}, ' ' ORDER BY {row})) FROM ONLY {table} t"
        for table in tables
    ]
    return sql(database, " UNION ALL ".join(queries) + " ORDER BY 1")


def source_tables(database: str) -> list[str]:
    listed = psql(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").splitlines()
    return [table for table in listed if table not in (*DERIVED, "spatial_ref_sys")]


def test_restores_backups_in_two_files(double_database: Databases, tmp_path: Path, target: str) -> None:
    database, other = double_database(treenodes=TREENODES), double_database(treenodes=TREENODES)
    folder = tmp_path / "set"
    rows = two_files(database, folder)
    schema = folder / f"{database}.schema.gz.dump"
    geometry = DERIVED[:3]
    tables = [*source_tables(database), *geometry]
    before = contents(database, tables)

    for path, fill in ((rows, True), (folder, False)):
        done = restore(target, path, jobs=2, fill=fill)
        assert done.changed
        empty = DERIVED[3:] if fill else DERIVED
        left = {entry["name"]: entry for entry in done.result["left_out"]}
        assert set(left) == set(empty)
        assert all("rebuild_materializations" in entry["returns_by"] for entry in left.values())
        compared = [table for table in tables if table not in empty]
        assert contents(target, compared) == [row for row in before if row[0] in compared]
        assert objects(target) == objects(database)
        assert psql(target, UNCHECKED) == psql(database, UNCHECKED)
        psql(target, "UPDATE treenode SET location_x = location_x + 1 WHERE id = (SELECT min(id) FROM treenode)")
        drop_database(target)
    assert restore(target, schema, check=True).result["created"]
    assert contents(database, tables) == before

    two_files(other, folder)
    for name in ("postgres", "template9"):
        write(folder / f"{name}.schema.gz.dump", schema.read_bytes())
    refused = restore(target, folder)
    assert f"several databases: {', '.join(sorted([database, other, 'template9']))}" in refused.error
    assert "there is no backup of nosuch" in restore(target, folder, source_db="nosuch").error
    chosen = restore(target, folder, source_db=other, check=True)
    assert f"\\connect {other}" in [entry["entry"] for entry in chosen.result["skipped"]]
    assert "tables already" in restore(other, folder, check=True).error  # its own files, and it is there


def test_refuses_half_a_backup(double_database: Databases, tmp_path: Path, target: str) -> None:
    database = double_database(treenodes=TREENODES)
    rows = two_files(database, tmp_path)
    schema = tmp_path / f"{database}.schema.gz.dump"
    good = {path: path.read_bytes() for path in (rows, schema)}
    for path, content in good.items():
        # What an archive has of so few rows is most of all its contents, which have no checksum.
        for damaged in spoiled(content)[: 2 if path == rows else 3]:
            path.write_bytes(damaged)
            assert "read" in restore(target, rows).error
        path.write_bytes(content)
    schema.rename(tmp_path / "kept")
    for check in (True, False):
        refused = restore(target, rows, check=check)
        assert f"lacks the tables {DERIVED[0]}" in refused.error
        assert "schema.gz.dump" in refused.error
    plain = dump(database, *(f"--exclude-table={table}" for table in DERIVED))
    assert f"lacks the tables {DERIVED[0]}" in restore(target, write(tmp_path / "plain", plain)).error
    (tmp_path / "kept").rename(schema)
    rows.unlink()
    assert "has no rows" in restore(target, schema).error
    write(rows, b"no archive")
    assert "should be a archive" not in restore(target, schema).error
    # Of another database than its tables are.
    psql(database, "CREATE TABLE later (a int)")
    write(rows, dump(database, "-Fc"))
    assert "does not make public later" in restore(target, rows).error
    assert target not in names()


def test_restores_two_files_with_roles_and_as_owner(double_database: Databases, tmp_path: Path, target: str) -> None:
    database, lost = double_database(treenodes=TREENODES), "it_lost_role"
    psql(
        database, f"CREATE ROLE {lost} LOGIN PASSWORD 'x'; CREATE TABLE of_lost (a int); INSERT INTO of_lost VALUES (1)"
    )
    psql(database, f"ALTER TABLE of_lost OWNER TO {lost}; GRANT SELECT ON treenode TO {lost}")
    try:
        rows = two_files(database, tmp_path)
        write(tmp_path / "globals.gz.dump", gzip.compress(dump("", "--globals-only", program="pg_dumpall")))
        psql(database, f"DROP OWNED BY {lost}; DROP ROLE {lost}")
        assert f"do not exist: {lost}" in restore(target, rows).error
        assert target not in names()
        done = restore(target, rows, restore_roles=True)
        assert done.result["roles_created"] == [lost]
        assert psql(target, "SELECT count(*) FROM of_lost") == "1"
    finally:
        drop_database(target)
        psql("postgres", f"DROP ROLE IF EXISTS {lost}")

    # The owner's login, who is no superuser, so that triggers could not be switched off.
    two_files(database, tmp_path)
    psql("postgres", f'CREATE DATABASE "{target}" OWNER {ROLE} TEMPLATE template0')
    psql(target, "CREATE EXTENSION postgis; CREATE EXTENSION pg_trgm")
    login = {"login_host": "localhost", "login_user": ROLE, "login_password": PASSWORD}
    done = restore(target, rows, **login)
    assert PASSWORD not in done.output
    assert contents(target, source_tables(database)) == contents(database, source_tables(database))
    assert objects(target) == objects(database)
