# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which database is meant, whatever the way to it: by socket, by TCP, by one name of a host or another."""

from __future__ import annotations

from typing import Any

from ..errors import CatmaidError
from .server import Server

try:
    import psycopg2.errors
except ImportError:
    pass  # Server.connect, which comes first, says so

# One whose drop was cut short is there, and yet nobody can be in it.
NOT_TO_BE_ENTERED = ("does not exist", "cannot connect to invalid database")
HERE = ("localhost", "127.0.0.1", "::1")


def cluster(connection: Any) -> str:
    """Return the number that a cluster got when it was made, empty where the login may not ask for it."""
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT identity")
        try:
            cursor.execute("SELECT system_identifier FROM pg_control_system()")
            return str(cursor.fetchone()[0])
        except psycopg2.errors.InsufficientPrivilege:
            return ""
        finally:
            cursor.execute("ROLLBACK TO SAVEPOINT identity")


def key(cluster_number: str, database: str) -> str:
    """Return the name of a database's job lock."""
    return f"{cluster_number}-{database}"


def database_key(server: Server, database: str) -> str:
    """Return the name of a database's job lock. The database need not exist, the server must answer."""
    number = ""
    for name in (database, "postgres", "template1"):
        try:
            with server.connect(name) as connection:
                number = cluster(connection)
            break
        except CatmaidError as error:
            if not any(text in error.cause for text in NOT_TO_BE_ENTERED) or name == "template1":
                raise
    if not number:
        here = server.address.startswith("/") or server.address in HERE
        number = f"{'local' if here else server.address.lower()}:{server.port}"
    return key(number, database)
