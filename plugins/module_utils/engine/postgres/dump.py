# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump of one snapshot, and the rows of that very snapshot."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from . import catalog, client, compress
from .catalog import Table
from .server import Server, program, quoted

try:
    import psycopg2
    import psycopg2.errors
except ImportError:
    pass  # Server.connect, which comes first, says so

FIRST_WITH_METHODS = 16  # the first pg_dump that knows more than gzip
MAXIMUM_LEVEL = {"gzip": 9, "lz4": 12, "zstd": 22}
MAXIMUM_JOBS = 4
ATTEMPTS = 3
QUEUE_WAIT = 2000  # milliseconds


class LockedOutError(CatmaidError):
    """pg_dump could not lock a table, because somebody waits for an exclusive lock on it."""


@dataclass(frozen=True)
class Compression:
    """How the rows are compressed, and by what: pg_dump itself, or the program zstd behind it.

    A level of None is the method's own.
    """

    method: str
    level: int | None = None
    program: str = "pg_dump"


@dataclass(frozen=True)
class Plan:
    """What pg_dump is asked for."""

    format: str
    jobs: int
    compression: Compression
    without: Sequence[Table] = ()
    without_rows: Sequence[Table] = ()


@dataclass(frozen=True)
class Snapshot:
    """A transaction that sees one moment of the database, and that other sessions can join by its name."""

    name: str
    connection: Any
    tables: list[Table]


@dataclass(frozen=True)
class Dumped:
    """What came of it: seconds for the dump alone, and what wrote it."""

    seconds: float
    pg_dump_version: str


def default_jobs() -> int:
    """Return how many tables to dump at once, if nobody says: more than a few only fight for the disk."""
    return min(MAXIMUM_JOBS, len(os.sched_getaffinity(0)))


def compression(method: str, level: int | None, pg_dump_major: int, format_: str = "directory") -> Compression:
    """Return the compression to use with a pg_dump of this major version, or say why it cannot be had."""
    doing = "choosing the compression"
    behind = pg_dump_major < FIRST_WITH_METHODS and format_ == "directory"  # zstd as a program of its own
    if method == "auto":
        # docs/benchmarks.md has what was measured: zstd's first level is the fastest and still smaller than gzip.
        method = "zstd" if pg_dump_major >= FIRST_WITH_METHODS or (behind and compress.available()) else "gzip"
        level = 1 if level is None else level
    if method == "none":
        if level is not None:
            raise CatmaidError(doing, "a level was given, but no compression", "Leave out one of the two.")
        return Compression("none")
    if method == "zstd" and behind and not compress.available():
        raise CatmaidError(
            doing,
            f"pg_dump {pg_dump_major} cannot compress with zstd, and there is no program zstd on this host",
            "Install the package zstd, or choose gzip.",
        )
    if method != "gzip" and pg_dump_major < FIRST_WITH_METHODS and not (method == "zstd" and behind):
        raise CatmaidError(
            doing,
            f"pg_dump {pg_dump_major} cannot compress with {method} in format {format_}",
            f"{method} comes with version {FIRST_WITH_METHODS}; zstd works with format directory in any version.",
        )
    if level is not None and not 1 <= level <= MAXIMUM_LEVEL[method]:
        raise CatmaidError(doing, f"{method} has no level {level}", f"Levels are 1 to {MAXIMUM_LEVEL[method]}.")
    return Compression(method, level, "zstd" if method == "zstd" and behind else "pg_dump")


def compression_argument(wanted: Compression, pg_dump_major: int) -> str:
    """Return the argument of pg_dump for a compression."""
    if pg_dump_major < FIRST_WITH_METHODS:
        level = 0 if wanted.method == "none" or wanted.program != "pg_dump" else wanted.level
        return "--compress=6" if level is None else f"--compress={level}"
    return f"--compress={wanted.method}" + ("" if wanted.level is None else f":{wanted.level}")


def pattern(table: Table) -> str:
    """Return a pattern of pg_dump that means this table and no other.

    In double quotes nothing is a wildcard, capitals count, and a dot does not divide.
    """
    return ".".join('"' + part.replace('"', '""') + '"' for part in (table.schema, table.name))


def arguments(plan: Plan, path: str, snapshot: str, pg_dump_major: int) -> list[str]:
    """Return the arguments of pg_dump."""
    args = [
        f"--format={plan.format}",
        f"--file={path}",
        f"--snapshot={snapshot}",
        compression_argument(plan.compression, pg_dump_major),
        # We hold a lock on every table by then. If it waits nevertheless, then behind somebody who waits for us.
        f"--lock-wait-timeout={QUEUE_WAIT}",
        "--no-password",
        "--no-sync",  # the files get their owner and mode first, and are synced then
    ]
    if plan.format == "directory":
        args.append(f"--jobs={plan.jobs}")
    args += [f"--exclude-table={pattern(table)}" for table in plan.without]
    args += [f"--exclude-table-data={pattern(table)}" for table in plan.without_rows]
    return args


@contextmanager
def snapshot(server: Server, database: str, without: Collection[int], lock_wait: float) -> Iterator[Snapshot]:
    """Hold a snapshot of all tables but those ``without`` (by their numbers) together with a lock on each.

    The locks come first: a TRUNCATE between snapshot and lock would empty a table for the past too, and a table
    dropped there would fail the dump. Readers and writers do not notice them.
    """
    settings = {**lock_settings(lock_wait), "row_security": "off", "statement_timeout": "0"}
    doing = f"locking the tables of {database} against changes of their structure"
    with server.connect(database, settings=settings) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        for _attempt in range(ATTEMPTS):
            wanted = [table for table in catalog.tables(connection, sizes=False) if table.oid not in without]
            connection.rollback()
            if not _lock(connection, wanted, doing, lock_wait):
                continue  # one was dropped since we looked
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_export_snapshot()")
                name = cursor.fetchone()[0]
            with naming_blockers(connection, doing, lock_wait):
                seen = catalog.tables(connection)
            if {table.oid for table in seen} - set(without) <= {table.oid for table in wanted}:
                yield Snapshot(name, connection, seen)
                return
            connection.rollback()  # one was created since we looked
        raise CatmaidError(doing, "tables came and went all the time", "Try again when nothing is being migrated.")


def lock_settings(lock_wait: float) -> dict[str, str]:
    """Return the setting of a session that waits so many seconds for a lock, without end for 0."""
    return {"lock_timeout": str(int(lock_wait * 1000))}


@contextmanager
def naming_blockers(connection: Any, doing: str, lock_wait: float) -> Iterator[None]:
    """Say who holds the lock that the body waited for in vain."""
    try:
        yield
    except psycopg2.errors.LockNotAvailable as error:
        blockers = "; ".join(_who_holds_exclusively(connection)) or "a session that has ended since"
        raise CatmaidError(
            doing,
            f"no lock within {lock_wait:g} s, held by {blockers}",
            "Try again when that session is done, or wait longer.",
        ) from error


@contextmanager
def waiting(server: Server, database: str, doing: str, seconds: float) -> Iterator[Any]:
    """Yield a connection that waits only so long for a lock, and says then who holds it."""
    settings = lock_settings(seconds)
    with server.connect(database, settings=settings) as connection, naming_blockers(connection, doing, seconds):
        yield connection


def run(server: Server, database: str, shot: Snapshot, plan: Plan, path: str) -> Dumped:
    """Write an archive of ``database`` as the snapshot sees it to ``path``.

    Nothing is counted meanwhile: on a host with few cores the server's work for it would make the dump slower.
    """
    version = int(shot.connection.server_version)
    pg_dump_version = client.version_of(program("pg_dump", version))
    args = arguments(plan, path, shot.name, int(pg_dump_version.split(".")[0]))
    try:
        with _compressing(server, shot, plan, path):
            result = client.run(
                server, "pg_dump", args, database, version=version, doing=f"dumping database {database}", files=True
            )
    except CatmaidError as error:
        stderr = str(error.details.get("stderr", ""))
        # A worker that does not wait, and the leader that waited long enough.
        if "could not obtain lock on relation" in stderr or "Query was: LOCK TABLE" in stderr:
            remedy = "Somebody waits for an exclusive lock on that table: try again when that is done."
            raise LockedOutError(error.doing, error.cause, remedy, **error.details) from error
        raise
    return Dumped(result.seconds, pg_dump_version)


@contextmanager
def _compressing(server: Server, shot: Snapshot, plan: Plan, path: str) -> Iterator[None]:
    """Put zstd behind the pg_dump of the body, if the plan wants it."""
    if plan.compression.program == "pg_dump":
        yield
        return
    big = {table.oid for table in shot.tables if table.bytes >= compress.BIG}
    with compress.compressing(path, plan.compression.level or compress.LEVEL, big, server.os_user):
        yield


def count_rows(shot: Snapshot, without: Collection[int]) -> dict[int, int]:
    """Return the rows that the snapshot sees, by the table's number, of all tables but those ``without``."""
    return {table.oid: catalog.rows(shot.connection, table) for table in shot.tables if table.oid not in without}


def _lock(connection: Any, tables: Sequence[Table], doing: str, lock_wait: float) -> bool:
    """Lock the tables as a reader does; return False when one of them is not there any more."""
    names = [f"ONLY {quoted(table.schema, connection)}.{quoted(table.name, connection)}" for table in tables]
    if not names:
        return True
    try:
        with naming_blockers(connection, doing, lock_wait), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS SHARE MODE")
    except psycopg2.errors.UndefinedTable:
        connection.rollback()
        return False
    except psycopg2.Error as error:
        remedy = "Log in as a role that may read every table, or leave that table out."
        raise CatmaidError(doing, str(error), remedy, sqlstate=error.pgcode) from error
    return True


def _who_holds_exclusively(connection: Any) -> list[str]:
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT format('%s (pid %s, %s) on %s', a.usename, a.pid, coalesce(nullif("
            "a.application_name, ''), 'no application name'), l.relation::regclass) FROM pg_locks l"
            " JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database"
            " WHERE l.mode = 'AccessExclusiveLock' AND l.granted AND l.locktype = 'relation'"
            "   AND d.datname = current_database() AND l.pid <> pg_backend_pid()"
        )
        return [str(row[0]) for row in cursor.fetchall()]
