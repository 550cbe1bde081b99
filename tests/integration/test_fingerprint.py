# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of tables: equal for equal contents, different for any other, and never a reason to fail."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import catalog, fingerprint
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.fingerprint import Content
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support
from tests.integration.support import sql

pytestmark = pytest.mark.once("trixie")

# Types whose text depends on settings of the session, and columns that are hard to name.
HARD = """
CREATE TYPE pair AS (a int, "b c" text);
CREATE TABLE hard ("select" int, "Ä" timestamptz, "a b" float8, "q""q" bytea, i interval, d date, r regclass,
                   n numeric, j jsonb, p pair, t text[], m money, x xml);
INSERT INTO hard VALUES
  (1, '2020-06-01 12:00+00', 0.1::float8 + 0.2::float8, '\\x00ff', '1 mon 2 days -03:00', '2020-02-03', 'hard',
   1.10, '{"b": 1, "a": [2]}', ROW(1, 'x,y"'), '{a,NULL,"b c"}', 1.5, '<a/>'),
  (NULL, NULL, 'NaN', '', NULL, 'infinity', NULL, NULL, 'null', NULL, '{}', NULL, NULL);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE no_rows (a int);
CREATE TABLE one_way (a int, b text);
INSERT INTO one_way SELECT n, 'n' || n FROM generate_series(1, 1000) n;
CREATE TABLE other_way (dropped int, b text, a int);
ALTER TABLE other_way DROP COLUMN dropped;
INSERT INTO other_way SELECT 'n' || n, n FROM generate_series(1000, 1, -1) n;
CREATE TABLE twice (a int, b text);
INSERT INTO twice SELECT * FROM one_way UNION ALL SELECT * FROM one_way;
CREATE TABLE swapped (a int, b text);
INSERT INTO swapped SELECT a, 'n' || CASE a WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE a END FROM one_way;
"""
# Found on PostgreSQL 15 and 17 alike; that they are equal is the point.
KNOWN = {
    "public.hard": "2:3327496520866755346",
    "public.no_columns": "2:5466658562203524248",
    "public.no_rows": "0:0",
    "public.one_way": "1000:-388273160324551077467",
}


def read(server: Server, database: str, **options: Any) -> dict[str, Content]:
    with server.connect(database) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        tables = catalog.tables(connection)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            snapshot = cursor.fetchone()[0]
        hashed = {table.oid for table in tables}
        found = fingerprint.read(
            server, database, connection, tables, **{"hashed": hashed, "snapshot": snapshot, **options}
        )
        assert fingerprint.comparable(connection)
    return {table.label: found[table.oid] for table in tables}


def test_equal_contents_are_equal_and_others_are_not(database: str, server: Server) -> None:
    sql(database, HARD)
    found = read(server, database)
    assert found["public.one_way"] == found["public.other_way"]
    assert found["public.one_way"].rows == 1000
    assert found["public.twice"].rows == 2000
    prints = [found[f"public.{name}"].fingerprint for name in ("one_way", "twice", "swapped")]
    assert len(set(prints)) == 3
    # The parent's own rows only, and names that need quotes.
    assert found["public.location"].rows == 7
    assert found['"Odd.Schema"."Odd.Table*"'].rows == 3
    assert not any(content.problem for content in found.values())
    assert {name: found[name].fingerprint for name in KNOWN} == KNOWN


@pytest.mark.parametrize("jobs", [1, 4])
def test_settings_and_sessions_make_no_difference(database: str, server: Server, jobs: int) -> None:
    sql(database, HARD)
    before = read(server, database)
    name = support.quoted(database)
    for setting, value in {
        "DateStyle": "German", "IntervalStyle": "iso_8601", "TimeZone": "Asia/Tokyo", "extra_float_digits": "0",
        "bytea_output": "escape", "search_path": "Odd.Schema", "xmlbinary": "hex",
    }.items():  # fmt: skip
        sql("postgres", f"ALTER DATABASE {name} SET {setting} TO '{value}'")
    seen: list[str] = []
    assert read(server, database, jobs=jobs, on_table=lambda table: seen.append(table.label)) == before
    assert sorted(seen) == sorted(before)
    # Asked for rows only.
    assert {content.fingerprint for content in read(server, database, hashed=(), jobs=jobs).values()} == {None}


def test_a_table_that_cannot_be_hashed_is_counted(database: str, server: Server) -> None:
    # As a row is whose text has more than the gigabyte that a text can have, which takes longer to show.
    sql(
        database,
        """CREATE TYPE mute;
        CREATE FUNCTION mute_in(cstring) RETURNS mute LANGUAGE internal IMMUTABLE STRICT AS 'textin';
        CREATE FUNCTION mute_out(mute) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'shell_out';
        CREATE TYPE mute (INPUT = mute_in, OUTPUT = mute_out);
        CREATE TABLE quiet (a int, b mute);
        INSERT INTO quiet VALUES (1, 'x'), (2, NULL)""",
    )
    before = read(server, database)
    assert before["public.quiet"].rows == 2
    assert before["public.quiet"].fingerprint is None
    assert "cannot display" in before["public.quiet"].problem
    assert before["public.treenode"].fingerprint
    assert read(server, database, jobs=3) == before
