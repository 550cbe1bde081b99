# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database that is being restored holds by now, as another session sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from .server import Server

try:
    import psycopg2
except ImportError:
    pass  # Server.connect, which comes first, says so

# A table that somebody has to himself is left for the next look.
SETTINGS = {"statement_timeout": "10s", "lock_timeout": "500ms"}
FIRST_WITH_COPY = 140000
FIRST_WITH_INDEXES = 120000
ALMOST = 0.95  # what is said at most of something that has not ended

_SIZES = """
    SELECT n.nspname || ' ' || c.relname, pg_relation_size(c.oid)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND (%(tables)s IS NULL OR n.nspname || ' ' || c.relname = ANY(%(tables)s))
"""
_COPIES = """
    SELECT n.nspname || ' ' || c.relname, p.tuples_processed
      FROM pg_stat_progress_copy p
      JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE p.command = 'COPY FROM' AND p.datname = current_database()
"""
# Older servers do not tell how far a COPY is, but which one runs: pg_dump writes names as format does.
_STATEMENTS = """
    SELECT n.nspname || ' ' || c.relname, 0
      FROM pg_stat_activity a, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND a.datname = current_database() AND a.state = 'active'
       AND starts_with(a.query, format('COPY %I.%I ', n.nspname, c.relname))
"""
_MADE = """
    SELECT n.nspname || ' ' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('i', 'I') AND n.nspname !~ '^pg_'
     UNION ALL
    SELECT n.nspname || ' ' || c.relname || ' ' || k.conname
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname !~ '^pg_'
"""
_BUILDING = """
    SELECT a.query, {0}blocks_done, {0}blocks_total, {0}tuples_done, {0}tuples_total
      FROM pg_stat_activity a {1}
     WHERE a.datname = current_database() AND a.state = 'active' AND a.pid <> pg_backend_pid()
"""
_INDEX = re.compile(r'CREATE (?:UNIQUE )?INDEX "?(?P<index>[^"\s]+)"? ON (?:ONLY )?"?(?P<schema>[^".\s]+)"?\.')
_CONSTRAINT = re.compile(
    r'ALTER TABLE (?:ONLY )?"?(?P<schema>[^".\s]+)"?\."?(?P<table>[^"\s]+)"?\s+ADD CONSTRAINT "?(?P<name>[^"\s]+)"?'
)


@dataclass(frozen=True)
class Loading:
    """Tables by "schema name": the bytes on disk of those asked for, and the rows so far of those being copied."""

    sizes: Mapping[str, int]
    copying: Mapping[str, int]


@dataclass(frozen=True)
class Building:
    """Indexes by "schema name" and constraints by "schema table name": those made, and the share of those under way."""

    made: Collection[str]
    under_way: Mapping[str, float]


@contextmanager
def observer(server: Server, database: str, *, wanted: bool = True) -> Iterator[Any]:
    """Yield a session to look with, None where none is wanted or can be had. The body's errors stay as they are."""
    if not wanted:
        yield None
        return
    with ExitStack() as stack:
        try:
            # By the thread of the caller: to be another OS user for a moment concerns the whole process.
            connection = stack.enter_context(server.connect(database, autocommit=True, settings=SETTINGS))
        except (CatmaidError, psycopg2.Error):
            connection = None
        kept = stack.pop_all()
    try:
        yield connection
    finally:
        kept.close()


def harmless(look: Callable[[], None]) -> None:
    """Look; that is worth no failure, and the next look may succeed."""
    try:
        look()
    except (CatmaidError, OSError, psycopg2.Error):
        pass


def loading(connection: Any, tables: Collection[str] | None) -> Loading:
    """Look at these tables, or all. Who has a table to himself makes this wait: leave out those that are complete."""
    with connection.cursor() as cursor:
        cursor.execute(_COPIES if connection.server_version >= FIRST_WITH_COPY else _STATEMENTS)
        copying = dict(cursor.fetchall())
        cursor.execute(_SIZES, {"tables": None if tables is None else list(tables)})
        return Loading(dict(cursor.fetchall()), copying)


def building(connection: Any) -> Building:
    """Look at indexes and constraints."""
    newer = connection.server_version >= FIRST_WITH_INDEXES
    query = _BUILDING.format(
        *(("p.", "LEFT JOIN pg_stat_progress_create_index p USING (pid)") if newer else ("0 ", ""))
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        under_way = {}
        for statement, *numbers in cursor.fetchall():
            name = made_by(statement or "")
            if name:
                under_way[name] = share(*(int(number or 0) for number in numbers))
        cursor.execute(_MADE)
        return Building({name for (name,) in cursor.fetchall()}, under_way)


def made_by(statement: str) -> str:
    """Return which index or constraint a statement of an archive makes; nothing for other statements."""
    if found := _INDEX.search(statement):
        return f"{found['schema']} {found['index']}"
    if found := _CONSTRAINT.search(statement):
        return f"{found['schema']} {found['table']} {found['name']}"
    return ""


def share(blocks: int, all_blocks: int, rows: int, all_rows: int) -> float:
    """Return how much of an index is built: the table is read first, then some kinds write what they have sorted."""
    read = blocks / all_blocks if all_blocks else 0.0
    return min(ALMOST, (read + rows / all_rows) / 2 if all_rows else read * ALMOST)
