# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application's users, as its database has them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CatmaidError
from ..postgres.server import Server


@dataclass(frozen=True)
class User:
    """``id`` is the number in ``auth_user``; ``rules`` tells whether it is a superuser who may log in."""

    id: int
    rules: bool


def find(server: Server, database: str, username: str) -> User | None:
    """Return the user of this name, if there is one. A database without users at all is an error."""
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('auth_user')")
        if cursor.fetchone()[0] is None:
            raise CatmaidError(
                f"looking for user {username} in database {database}",
                "it has no table auth_user",
                "Apply the migrations first.",
            )
        cursor.execute("SELECT id, is_superuser AND is_active FROM auth_user WHERE username = %s", (username,))
        found = cursor.fetchone()
    return User(*found) if found else None
