# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is computed around dumps and backups, without a server: names, arguments, tables of contents, roles."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import loading, store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import (
    catalog,
    client,
    compress,
    dump,
    restore,
    roles,
    toc,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.catalog import Table
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.dump import Compression, Plan

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=timezone.utc)
TABLES = [
    Table(1, "public", "treenode", 0, True),
    Table(2, "copies", "treenode", 0, False),
    Table(3, "Odd.Schema", "Odd.Table*", 0, False),
    Table(4, "public", "a.b", 0, True),
    Table(5, "public", 'quo"ted', 0, True),
    Table(6, "one", "twice", 0, False),
    Table(7, "other", "twice", 0, False),
]
LISTING = """\
;
; Archive created at 2026-11-23 22:26:56 UTC
;     dbname: a: b
;     Format: DIRECTORY
;     Dumped from database version: 15.20 (Debian 15.20-0+deb12u1)
;     Dumped by pg_dump version: 17.2 (Debian 17.2-1)
;
; Selected TOC Entries:
;
7; 2615 17429 SCHEMA - Sch A my owner
2; 3079 16385 EXTENSION - postgis 
4251; 0 0 COMMENT - EXTENSION postgis 
221; 1259 17430 TABLE Sch A T.x* my owner
4243; 0 17430 TABLE DATA Sch A T.x* my owner
;	depends on: 221 7
4092; 0 16698 TABLE DATA public spatial_ref_sys postgres
900; 1247 5 TYPE public floatrange somebody
"""  # noqa: W291
GLOBALS = r"""
\restrict abc
SET default_transaction_read_only = off;
CREATE ROLE "my; ""own"" er";
ALTER ROLE "my; ""own"" er" WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:x;y';
CREATE ROLE readers;
ALTER ROLE readers SET search_path TO 'public';
GRANT readers TO "my; ""own"" er" WITH INHERIT TRUE GRANTED BY postgres;
CREATE TABLESPACE fast OWNER postgres LOCATION '/fast';
DROP ROLE readers;
"""


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("treenode", [1]),
        ("public.treenode", [1]),
        ("copies.treenode", [2]),
        ('"copies"."treenode"', [2]),
        ("copies.*", []),
        ("treenod%", []),
        ("Treenode", []),
        ("", []),
        ('"', []),
        ('"copies".', []),
        ("Odd.Table*", [3]),
        ("Odd.Schema.Odd.Table*", [3]),
        ('"Odd.Schema"."Odd.Table*"', [3]),
        ("a.b", [4]),
        ('public."a.b"', [4]),
        ('quo"ted', [5]),
        ('"quo""ted"', [5]),
        ("twice", [6, 7]),
    ],
)
def test_a_name_of_a_table_means_it_literally(name: str, found: list[int]) -> None:
    assert [table.oid for table in catalog.find(name, TABLES)] == found


def test_patterns_of_pg_dump_mean_one_table() -> None:
    assert [dump.pattern(table) for table in TABLES[2:5]] == [
        '"Odd.Schema"."Odd.Table*"',
        '"public"."a.b"',
        '"public"."quo""ted"',
    ]


@pytest.mark.parametrize(
    ("method", "level", "major", "chosen", "argument"),
    [
        ("auto", None, 15, Compression("zstd", 1, "zstd"), "--compress=0"),
        ("zstd", 3, 15, Compression("zstd", 3, "zstd"), "--compress=0"),
        ("auto", None, 17, Compression("zstd", 1), "--compress=zstd:1"),
        ("zstd", None, 17, Compression("zstd", None), "--compress=zstd"),
        ("auto", 7, 17, Compression("zstd", 7), "--compress=zstd:7"),
        ("none", None, 15, Compression("none", None), "--compress=0"),
        ("none", None, 16, Compression("none", None), "--compress=none"),
        ("gzip", None, 15, Compression("gzip", None), "--compress=6"),
        ("gzip", 9, 16, Compression("gzip", 9), "--compress=gzip:9"),
        ("lz4", None, 16, Compression("lz4", None), "--compress=lz4"),
    ],
)
def test_compression(
    monkeypatch: pytest.MonkeyPatch, method: str, level: int | None, major: int, chosen: Compression, argument: str
) -> None:
    monkeypatch.setattr(compress, "available", lambda: "/usr/bin/zstd")
    assert dump.compression(method, level, major) == chosen
    assert dump.compression_argument(chosen, major) == argument


@pytest.mark.parametrize("zstd", [None, "/usr/bin/zstd"])
def test_compression_of_one_file_or_without_the_program(monkeypatch: pytest.MonkeyPatch, zstd: str | None) -> None:
    monkeypatch.setattr(compress, "available", lambda: zstd)
    assert dump.compression("auto", None, 15, "custom") == Compression("gzip", 1)
    assert dump.compression("auto", None, 17, "custom") == Compression("zstd", 1)
    assert (dump.compression("auto", None, 15).method == "zstd") == bool(zstd)
    with pytest.raises(CatmaidError):
        dump.compression("zstd", None, 15, "custom")
    if not zstd:
        assert dump.compression("auto", None, 15) == Compression("gzip", 1)
        with pytest.raises(CatmaidError, match="no program zstd"):
            dump.compression("zstd", None, 15)


@pytest.mark.parametrize(("method", "level", "major"), [("lz4", None, 15), ("none", 1, 17), ("gzip", 10, 15)])
def test_compression_that_cannot_be_had(method: str, level: int | None, major: int) -> None:
    with pytest.raises(CatmaidError):
        dump.compression(method, level, major)


def test_arguments_of_pg_dump() -> None:
    plan = Plan("directory", 3, Compression("zstd", 2), [TABLES[3]], [TABLES[2]])
    assert dump.arguments(plan, "/b/dump", "00-1", 17) == [
        "--format=directory",
        "--file=/b/dump",
        "--snapshot=00-1",
        "--compress=zstd:2",
        "--lock-wait-timeout=2000",
        "--no-password",
        "--no-sync",
        "--jobs=3",
        '--exclude-table="public"."a.b"',
        '--exclude-table-data="Odd.Schema"."Odd.Table*"',
    ]
    assert "--jobs=1" not in dump.arguments(Plan("custom", 1, Compression("none")), "/b", "0", 15)


def test_a_database_is_never_taken_for_a_connection_string() -> None:
    assert client.conninfo("host=evil o'clock \\") == "dbname='host=evil o\\'clock \\\\'"


def test_table_of_contents() -> None:
    contents = toc.parse(LISTING)
    assert (contents.format, contents.server_version, contents.pg_dump_version) == ("directory", "15.20", "17.2")
    assert contents.server_major == 15
    assert contents.data_oids() == {17430, 16698}
    assert contents.extensions() == ["postgis"]
    assert [entry.kind for entry in contents.entries] == [
        *("SCHEMA", "EXTENSION", "COMMENT", "TABLE", "TABLE DATA", "TABLE DATA", "TYPE"),
    ]
    assert [entry.depends for entry in contents.entries if entry.dump_id == 4243] == [(221, 7)]


def test_an_index_is_built_early_unless_it_needs_more_than_its_table() -> None:
    contents = toc.parse(
        LISTING
        + """\
901; 1255 6 FUNCTION public picky(integer) somebody
902; 1259 7 INDEX public by_extension_and_type somebody
;\tdepends on: 221 2 900
903; 1259 8 INDEX public by_function somebody
;\tdepends on: 221 901
904; 2606 9 CONSTRAINT public T.x* T_pkey somebody
;\tdepends on: 221
905; 1259 10 INDEX public part somebody
;\tdepends on: 221 904
906; 1259 11 INDEX public of_another_table somebody
;\tdepends on: 777
"""
    )
    found = loading.independent(contents.entries, {221})
    assert [(entry.dump_id, table) for entry, table in found] == [(902, 221), (904, 221)]


def test_missing_owners_are_found_whatever_their_names() -> None:
    contents = toc.parse(LISTING)
    assert restore.missing_roles(contents, {"my owner", "postgres", "somebody"}) == []
    assert restore.missing_roles(contents, {"postgres"}) == ["owner", "somebody"]


@pytest.mark.parametrize(
    ("superuser", "in_place", "left_out"),
    [
        (True, False, []),
        (True, True, ["EXTENSION", "COMMENT"]),
        (False, False, ["EXTENSION", "COMMENT", "TABLE DATA"]),
    ],
)
def test_only_what_is_known_to_do_no_harm_is_left_out(superuser: bool, in_place: bool, left_out: list[str]) -> None:
    contents = toc.parse(LISTING)
    lines = restore.noise(contents, superuser=superuser, in_place=in_place)
    assert [entry.kind for entry in contents.entries if entry.line in lines] == left_out


def test_only_statements_about_roles_are_taken_from_a_globals_file() -> None:
    found = roles.parse(GLOBALS)
    assert [(s.role, s.group, s.creates) for s in found] == [
        ('my; "own" er', "", True),
        ('my; "own" er', "", False),
        ("readers", "", True),
        ("readers", "", False),
        ('my; "own" er', "readers", False),
    ]
    assert found[-1].sql == 'GRANT readers TO "my; ""own"" er" WITH INHERIT TRUE;'


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("catmaid", "catmaid"),
        ("my db/x", "my%20db%2Fx"),
        (".hidden", "%2Ehidden"),
        ("..", "%2E."),
        ("100%", "100%25"),
        ("Ü", "%C3%9C"),
    ],
)
def test_a_database_has_a_folder_of_its_own(name: str, path: str) -> None:
    assert store.safe(name) == path


@pytest.mark.parametrize(
    ("describe", "taken", "name"),
    [
        ("2021.12.21-43-g2964e04e6", [], "catmaid_20261123T120000Z_2021.12.21-43-g2964e04e6"),
        ("feature/x y", [], "catmaid_20261123T120000Z_feature-x-y"),
        ("", [], "catmaid_20261123T120000Z_unversioned"),
        ("1", ["catmaid_20261123T120000Z_1"], "catmaid_20261123T120000Z_1.2"),
        ("1", ["catmaid_20261123T120000Z_1", "catmaid_20261123T120000Z_1.2"], "catmaid_20261123T120000Z_1.3"),
    ],
)
def test_a_backup_has_a_name_of_its_own(describe: str, taken: list[str], name: str) -> None:
    assert store.new_id("catmaid", describe, NOON, taken) == name


def test_a_name_fits_into_a_folder() -> None:
    assert len(store.PARTIAL + store.new_id("ü" * 31, "x" * 80, NOON, [])) <= 255


@pytest.mark.parametrize(("text", "number"), [("90", 90), ("0", 0), ("5m", 300), (" 24h ", 86400), ("2w", 1209600)])
def test_spans_of_time(text: str, number: int) -> None:
    assert store.seconds(text) == number


@pytest.mark.parametrize("text", ["", "h", "1.5h", "-1", "1 month"])
def test_spans_of_time_that_are_none(text: str) -> None:
    with pytest.raises(CatmaidError):
        store.seconds(text)
