# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upkeep of a database by PostgreSQL's own programs: statistics, dead rows, and indexes that have grown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from . import client
from .server import Server

# Before version 15 a server's statistics were up to half a second old.
AT_ONCE = 150000
LATE = 0.6


@dataclass(frozen=True)
class Numbers:
    """What there is of a database. ``invalid`` are indexes that were never finished."""

    dead_rows: int
    never_analyzed: int
    index_bytes: int
    total_bytes: int
    invalid: tuple[str, ...]


def numbers(server: Server, database: str) -> Numbers:
    """Return them; the rows are the server's own estimate."""
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(n_dead_tup), 0)::bigint,"
            " count(*) FILTER (WHERE last_analyze IS NULL AND last_autoanalyze IS NULL) FROM pg_stat_user_tables"
        )
        dead, never = cursor.fetchone()
        cursor.execute(
            "SELECT coalesce(sum(pg_relation_size(indexrelid)), 0)::bigint, pg_database_size(current_database()),"
            " coalesce(array_agg(indexrelid::regclass::text) FILTER (WHERE NOT indisvalid), '{}') FROM pg_index"
        )
        index_bytes, total, invalid = cursor.fetchone()
    return Numbers(dead, never, index_bytes, total, tuple(sorted(invalid)))


def vacuum_analyze(server: Server, database: str, jobs: int) -> None:
    """Remove dead rows and gather statistics, so many tables at a time."""
    _run(server, "vacuumdb", ["--analyze", f"--jobs={jobs}"], database, "vacuuming and analyzing")
    if server.version(database) < AT_ONCE:
        time.sleep(LATE)


def reindex(server: Server, database: str, jobs: int) -> None:
    """Build every index of tables anew while all work goes on; what is left unfinished is an error."""
    before = numbers(server, database).invalid
    doing = f"building the indexes of {database} anew"
    _run(server, "reindexdb", ["--concurrently", f"--jobs={jobs}"], database, "building the indexes anew")
    left = [name for name in numbers(server, database).invalid if name not in before]
    if left:
        raise CatmaidError(doing, f"unfinished: {', '.join(left)}", "Drop these (DROP INDEX), and try again.")


def _run(server: Server, name: str, arguments: list[str], database: str, what: str) -> Any:
    arguments = ["--no-password", f"--dbname={client.conninfo(database)}", *arguments]
    return client.run(
        server, name, arguments, database, version=server.version(database), doing=f"{what} in {database}"
    )
