# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an application uses its kept connections again (CONN_MAX_AGE), seen by what the server has under load.

Django keeps a connection for each thread. Where threads come and go, as greenlets do, each brings another connection,
and those of threads that are gone stay until the server has no more to give. That is to be seen before people do.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import CatmaidError
from ..postgres.server import Server
from .site import Site

SESSIONS = """
SELECT pid, backend_start::text FROM pg_stat_activity
 WHERE datname = %s AND usename = %s AND backend_type = 'client backend'
   AND application_name NOT LIKE 'catmaid.admin%%'"""
ROOM = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - count(*)
  FROM pg_stat_activity WHERE backend_type = 'client backend'"""

Session = tuple[int, str]


@dataclass(frozen=True)
class Load:
    """Which page is asked for: in so many rounds of so many requests, so many of them at once."""

    page: str = "/projects/"
    rounds: int = 5
    requests: int = 24
    parallel: int = 8


@dataclass(frozen=True)
class Round:
    """What the server had after a round: sessions, those that were not there before, and those that stayed."""

    sessions: int
    new: int
    stayed: int


@dataclass(frozen=True)
class Verdict:
    """Whether to keep connections, and why."""

    good: bool
    why: str
    rounds: list[Round]


def probe(server: Server, database: str, role: str, site: Site, load: Load, capacity: int = 0) -> Verdict:
    """Put load on, look, and judge. ``capacity`` is how many threads answer, if that is known."""
    seen = [_sessions(server, database, role)]
    for _number in range(load.rounds):
        room = _room(server, database)
        if room < load.requests:
            why = f"the server has only {room} connections left, no more were asked for"
            return Verdict(False, why, compare(seen))
        _ask(site, load)
        seen.append(_sessions(server, database, role))
        if capacity and len(seen[-1]) > capacity + load.parallel:
            break  # it is clear by now, and others want connections, too
    return judge(seen, capacity)


def judge(seen: Sequence[set[Session]], capacity: int = 0) -> Verdict:
    """Return the verdict on the sessions that were seen before the first round and after each."""
    rounds = compare(seen)
    first, before, last = seen[min(1, len(seen) - 1)], seen[-2], seen[-1]
    if not last:
        return Verdict(False, "no connection is kept: each request opens one of its own", rounds)
    if not (first & last):
        return Verdict(False, "connections are kept, and none is used again", rounds)
    if capacity and len(last) > capacity:
        return Verdict(False, f"{len(last)} connections for {capacity} threads, and they become more", rounds)
    if not capacity and len(last) > len(before):
        return Verdict(False, f"{len(last)} connections, and each round brings more", rounds)
    return Verdict(True, f"{len(last)} connections, which are used again", rounds)


def compare(seen: Sequence[set[Session]]) -> list[Round]:
    """Return what each round has brought."""
    return [Round(len(now), len(now - before), len(now & before)) for before, now in zip(seen, seen[1:])]


def _ask(site: Site, load: Load) -> None:
    """Ask for the page, and see to it that it is answered."""
    doing = f"putting load on {site.url}{load.page}"

    def ask(_number: int) -> int:
        return Site(site.name, site.https, site.prefix, site.port).get(load.page).status

    with ThreadPoolExecutor(load.parallel) as pool:
        bad = [status for status in pool.map(ask, range(load.requests)) if status != 200]
    if bad:
        raise CatmaidError(doing, f"{len(bad)} of {load.requests} requests were answered by {sorted(set(bad))}")


def _sessions(server: Server, database: str, role: str) -> set[Session]:
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(SESSIONS, [database, role])
        return {(int(pid), str(began)) for pid, began in cursor.fetchall()}


def _room(server: Server, database: str) -> int:
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(ROOM)
        return int(cursor.fetchone()[0])
