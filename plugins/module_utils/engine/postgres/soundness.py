# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL itself promises of a database, looked at again: it can be broken by replica mode, crashes and hands.

All of it only reads, but for :func:`advance` and :func:`reindex`. ``ONLY`` everywhere, as foreign keys and unique
indexes are not inherited.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .server import Server, quoted

OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

_FOREIGN_KEYS = f"""
    SELECT k.conname, k.conrelid::regclass::text, k.confrelid::regclass::text, k.confmatchtype = 'f',
           (SELECT array_agg(a.attname::text ORDER BY place) FROM unnest(k.conkey) WITH ORDINALITY u(number, place)
              JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
           (SELECT array_agg(a.attname::text ORDER BY place) FROM unnest(k.confkey) WITH ORDINALITY u(number, place)
              JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number),
           k.conrelid::bigint, k.confrelid::bigint
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND c.relkind = 'r' AND {OURS}
     ORDER BY 2, 1"""

# A column's default names its sequence, or the column owns it (serial, identity).
_SEQUENCES = f"""
    SELECT DISTINCT s.oid::regclass::text, a.attrelid::regclass::text, a.attname
      FROM pg_depend d
      JOIN pg_class s ON s.relkind = 'S' AND s.oid IN (d.refobjid, d.objid)
      LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
      JOIN pg_attribute a ON NOT a.attisdropped
       AND ((d.deptype IN ('a', 'i') AND d.objid = s.oid AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid)
            OR (d.refobjid = s.oid AND a.attrelid = f.adrelid AND a.attnum = f.adnum))
      JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE {OURS}
     ORDER BY 1, 2, 3"""

_TRIGGERS = f"""
    SELECT t.tgrelid::regclass::text, CASE WHEN t.tgisinternal THEN 'of the constraint ' || k.conname ELSE t.tgname END
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
     WHERE t.tgenabled IN ('D', 'R') AND {OURS}
     GROUP BY 1, 2 ORDER BY 1, 2"""

_CONSTRAINTS = f"""
    SELECT k.conrelid::regclass::text, k.conname
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT k.convalidated AND {OURS}
     ORDER BY 1, 2"""

_INDEXES = f"""
    SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND {OURS}
     ORDER BY 1"""


@dataclass(frozen=True)
class Behind:
    """A sequence that would give a number once more: ``highest`` is the highest one in use."""

    sequence: str
    column: str
    highest: int
    last: int


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key, with a query of the rows that lead to nothing: ``example``, what they tell, and ``rows``."""

    name: str
    table: str
    other: str
    columns: str
    oids: tuple[int, int]
    query: str


def foreign_keys(connection: Any) -> Iterator[ForeignKey]:
    """Return all foreign keys."""
    with connection.cursor() as cursor:
        cursor.execute(_FOREIGN_KEYS)
        found = cursor.fetchall()
    for name, table, other, full, columns, keys, oid, other_oid in found:
        here = [f"h.{quoted(column, connection)}" for column in columns]
        there = [f"t.{quoted(key, connection)}" for key in keys]
        # A row with one NULL refers to nothing, unless all have to be given.
        given = " OR ".join(f"{column} IS NOT NULL" for column in here) if full else ""
        given = given or " AND ".join(f"{column} IS NOT NULL" for column in here)
        same = " AND ".join(f"{one} = {two}" for one, two in zip(here, there))
        query = (
            f"SELECT concat_ws(', ', {', '.join(here)}) AS example, count(*) AS rows FROM ONLY {table} h"
            f" WHERE ({given}) AND NOT EXISTS (SELECT FROM ONLY {other} t WHERE {same}) GROUP BY 1"
        )
        yield ForeignKey(name, table, other, ", ".join(columns), (oid, other_oid), query)


def orphans(connection: Any) -> Iterator[str]:
    """Tell which foreign keys have rows that lead to nothing, and of how many rows."""
    for key in foreign_keys(connection):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT sum(rows)::bigint, min(example) FROM ({key.query}) lost")
            rows, example = cursor.fetchone()
        if rows:
            yield lost(key, rows, example)


def lost(key: ForeignKey, rows: int, example: str) -> str:
    """Say that rows lead to nothing."""
    return (
        f"{rows} rows of {key.table} lead to no row of {key.other}: {key.columns} {example} for instance ({key.name})"
    )


def behind(connection: Any) -> Iterator[Behind]:
    """Return the sequences whose next number is in use already."""
    with connection.cursor() as cursor:
        cursor.execute(_SEQUENCES)
        found: dict[str, Behind] = {}
        for sequence, table, column in cursor.fetchall():
            # Those that count down, or in steps, are nobody's who makes rows one by one.
            cursor.execute(
                f"SELECT (SELECT max({quoted(column, connection)}) FROM ONLY {table})::bigint, last_value, is_called,"
                f" (SELECT seqincrement FROM pg_sequence WHERE seqrelid = %s::regclass) FROM {sequence}",
                (sequence,),
            )
            highest, last, called, step = cursor.fetchone()
            following = last + step if called else last
            if highest is None or step < 1 or following > highest:
                continue
            if sequence not in found or highest > found[sequence].highest:
                found[sequence] = Behind(sequence, f"{table}.{column}", highest, last)
    yield from found.values()


def advance(connection: Any, sequence: Behind) -> None:
    """Let a sequence go on after the highest number in use; never back."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT setval(%s::regclass, greatest(%s, (SELECT last_value FROM {sequence.sequence})))",
            (sequence.sequence, sequence.highest),
        )


def disabled(connection: Any) -> Iterator[str]:
    """Tell which triggers do not fire, those of foreign keys included."""
    for table, name in _asked(connection, _TRIGGERS):
        yield f"trigger {name} of {table} does not fire"


def not_validated(connection: Any) -> Iterator[str]:
    """Tell which constraints were never checked for the rows that were there before."""
    for table, name in _asked(connection, _CONSTRAINTS):
        yield f"constraint {name} of {table} was never validated"


def unfinished(connection: Any) -> list[tuple[str, str]]:
    """Return the indexes that are not used, each with its table."""
    return _asked(connection, _INDEXES)


def reindex(server: Server, database: str, indexes: Iterable[str]) -> None:
    """Build indexes anew while people work."""
    with server.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
        for index in indexes:
            cursor.execute(f"REINDEX INDEX CONCURRENTLY {index}")


def _asked(connection: Any, query: str) -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [(str(one), str(two)) for one, two in cursor.fetchall()]
