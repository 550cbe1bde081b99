# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a database may be replaced by a copy of another instance's: not that instance's own, and no work of people.

A database that has been a copy before tells so in its comment, which stays when another one takes its place.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import CatmaidError
from ..postgres import databases, identity
from ..postgres.server import Server
from . import store

MARK = "Copy of another instance, made by catmaid.admin"


@dataclass(frozen=True)
class Target:
    """What is to be replaced: whether it is there, was a copy already, and how many treenodes it has."""

    there: bool
    marked: bool
    treenodes: int


def look(server: Server, database: str, archive: str, *, replace: bool) -> Target:
    """Return what is known of the database, or raise why it must not become a copy."""
    doing = f"making database {database} a copy of {archive}"
    about = databases.read(server, database)
    with databases.maintenance(server) as connection:
        cluster = identity.cluster(connection)
    backup = store.look(archive) if os.path.exists(os.path.join(archive, "manifest.json")) else None
    if backup and backup.manifest["database"] == database and backup.cluster in ("", cluster):
        remedy = (
            "A copy is another instance. To bring back what this one was, restore it (playbook catmaid.admin.restore)."
        )
        raise CatmaidError(doing, "the backup is of this very database", f"{remedy} Nothing was touched.")
    if about is None:
        return Target(False, False, 0)
    target = Target(True, about.comment == MARK, _treenodes(server, database))
    if target.treenodes and not (target.marked or replace):
        raise CatmaidError(
            doing,
            f"it was no copy until now, and has {target.treenodes} treenodes",
            "To replace it nevertheless: catmaid_clone_replace=true. It is kept by another name. Nothing was touched.",
        )
    return target


def mark(server: Server, database: str) -> None:
    """Let the database tell that it is a copy."""
    with databases.maintenance(server) as connection:
        databases.mark(connection, database, MARK)


def _treenodes(server: Server, database: str) -> int:
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.treenode') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT count(*) FROM ONLY public.treenode")
        return int(cursor.fetchone()[0])
