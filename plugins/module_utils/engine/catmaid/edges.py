# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuilding the geometry tables of an instance that serves: new ones beside the old ones, and then an exchange.

CATMAID's own command locks out every viewer from its beginning to its end. Here people go on viewing and tracing while
the new tables are filled and indexed. Then writers wait while what they have changed meanwhile is made up for, by a
comparison of all rows, and viewers for the moment of the exchange. Whoever ends us before leaves the old tables.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

from .. import steps
from ..django import locks
from ..django.migrations import LOCK_NOT_AVAILABLE
from ..django.shim import Runner, application, session
from ..postgres import growth, restore, twin
from ..postgres.twin import UnlikeError
from ..progress import Report, elapsing
from .edgewatch import Watch, estimated_rows
from .geometry import DERIVATIONS, known
from .materializations import GEOMETRY

INSUFFICIENT_PRIVILEGE, DEADLOCK, QUERY_CANCELED = "42501", "40P01", "57014"  # SQLSTATE
LOCKED = (LOCK_NOT_AVAILABLE, QUERY_CANCELED, DEADLOCK)
SESSIONS = 2
# A viewer who comes while we ask for the exchange waits behind us for so long at most; then we let them through.
ASK_MS, PATIENT_ASK_MS = 800, 1200
PAUSE = 0.2
ASKING = 3
BREATHER = 1.0
LET_GO = 0.6  # less than deadlock_timeout
COSTS = {"gist": 5.0}  # against filling a table; other indexes cost less than that
CHEAP = 0.5


def rebuild(runner: Runner, lock_timeout: int, what: str, report: Report | None = None) -> None:
    """Rebuild all three, or raise :class:`UnlikeError` when only CATMAID's command can, which changed nothing then."""
    doing = f"rebuilding the edges of database {runner.database}"
    label = application("rebuild")
    with locks.watching(runner.server, runner.database, label) as watch, ExitStack() as stack:
        settings = {
            **session(runner.identity().server_version, lock_timeout),
            **restore.load_settings(SESSIONS),
            "work_mem": restore.load_settings(SESSIONS)["maintenance_work_mem"],
            # The planner may use all of it only once, and one session is not to take both cores.
            "max_parallel_workers_per_gather": "0",
            "jit": "off",
        }
        connect = runner.server.connect
        free = [
            stack.enter_context(connect(runner.database, settings=settings, autocommit=True))
            for _session in range(SESSIONS)
        ]
        final = stack.enter_context(connect(runner.database, settings={**settings, "synchronous_commit": "on"}))
        for connection in (*free, final):
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('application_name', %s, false)", [label])
        final.commit()
        try:
            with growth.observer(runner.server, runner.database, wanted=report is not None) as observer:
                _build(free, Watch(observer, what, report))
            with elapsing(f"exchanging the edges of {runner.database}", report):
                _try_to_exchange(final, lock_timeout)
        except BaseException as error:
            final.rollback()
            _clean_up(free[0])
            if getattr(error, "pgcode", "") in LOCKED:
                raise locks.lock_not_available(doing, "the rebuild", lock_timeout, watch) from error
            if getattr(error, "pgcode", "") == INSUFFICIENT_PRIVILEGE:
                raise UnlikeError(f"{runner.server.user} may not: {str(error).strip()}") from error
            raise


def check(runner: Runner) -> None:
    """Raise :class:`UnlikeError` when it is known beforehand that only CATMAID's command can."""
    with runner.server.connect(runner.database) as connection, connection.cursor() as cursor:
        if not known(cursor):
            raise UnlikeError("what they hold is not known for this release")
        twin.check(cursor, GEOMETRY)


def left_over(runner: Runner) -> bool:
    """Tell whether a rebuild that was killed has left something."""
    with runner.server.connect(runner.database) as connection, connection.cursor() as cursor:
        return twin.left_over(cursor)


def tidy(runner: Runner) -> None:
    """Take away what a rebuild that was killed has left."""
    with runner.server.connect(runner.database) as connection, connection.cursor() as cursor:
        twin.remove(cursor)


def _build(free: list[Any], watch: Watch) -> None:
    """Make twins, fill them and build their indexes, in as many sessions as there are connections."""
    plan = []
    with free[0].cursor() as cursor:
        twin.create(cursor, GEOMETRY)
        rows = estimated_rows(cursor)
        for table in GEOMETRY:
            into = twin.name(cursor, table)
            statement = f"INSERT INTO {into} ({', '.join(DERIVATIONS[table].columns)}) {DERIVATIONS[table].select}"
            plan.append(_step(free, f"fill {table}", statement, cost=rows[table]))
            for index in twin.indexes(cursor, table):
                cost = rows[table] * COSTS.get(index.method, CHEAP)
                plan.append(_step(free, index.name, index.statement, after=f"fill {table}", cost=cost))
    with watch.over(plan, rows):
        steps.run(plan, len(free), watch.ended)
    with free[0].cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(twin.name(cursor, table) for table in GEOMETRY)}")


def _step(free: list[Any], name: str, statement: str, *, cost: float, after: str = "") -> steps.Step:
    def run(running: steps.Running) -> None:
        connection = free.pop()  # there are as many as steps at a time
        try:
            with running.query(connection), connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            free.append(connection)

    return steps.Step(name, run, frozenset([after] if after else []), cost)


def _try_to_exchange(connection: Any, lock_timeout: int) -> None:
    """Exchange. Who stands in the way for longer than a moment does not keep writers waiting: all begins anew then."""
    deadline = time.monotonic() + lock_timeout
    with connection.cursor() as cursor:
        referred = sorted(twin.referred(cursor, GEOMETRY))
    sources = {f"public.{source}" for table in GEOMETRY for source in DERIVATIONS[table].sources} | set(referred)
    connection.commit()
    # Most of what tracers do writes treenodes first.
    order = sorted(sources, key=lambda table: (table != "public.treenode", table))
    while True:
        try:
            with connection.cursor() as cursor:
                _stop_writers(cursor, order, lock_timeout)
                _exchange(cursor, referred)
            connection.commit()
            return
        except Exception as error:
            connection.rollback()
            if getattr(error, "pgcode", "") not in LOCKED:
                raise
            if lock_timeout and time.monotonic() >= deadline:
                raise
            time.sleep(BREATHER)


def _stop_writers(cursor: Any, order: list[str], lock_timeout: int) -> None:
    """Let writers of these tables wait from here on; those who are writing finish first.

    Somebody who has written one table may be about to write another, which we have already: for him we let go, sooner
    than PostgreSQL would call it a deadlock and end his work, and begin with the table that he has the next time. While
    we wait for the first one there is no such danger, so it gets the whole patience.
    """
    deadline = 0.0
    for table in list(order):
        if deadline:
            left = max(1, round(1000 * (deadline - time.monotonic())))
            cursor.execute(f"SET LOCAL lock_timeout = '{left}ms'")
        try:
            cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        except Exception:
            order.remove(table)
            order.insert(0, table)
            raise
        deadline = deadline or time.monotonic() + LET_GO
    cursor.execute(f"SET LOCAL lock_timeout = '{lock_timeout}s'")


def _exchange(cursor: Any, referred: Sequence[str]) -> None:
    for table in GEOMETRY:
        _catch_up(cursor, table)
        twin.complete(cursor, table)
    # A table that goes takes its keys along, and with them triggers of the tables that they refer to.
    _lock_out(cursor, [*(twin.original(cursor, table) for table in GEOMETRY), *referred])
    twin.exchange(cursor, GEOMETRY)


def _catch_up(cursor: Any, table: str) -> None:
    """Make up for what was written since the twin was filled."""
    derivation, there = DERIVATIONS[table], twin.name(cursor, table)
    columns = ", ".join(derivation.columns)
    different = " OR ".join(f"have.{column} IS DISTINCT FROM should.{column}" for column in derivation.columns)
    cursor.execute("DROP TABLE IF EXISTS pg_temp.differing")
    cursor.execute(
        "CREATE TEMPORARY TABLE differing AS SELECT coalesce(have.id, should.id) AS id"
        f" FROM ({derivation.select}) should FULL JOIN {there} have ON have.id = should.id WHERE {different}"
    )
    cursor.execute(f"DELETE FROM {there} WHERE id IN (SELECT id FROM differing)")
    cursor.execute(
        f"INSERT INTO {there} ({columns}) SELECT {columns} FROM ({derivation.select}) should"
        " WHERE id IN (SELECT id FROM differing)"
    )


def _lock_out(cursor: Any, wanted: Sequence[str]) -> None:
    """Lock the tables for the exchange: ask for a moment, let viewers through, and ask again, a few times."""
    cursor.execute("SELECT current_setting('is_superuser') = 'on'")
    may_hurry = cursor.fetchone()[0]
    for left in reversed(range(ASKING)):
        cursor.execute("SAVEPOINT asking")
        # An autovacuum gives way to whoever has waited for it as long as deadlock_timeout.
        cursor.execute("SET LOCAL deadlock_timeout = '100ms'" if may_hurry else "SELECT 1")
        # For all of the tables together.
        cursor.execute(f"SET LOCAL statement_timeout = '{ASK_MS if may_hurry else PATIENT_ASK_MS}ms'")
        try:
            cursor.execute(f"LOCK TABLE {', '.join(wanted)} IN ACCESS EXCLUSIVE MODE")
        except Exception as error:
            if getattr(error, "pgcode", "") not in LOCKED or not left:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT asking")
            time.sleep(PAUSE)
            continue
        cursor.execute("SET LOCAL statement_timeout = 0")
        return


def _clean_up(connection: Any) -> None:
    # What went wrong before is to be told; the next run takes the twins away, or says why it cannot.
    with suppress(Exception), connection.cursor() as cursor:
        twin.remove(cursor)
