# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds the lock that a job waits for: looked at from beside, because afterwards nobody knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import CatmaidError
from ..postgres.server import Server

PERIOD = 0.5  # seconds between two looks

BLOCKERS = """
SELECT DISTINCT holder.pid, holder.usename, holder.application_name, host(holder.client_addr), holder.state,
       holder.query_start::timestamptz(0)::text,
       (SELECT string_agg(DISTINCT l.relation::regclass::text, ', ')
          FROM pg_locks l WHERE l.pid = waiter.pid AND NOT l.granted AND l.relation IS NOT NULL)
  FROM pg_stat_activity waiter
 CROSS JOIN LATERAL unnest(pg_blocking_pids(waiter.pid)) AS blocking(pid)
  JOIN pg_stat_activity holder ON holder.pid = blocking.pid
 WHERE waiter.application_name = %s AND waiter.datname = current_database()
 ORDER BY holder.pid
"""


@dataclass
class Watch:
    """The sessions that last stood in the way."""

    blockers: list[dict[str, Any]] = field(default_factory=list)

    def describe(self) -> str:
        """Return one sentence on who held the lock."""
        if not self.blockers:
            return "its holder was gone before it could be seen"
        first = self.blockers[0]
        holders = "; ".join(
            f"pid {each['pid']} (role {each['user']}, application {each['application'] or 'without a name'}, "
            f"{each['state']} since {each['query_start']})"
            for each in self.blockers
        )
        return f"the lock on {first['relation'] or 'it'} is held by {holders}"


@contextmanager
def watching(server: Server, database: str, application: str) -> Iterator[Watch]:
    """Look every half second who blocks the session named ``application``, as long as the context lasts."""
    watch = Watch()
    stop = threading.Event()
    # Opened before the job starts: logging in changes the user of the whole process for a moment.
    with server.connect(database, autocommit=True) as connection:
        thread = threading.Thread(target=_look, args=(connection, application, watch, stop), daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            stop.set()
            thread.join(10)


def _look(connection: Any, application: str, watch: Watch, stop: threading.Event) -> None:
    names = ("pid", "user", "application", "address", "state", "query_start", "relation")
    while not stop.wait(PERIOD):
        try:
            with connection.cursor() as cursor:
                cursor.execute(BLOCKERS, [application])
                rows = cursor.fetchall()
        except Exception:  # noqa: BLE001 (the job itself matters, not who watches it)
            return
        if rows:
            watch.blockers = [dict(zip(names, row)) for row in rows]


def lock_not_available(doing: str, what: str, seconds: int, watch: Watch) -> CatmaidError:
    """Return the error of a job that gave up waiting for a lock."""
    return CatmaidError(
        doing,
        f"{what} waited {seconds} s for a lock, and {watch.describe()}",
        "Stop the services of the instance or end that session, then run it again.",
        blockers=watch.blockers,
    )
