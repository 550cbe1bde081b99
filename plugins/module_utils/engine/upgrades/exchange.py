# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to databases on the way there and back: looked at first, so that each step can be done a second time."""

from __future__ import annotations

import time
from typing import Any

from ..errors import CatmaidError
from ..postgres import databases
from ..postgres.server import quoted
from .request import Request

UNFINISHED = ".unfinished"
OURS_IN_DATABASE = "catmaid.admin"
GONE_WITHIN = 60.0
POSTGIS = "postgis"
OURS = ("postgis", "postgis_topology", "postgis_raster", "pg_trgm")

OLD_EXTENSIONS = """
SELECT e.extname FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname
 WHERE e.extname = ANY(%s) AND a.default_version <> e.extversion
   AND EXISTS (SELECT FROM pg_extension_update_paths(e.extname) p
                WHERE p.source = e.extversion AND p.target = a.default_version AND p.path IS NOT NULL)
 ORDER BY e.extname"""

# What a killed job has begun goes on in the server, and new sessions of the database wait for it.
OUR_WORK = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE pid <> pg_backend_pid() AND application_name = 'catmaid.admin' AND position(%s IN query) > 0"""

# A migration whose program was killed goes on until its statement ends, and keeps its locks until then.
OUR_MIGRATION = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE pid <> pg_backend_pid() AND application_name LIKE 'catmaid.admin/migrate/%%' AND datname = %s"""

EDITED = {
    "catmaid_transaction_info": "execution_time",
    "treenode": "edition_time",
    "connector": "edition_time",
    "review": "review_time",
}


def swap(request: Request, replacement: str, keep_as: str) -> dict[str, Any]:
    """Let ``replacement`` be the live database; nothing is done where that was done already. Return what to note."""
    server, live = request.server, request.database
    if databases.read(server, replacement) is None and databases.read(server, live) is not None:
        if databases.read(server, keep_as) is not None:
            return {}
        raise CatmaidError(f"putting {replacement} in the place of {live}", f"there is no database {replacement}")
    return ended_sessions(databases.swap(server, live, replacement, keep_as)[1])


def ended_sessions(ended: list[databases.Session]) -> dict[str, Any]:
    """Return who was ended although the application had been stopped: it was somebody else, who may wonder."""
    told = [session.told for session in ended if session.application != OURS_IN_DATABASE]
    return {"ended_sessions": told} if told else {}


def drop_copy(request: Request) -> None:
    """Drop the copy and what is left of one that was cut short; if the copy is the live database, nothing."""
    end_work(request)
    unfinished = request.copy.encode()[:52].decode("utf-8", "ignore") + UNFINISHED
    for name in (unfinished, request.copy):
        databases.drop(request.server, name, end_sessions=True)


def end_work(request: Request) -> None:
    """End the copy that a killed job has left running in the server."""
    _end(request, OUR_WORK, f'CREATE DATABASE "{request.copy}', "the copy")


def end_migration(request: Request) -> None:
    """End the migration that a killed job has left running in the server."""
    _end(request, OUR_MIGRATION, request.database, "the migration")


def _end(request: Request, query: str, which: str, what: str) -> None:
    deadline = time.monotonic() + GONE_WITHIN
    with databases.maintenance(request.server, autocommit=True) as connection, connection.cursor() as cursor:
        while True:
            cursor.execute(query, [which])
            if not cursor.fetchall():
                return
            if time.monotonic() > deadline:
                raise CatmaidError(f"ending {what} of a killed job", "its session does not end")
            time.sleep(0.1)


def old_extensions(request: Request) -> list[str]:
    """Return the extensions of the database that are older than what the server has of them."""
    with request.server.connect(request.database) as connection, connection.cursor() as cursor:
        cursor.execute(OLD_EXTENSIONS, [list(OURS)])
        return [str(row[0]) for row in cursor.fetchall()]


def update_extensions(request: Request, names: list[str]) -> None:
    """Bring extensions to the version of the server's libraries."""
    if not names:
        return
    with request.server.connect(request.database) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{int(request.lock_timeout)}s'")
        for name in names:
            cursor.execute(f"ALTER EXTENSION {quoted(name, connection)} UPDATE")


def server_time(request: Request) -> str:
    """Return the time by the server's clock."""
    with request.server.connect(request.database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()::text")
        return str(cursor.fetchone()[0])


def database_oid(request: Request) -> int:
    """Return what tells the live database from another one of the same name."""
    with request.server.connect(request.database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def edits_since(request: Request, moment: str) -> dict[str, int]:
    """Return how many rows of which tables were written since then."""
    found: dict[str, int] = {}
    with request.server.connect(request.database) as connection, connection.cursor() as cursor:
        for table, column in EDITED.items():
            if _has(cursor, table, column):
                cursor.execute(f"SELECT count(*) FROM {table} WHERE {column} > %s::timestamptz", [moment])
                count = int(cursor.fetchone()[0])
                if count:
                    found[table] = count
    return found


def _has(cursor: Any, table: str, column: str) -> bool:
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped)",
        [f"public.{table}", column],
    )
    return bool(cursor.fetchone()[0])
