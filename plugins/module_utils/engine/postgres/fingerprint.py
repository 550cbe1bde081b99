# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tables hold, as numbers to compare: rows, and the sum of a hash of each row.

Equal contents give equal sums whatever the order of rows and of columns is, which a restore changes, and whatever the
major version and the settings of the server are. One scan of a table gives both.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from .catalog import Table
from .server import Server, quoted

try:
    import psycopg2
except ImportError:
    pass  # Server.connect, which comes first, says so

# What the text of a value depends on. Names of tables (regclass) have their schema before them with this search path.
SPEAKING = {
    "search_path": "pg_catalog",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "jit": "off",
}
# A server that hashes otherwise (one of another byte order does) gives sums that can be compared with nobody's.
PROBE = ("catmaid.admin", 2667964712579039232)
COLUMNS = """
    SELECT attrelid::bigint, attname FROM pg_attribute
     WHERE attrelid = ANY(%s::oid[]) AND attnum > 0 AND NOT attisdropped ORDER BY attname COLLATE "C"
"""
LOCK_NOT_AVAILABLE = "55P03"
# Someone ended the query or the session, or its transaction: no word about the table.
NOT_THE_TABLE = ("08", "25", "40", "57")


@dataclass(frozen=True)
class Content:
    """Rows of a table, and its fingerprint unless there is none: not asked for, or for the reason ``problem``."""

    rows: int
    fingerprint: str | None = None
    problem: str = ""


def read(
    server: Server,
    database: str,
    connection: Any,
    tables: Sequence[Table],
    *,
    hashed: Collection[int],
    jobs: int = 1,
    snapshot: str | None = None,
    on_table: Callable[[Table], None] | None = None,
) -> dict[int, Content]:
    """Return the content of each table by its number; those in ``hashed`` get a fingerprint.

    ``connection`` reads, and up to ``jobs`` - 1 more sessions do, which see its ``snapshot``. ``connection`` is as
    before afterwards. ``on_table`` is called by any of their threads when a table is done.
    """
    if not tables:
        return {}
    work = _Work(tables, _queries(connection, tables, hashed), on_table)
    others = min(jobs, len(tables)) - 1 if snapshot else 0
    with ExitStack() as stack:
        sessions = []
        for _number in range(others):
            settings = {**SPEAKING, "row_security": "off", "statement_timeout": "0"}
            session = stack.enter_context(server.connect(database, settings=settings))
            session.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with session.cursor() as cursor:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", [snapshot])
            sessions.append(session)
        threads = [threading.Thread(target=work.help, args=(session,), daemon=True) for session in sessions]
        for thread in threads:
            thread.start()
        try:
            with _speaking(connection):
                work.drain(connection)
                for thread in threads:
                    thread.join()
                work.finish(connection)
        except BaseException:
            work.stop(sessions)
            for thread in threads:
                thread.join()
            raise
    return work.found


def comparable(connection: Any) -> bool:
    """Return whether this server's hashes are those of all others."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.hashtextextended(%s, 0)", PROBE[:1])
        return int(cursor.fetchone()[0]) == PROBE[1]


class _Work:
    """Tables that wait for a session, the largest first, and what was found out."""

    def __init__(
        self, tables: Sequence[Table], queries: Mapping[int, _Query], on_table: Callable[[Table], None] | None
    ) -> None:
        self.waiting = deque(sorted(tables, key=lambda table: table.bytes, reverse=True))
        self.left_to_holder: deque[Table] = deque()
        self.queries = queries
        self.found: dict[int, Content] = {}
        self.on_table = on_table
        self.failed: BaseException | None = None

    def help(self, session: Any) -> None:
        """Read tables in a session that has to lock them first."""
        try:
            for table in self._taken(self.waiting):
                try:
                    self._done(table, _content(session, self.queries[table.oid], lock=True))
                except psycopg2.Error as error:
                    # Somebody waits for us with an exclusive lock: behind him we would wait for each other.
                    if error.pgcode != LOCK_NOT_AVAILABLE:
                        raise
                    self.left_to_holder.append(table)
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that waits for us)
            self.failed = self.failed or error
            self.waiting.clear()

    def drain(self, connection: Any) -> None:
        """Read tables in the session that holds their locks."""
        for table in self._taken(self.waiting):
            self._done(table, _content(connection, self.queries[table.oid]))

    def finish(self, connection: Any) -> None:
        """Read what the others have left, or raise what ended one of them."""
        if self.failed:
            raise self.failed
        for table in self._taken(self.left_to_holder):
            self._done(table, _content(connection, self.queries[table.oid]))

    def stop(self, sessions: Sequence[Any]) -> None:
        self.waiting.clear()
        for session in sessions:
            session.cancel()

    def _done(self, table: Table, content: Content) -> None:
        self.found[table.oid] = content
        if self.on_table:
            self.on_table(table)

    @staticmethod
    def _taken(tables: deque[Table]) -> Iterator[Table]:
        while True:
            try:
                yield tables.popleft()
            except IndexError:
                return


@dataclass(frozen=True)
class _Query:
    """A table's name in SQL, and what adds up its rows if that is asked for."""

    table: str
    sum: str = ""


def _queries(connection: Any, tables: Sequence[Table], hashed: Collection[int]) -> dict[int, _Query]:
    columns: dict[int, list[str]] = {table.oid: [] for table in tables}
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS, [[table.oid for table in tables]])
        for oid, name in cursor.fetchall():
            columns[int(oid)].append(quoted(name, connection))
    found = {}
    for table in tables:
        name = f"{quoted(table.schema, connection)}.{quoted(table.name, connection)}"
        row = ", ".join(f"x.{column}" for column in columns[table.oid])
        text = f'ROW({row})::text COLLATE "C"'
        found[table.oid] = _Query(name, f"coalesce(sum(hashtextextended({text}, 0)), 0)" * (table.oid in hashed))
    return found


def _content(session: Any, query: _Query, *, lock: bool = False) -> Content:
    """Count the rows, and hash them; a table whose rows cannot be hashed is counted at least."""
    with session.cursor() as cursor:
        cursor.execute("SAVEPOINT a_table")
        try:
            if lock:
                cursor.execute(f"LOCK TABLE ONLY {query.table} IN ACCESS SHARE MODE NOWAIT")
            if not query.sum:
                return Content(_one(cursor, f"SELECT count(*) FROM ONLY {query.table}")[0])
            rows, total = _one(cursor, f"SELECT count(*), {query.sum} FROM ONLY {query.table} x")
            return Content(rows, f"{rows}:{total}")
        except psycopg2.Error as error:
            if session.closed or not error.pgcode or error.pgcode == LOCK_NOT_AVAILABLE:
                raise
            if not query.sum or error.pgcode[:2] in NOT_THE_TABLE:
                raise
            problem = str(error).strip().splitlines()[0]
        finally:
            if not session.closed:
                cursor.execute("ROLLBACK TO SAVEPOINT a_table; RELEASE SAVEPOINT a_table")
        # Such as a row whose text is longer than a gigabyte, or a type of somebody's that cannot be written.
        return Content(_one(cursor, f"SELECT count(*) FROM ONLY {query.table}")[0], None, problem)


def _one(cursor: Any, query: str) -> tuple[int, Any]:
    cursor.execute(query)
    found = cursor.fetchone()
    return int(found[0]), found[-1]


@contextmanager
def _speaking(connection: Any) -> Iterator[None]:
    """Let values have the one text in this transaction, and take that back."""
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT speaking")
        for name, value in SPEAKING.items():
            cursor.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])
        yield
        cursor.execute("ROLLBACK TO SAVEPOINT speaking; RELEASE SAVEPOINT speaking")
