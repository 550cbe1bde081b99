# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that a database keeps itself: of roles, of tables, and what it gathers about columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import properties
from .server import quoted

ROLE, TABLE, COLUMN = "role", "table", "column"
STATISTICS = "statistics"


@dataclass(frozen=True)
class Place:
    """Where a setting is kept. ``subject``: (role, database or nothing), (schema, table) or (schema, table, column)."""

    kind: str
    subject: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        if self.kind == ROLE:
            role, database = self.subject
            return f"{self.name} of role {role}" + (f" in database {database}" if database else "")
        return f"{self.name} of {self.kind} {'.'.join(self.subject[1:])}"


@dataclass(frozen=True)
class Found:
    """What is there: a value, None where nothing is set, and why nothing can be set."""

    value: str | None
    missing: str = ""


def read(connection: Any, place: Place) -> Found:
    """Return what is set in one place."""
    with connection.cursor() as cursor:
        if place.kind == ROLE:
            return _of_role(cursor, place)
        if place.kind == TABLE:
            return _of_table(cursor, place)
        return _of_column(cursor, place)


def _of_role(cursor: Any, place: Place) -> Found:
    role, database = place.subject
    cursor.execute(
        "SELECT (SELECT oid FROM pg_roles WHERE rolname = %s), (SELECT oid FROM pg_database WHERE datname = %s)",
        (role, database),
    )
    role_oid, database_oid = cursor.fetchone()
    if role_oid is None:
        return Found(None, f"there is no role {role}")
    if database and database_oid is None:
        return Found(None, f"there is no database {database}")
    cursor.execute(
        "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = %s AND setdatabase = %s",
        (role_oid, database_oid or 0),
    )
    # The server writes a name in its own way, TimeZone for one.
    told = {name.lower(): value for name, _is, value in (str(row[0]).partition("=") for row in cursor.fetchall())}
    return Found(told.get(place.name.lower()))


def _of_table(cursor: Any, place: Place) -> Found:
    cursor.execute(
        "SELECT coalesce(c.reloptions, '{}') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'm')",
        place.subject,
    )
    row = cursor.fetchone()
    if row is None:
        return Found(None, f"there is no table {place.subject[1]}")
    told = dict(str(option).split("=", 1) for option in row[0])
    return Found(told.get(place.name.lower()))


def _of_column(cursor: Any, place: Place) -> Found:
    schema, table, column = place.subject
    cursor.execute(
        # No own target is NULL since PostgreSQL 17, -1 before.
        "SELECT nullif(a.attstattarget, -1) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s AND a.attname = %s"
        " AND c.relkind IN ('r', 'm') AND a.attnum > 0 AND NOT a.attisdropped",
        (schema, table, column),
    )
    row = cursor.fetchone()
    if row is None:
        return Found(None, f"there is no column {column} in a table {table}")
    return Found(None if row[0] is None else str(row[0]))


def statement(connection: Any, place: Place, value: str | None) -> str:
    """Return the SQL that sets a value, or sets nothing."""
    if place.kind == ROLE:
        role, database = place.subject
        who = f"ALTER ROLE {quoted(role, connection)}" + (
            f" IN DATABASE {quoted(database, connection)}" * bool(database)
        )
        if value is None:
            return f"{who} RESET {'.'.join(quoted(part, connection) for part in place.name.split('.'))}"
        return f"{who} SET {properties.setting(f'{place.name}={value}', connection)}"
    # What inherits from it has settings of its own.
    table = f"ALTER TABLE ONLY {quoted(place.subject[0], connection)}.{quoted(place.subject[1], connection)}"
    if place.kind == COLUMN:
        return f"{table} ALTER COLUMN {quoted(place.subject[2], connection)} SET STATISTICS {int(value or -1)}"
    name = quoted(place.name.lower(), connection)
    if value is None:
        return f"{table} RESET ({name})"
    return f"{table} SET ({name} = {properties.literal(value, connection)})"


def analyzed(connection: Any, places: Sequence[Place]) -> list[str]:
    """Return the SQL that gathers what is to be known about these columns."""
    tables: dict[tuple[str, ...], list[str]] = {}
    for place in places:
        if place.kind == COLUMN:
            tables.setdefault(place.subject[:2], []).append(quoted(place.subject[2], connection))
    return [
        f"ANALYZE {quoted(schema, connection)}.{quoted(table, connection)} ({', '.join(columns)})"
        for (schema, table), columns in tables.items()
    ]
