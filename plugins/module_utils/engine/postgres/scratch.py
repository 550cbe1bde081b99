# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases that are made to be dropped again: names of our own, and how one that was left behind is told.

Whoever works on one holds a lock of the server meanwhile, in a session of its own. That ends with its process,
however it ends and on whatever host it ran: a scratch database whose lock is free is a leftover.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import databases
from .server import Server

PREFIX = "catmaid_drill_"
NAME = re.compile(PREFIX + "[0-9a-f]{12}")
KEPT = "catmaid.admin: kept after a drill"
DYING = 2.0  # seconds until the server has noticed that a process is gone
SPACE = 0x6361 << 48  # keeps our locks apart from others'

LISTED = """
SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database
 WHERE datname ~ %s AND pg_has_role(datdba, 'MEMBER') ORDER BY datname"""


def is_scratch(name: str) -> bool:
    """Tell whether a database has such a name."""
    return bool(NAME.fullmatch(name))


@contextmanager
def claim(server: Server) -> Iterator[str]:
    """Yield a name for a database, which nobody takes for a leftover until the end."""
    name = PREFIX + secrets.token_hex(6)
    with databases.maintenance(server, autocommit=True) as connection:
        if not _lock(connection, name):
            raise AssertionError("a random name has come twice")
        yield name


def leftovers(server: Server) -> list[str]:
    """Return the scratch databases that nobody works on, and nobody wanted to keep."""
    with databases.maintenance(server, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(LISTED, [f"^{NAME.pattern}$"])
            found = [str(name) for name, comment in cursor.fetchall() if comment != KEPT]
        free = [name for name in found if _lock(connection, name)]
        deadline = time.monotonic() + DYING
        while len(free) < len(found) and time.monotonic() < deadline:
            time.sleep(0.1)
            free += [name for name in found if name not in free and _lock(connection, name)]
        return free


def sweep(server: Server) -> list[str]:
    """Drop the leftovers; return their names."""
    found = leftovers(server)
    for name in found:
        databases.drop(server, name, end_sessions=True)
    return found


def keep(server: Server, name: str) -> None:
    """Let a scratch database stay."""
    with databases.maintenance(server) as connection:
        databases.mark(connection, name, KEPT)


def _lock(connection: Any, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [SPACE | int(name[len(PREFIX) :], 16)])
        return bool(cursor.fetchone()[0])
