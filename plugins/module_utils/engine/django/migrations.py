# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Django's migrations: what a database has, what the code has, and the way between them."""

from __future__ import annotations

from typing import Any


def applied(connection: Any) -> list[tuple[str, str]]:
    """Return the (app, name) pairs that a database has recorded, oldest first; none when it has no such table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.django_migrations') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return []
        cursor.execute("SELECT app, name FROM public.django_migrations ORDER BY id")
        return [(str(app), str(name)) for app, name in cursor.fetchall()]
