# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What brings the database back: a copy on its server, a dump that is made at the stop, or a backup from before."""

from __future__ import annotations

from typing import Any

from ..backups import archive, restoration, store
from ..catmaid.materializations import GEOMETRY
from ..errors import CatmaidError
from ..postgres import databases, marks, properties
from . import exchange, prediction
from .request import COPY, DUMP, NONE, Request


def check(request: Request) -> tuple[str, str]:
    """Return how the database will be protected, and the backup that it is then brought back from, if it is there yet.

    A copy that the disk has no room for becomes a dump.
    """
    if request.protect == NONE:
        return NONE, _backup(request)
    if request.protect == DUMP:
        return DUMP, ""
    try:
        databases.check_copy(request.server, request.database, request.copy, end_sessions=True)
    except CatmaidError:
        if not request.backup_dir or not databases.read(request.server, request.database):
            raise
        return DUMP, ""
    seconds = prediction.copy_seconds(request)
    if request.max_downtime and seconds > request.max_downtime:
        raise CatmaidError(
            request.doing,
            f"copying {request.database} takes about {seconds:.0f} seconds, which is more than the downtime of "
            f"{request.max_downtime} seconds that is allowed",
            "Allow a longer one (catmaid_upgrade_max_downtime), or another protection (catmaid_upgrade_protect).",
        )
    return COPY, ""


def make(request: Request, way: str, backup: str) -> dict[str, Any]:
    """Protect the database, now that nobody writes; return what there is to note."""
    if way == NONE:
        return {"protected": backup}
    if way == DUMP:
        _prepared, made = archive.create(
            archive.Request(
                server=request.server,
                database=request.database,
                dest=request.backup_dir,
                materializations="include",
                project_path=request.project(request.old).path,
                project_user=request.project_user or None,
                lock_token=request.lock_token,
                requested_by=request.by,
            )
        )
        return {"protected": made.path}
    ended = databases.copy(request.server, request.database, request.copy, end_sessions=True)
    with databases.maintenance(request.server) as connection:
        about = properties.read(connection, request.copy)
        if about is None:
            raise CatmaidError(f"copying {request.database}", "the copy is gone again")
        databases.mark(connection, request.copy, str(marks.new(request.copy, request.database, about.comment)))
    return {"copied": True, "copied_bytes": about.bytes, **exchange.ended_sessions(ended)}


def bring_back(request: Request, facts: dict[str, Any]) -> dict[str, Any]:
    """Let the database be what it was, and keep beside it what the migrations have made of it; return what to note."""
    backup = str(facts.get("protected", ""))
    if backup and databases.read(request.server, request.failed) is None:
        with store.using(backup):
            wanted = restoration.Request(request.server, request.copy, backup)
            there = databases.read(request.server, request.copy)
            if there is None or databases.is_left_over(there):
                restoration.run(wanted, restoration.prepare(wanted))
    return exchange.swap(request, request.copy, request.failed) if backup or facts.get("copied") else {}


def _backup(request: Request) -> str:
    """Return the newest verified backup, or say why it is not good enough to rely on."""
    found = store.listing(request.backup_dir, request.database).newest() if request.backup_dir else None
    if not found:
        raise CatmaidError(request.doing, "nothing protects the database, and it has no verified backup", "Make one.")
    hours = (store.now() - found.finished).total_seconds() / 3600
    if hours > request.backup_hours:
        cause = f"nothing protects the database, and its newest verified backup is {hours:.1f} hours old"
        raise CatmaidError(request.doing, cause, f"Make one that is younger than {request.backup_hours} hours.")
    # The restore fills the geometry tables, and an empty one needs nobody.
    lacking = sorted({str(left["name"]) for left in found.manifest["left_out"] if left["rows"] != 0} - set(GEOMETRY))
    if lacking:
        cause = f"nothing protects the database, and its newest backup lacks {', '.join(lacking)}"
        raise CatmaidError(request.doing, cause, "Make one with materializations.")
    return found.path
