# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the settings of a plan are now, asked of the kernel and of PostgreSQL."""

from __future__ import annotations

from ..postgres.server import Server
from . import conflicts, sysctls
from .model import DATABASE, KERNEL, Budget

ASK = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s)"


def limits() -> dict[str, int]:
    """Return what the kernel allows now of what is only ever raised."""
    found = {name: sysctls.read(name) or "" for name in conflicts.ONLY_UP}
    return {name: int(value) for name, value in found.items() if value.isdigit()}


def read(budget: Budget, server: Server | None, database: str) -> dict[str, str]:
    """Return the values by name, as far as they are known. Without a server its settings are not."""
    asked = {name: sysctls.read(name) for name in budget.of(KERNEL)}
    found = {name: value for name, value in asked.items() if value is not None}
    names = list(budget.of(DATABASE))
    if server and names:
        with server.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(ASK, (names,))
            found.update(cursor.fetchall())
    return found
