# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a running pg_dump is, as the server sees it. Whatever goes wrong here, the dump does not notice."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from ..progress import Meter, Report
from .catalog import Table
from .server import Server

try:
    import psycopg2
except ImportError:
    pass  # Server.connect, which comes first, says so

SECONDS = 1.0
FIRST_WITH_COPY = 140000
AT_MOST = 0.99  # of a table that is still being read: its number of rows was an estimate
PATIENCE = 2.0  # seconds that the end of a job waits for its watcher

# Sessions of pg_dump bear the name that Server.environment gives them, and are younger than the watcher's own.
_SESSIONS = """
    a.datname = current_database() AND a.application_name = current_setting('application_name')
    AND a.backend_start > (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""
_COPIES = f"""
    SELECT p.relid::bigint, p.tuples_processed, p.bytes_processed
      FROM pg_stat_progress_copy p JOIN pg_stat_activity a USING (pid)
     WHERE p.command = 'COPY TO' AND p.relid <> 0 AND {_SESSIONS}
"""
# Older servers do not tell how far a COPY is, but which one runs: pg_dump writes names as format does.
_STATEMENTS = f"""
    SELECT c.oid::bigint, 0, 0
      FROM pg_stat_activity a, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = ANY(%(tables)s::oid[]) AND a.state = 'active' AND {_SESSIONS}
       AND starts_with(a.query, format('COPY %%I.%%I ', n.nspname, c.relname))
"""


@dataclass(frozen=True)
class Copied:
    """What a session has read of a table until now."""

    rows: int
    bytes: int


class Weights:
    """Turns the tables that are being read into a share of all of them, each with the weight of its size.

    A table is finished when it was being read and is not any more. Those too small to be seen weigh nothing.
    """

    def __init__(self, tables: Sequence[Table], rows: Mapping[int, float]) -> None:
        self.tables = tables
        self._tables = {table.oid: table for table in tables}
        self._rows = rows
        self._seen: set[int] = set()
        self.total = sum(table.bytes for table in tables)

    def see(self, running: Mapping[int, Copied]) -> tuple[int, str]:
        """Return the bytes that are done by now, and the largest of the tables that are being read."""
        known = {oid: copied for oid, copied in running.items() if oid in self._tables}
        self._seen |= known.keys()
        done = sum(self._tables[oid].bytes for oid in self._seen - known.keys())
        done += sum(int(self._share(oid, copied) * self._tables[oid].bytes) for oid, copied in known.items())
        largest = max(known, key=lambda oid: self._tables[oid].bytes, default=None)
        return done, "" if largest is None else self._name(self._tables[largest])

    def _share(self, oid: int, copied: Copied) -> float:
        expected = self._rows.get(oid, 0)
        if expected > 0:
            return min(AT_MOST, copied.rows / expected)
        return min(AT_MOST, copied.bytes / max(1, self._tables[oid].bytes))  # never analysed

    @staticmethod
    def _name(table: Table) -> str:
        return table.name if table.visible else table.label


@contextmanager
def watching(
    server: Server,
    database: str,
    tables: Sequence[Table],
    report: Report | None,
    what: str,
    seconds: float | None = None,
) -> Iterator[None]:
    """Report how far the pg_dump of the body is with the rows of ``tables``, by a session of our own."""
    if report is None:
        yield
        return
    with ExitStack() as stack:
        try:
            # By the thread of the caller: to be another OS user for a moment concerns the whole process.
            connection = stack.enter_context(
                server.connect(database, autocommit=True, settings={"statement_timeout": "10s"})
            )
            weights = Weights(tables, _rows(connection, tables))
        except (CatmaidError, psycopg2.Error):
            connection = None
        if connection is None:
            yield
            return
        meter = Meter(what, weights.total, report)
        meter.reach(0)
        stop = threading.Event()
        pause = SECONDS if seconds is None else seconds
        # It closes the session itself: a server that does not answer must not keep the job from its end.
        kept = stack.pop_all()
        thread = threading.Thread(target=_watch, args=(kept, connection, weights, meter, stop, pause), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE)
        meter.finish()


def running(connection: Any, tables: Sequence[Table], version: int | None = None) -> dict[int, Copied]:
    """Return what pg_dump's sessions are reading; ``version`` is that of the server unless a test knows better."""
    with connection.cursor() as cursor:
        newer = (version or connection.server_version) >= FIRST_WITH_COPY
        cursor.execute(_COPIES if newer else _STATEMENTS, {"tables": [table.oid for table in tables]})
        return {oid: Copied(rows, size) for oid, rows, size in cursor.fetchall()}


def _watch(
    kept: ExitStack, connection: Any, weights: Weights, meter: Meter, stop: threading.Event, seconds: float
) -> None:
    try:
        with kept:
            while not stop.wait(seconds):
                done, item = weights.see(running(connection, weights.tables))
                meter.reach(done, item)
    except (CatmaidError, psycopg2.Error):
        pass  # the connection is lost, and with it the progress; the dump has its own


def _rows(connection: Any, tables: Sequence[Table]) -> dict[int, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::bigint, reltuples FROM pg_class WHERE oid = ANY(%s::oid[])", [[t.oid for t in tables]]
        )
        return {oid: float(rows) for oid, rows in cursor.fetchall()}
