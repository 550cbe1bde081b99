# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences, and the columns that they number."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .server import quoted

# A default that asks the sequence (serial, or one sequence for a table and those that inherit from it), or an identity.
# One that counts down or begins anew cannot be behind.
_NUMBERED = """
    WITH numbered AS (
        SELECT d.refobjid AS sequence, f.adrelid AS relation, f.adnum AS number
          FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
         WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
         UNION
        SELECT d.objid, d.refobjid, d.refobjsubid FROM pg_depend d
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
           AND d.refobjsubid > 0)
    SELECT sn.nspname, s.relname, q.seqincrement, c.oid::bigint, n.nspname, c.relname, a.attname
      FROM numbered m
      JOIN pg_sequence q ON q.seqrelid = m.sequence
      JOIN pg_class s ON s.oid = m.sequence JOIN pg_namespace sn ON sn.oid = s.relnamespace
      JOIN pg_class c ON c.oid = m.relation JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = m.relation AND a.attnum = m.number
     WHERE q.seqincrement > 0 AND NOT q.seqcycle AND c.relkind = 'r' AND c.relpersistence <> 't'
       AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     ORDER BY sn.nspname, s.relname, n.nspname, c.relname
"""


@dataclass(frozen=True)
class Behind:
    """A sequence whose next value is not above what a column holds already: an insert will fail or repeat a number."""

    sequence: str
    following: int
    column: str
    highest: int

    def __str__(self) -> str:
        return f"sequence {self.sequence} gives {self.following} next, and {self.column} holds {self.highest} already"


def behind(connection: Any, without: Collection[int] = ()) -> list[Behind]:
    """Return the sequences that are behind a column, each once; tables ``without`` are not looked at."""
    found: dict[str, Behind] = {}
    with connection.cursor() as cursor:
        cursor.execute(_NUMBERED)
        for schema, name, increment, oid, table_schema, table, column in cursor.fetchall():
            if oid in without:
                continue
            in_sql = f"{quoted(schema, connection)}.{quoted(name, connection)}"
            rows = f"{quoted(table_schema, connection)}.{quoted(table, connection)}"
            cursor.execute(
                f"SELECT last_value + CASE WHEN is_called THEN {int(increment)} ELSE 0 END,"
                f" (SELECT max({quoted(column, connection)}) FROM ONLY {rows}) FROM {in_sql}"
            )
            following, highest = cursor.fetchone()
            label = f"{schema}.{name}"
            if highest is not None and highest >= following and highest > found.get(label, _NONE).highest:
                found[label] = Behind(label, int(following), f"{table_schema}.{table}.{column}", int(highest))
    return list(found.values())


_NONE = Behind("", 0, "", -1)
