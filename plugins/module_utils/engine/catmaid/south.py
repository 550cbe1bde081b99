# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases from the time before Django had migrations of its own: CATMAID used South until its release 2015.12.21."""

from __future__ import annotations

from typing import Any

from ..django.migrations import WAITING
from ..errors import CatmaidError
from ..postgres import dump
from ..postgres.server import Server

LAST = "0061"  # the last of CATMAID's South migrations; its result is what Django's first one describes
INITIAL = ("catmaid", "0001_initial")


def fake_first(connection: Any) -> tuple[str, str] | None:
    """Return the migration that only has to be recorded, because South has made its tables; None for modern databases.

    Raises when South was not finished: then only the release 2015.12.21 itself can bring the database to that state.
    """
    tables = _tables(connection)
    with connection.cursor() as cursor:
        if "django_migrations" in tables:
            cursor.execute("SELECT count(*) FROM public.django_migrations WHERE app = 'catmaid'")
            if cursor.fetchone()[0]:
                return None
        if "project" not in tables or not tables & {"south_migrationhistory", "catmaid_apikey"}:
            return None
        newest = None
        if "south_migrationhistory" in tables:
            cursor.execute("SELECT max(migration) FROM public.south_migrationhistory WHERE app_name = 'catmaid'")
            newest = cursor.fetchone()[0]
    if newest is None or str(newest)[:4] < LAST or "catmaid_apikey" in tables:
        raise CatmaidError(
            "planning migrations",
            f"the database is from before CATMAID 2015.12.21 (its newest South migration is {newest or 'unknown'}, "
            f"{LAST} is needed)",
            "Go in two hops: first update the instance to release 2015.12.21 and apply all migrations of that release, "
            "then update to the release that you want. Nothing was changed.",
            south=newest,
        )
    return INITIAL


def look(server: Server, database: str) -> tuple[str, str] | None:
    """Return the same of a database by its name; raise, with who it is, when somebody keeps the table for himself."""
    with dump.waiting(server, database, f"reading the migrations of {database}", WAITING) as connection:
        return fake_first(connection)


def _tables(connection: Any) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {str(name) for (name,) in cursor.fetchall()}
