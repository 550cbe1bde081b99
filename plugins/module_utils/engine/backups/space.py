# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the disk has room for a backup, said before the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .. import files
from ..errors import CatmaidError
from ..postgres import dump
from ..postgres.catalog import Table
from . import prune, store
from .request import Request

# Without an earlier backup to go by: measured on CATMAID's data, a compressed dump takes a seventh of its tables'
# bytes on disk, a plain one about as many. Twice that is asked for.
FIRST_ESTIMATE = {True: 0.3, False: 2.0}
NEXT_ESTIMATE = 1.25
RESERVE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Need:
    """How many bytes a backup will about take, and by what that is known."""

    bytes: int
    basis: str


def need(
    request: Request, plan: dump.Plan, tables: Sequence[Table], newest: store.Backup | None, beside: int = 0
) -> Need:  # fmt: skip
    """Return what a backup will take; ``beside`` is what will lie beside the dump."""
    left_out = {table.oid for table in [*plan.without, *plan.without_rows]}
    there = sum(table.bytes for table in tables if table.oid not in left_out)
    needed = there * FIRST_ESTIMATE[plan.compression.method != "none"]
    basis = "the size of its tables"
    if newest and _compression(newest) == asdict(plan.compression):
        before = sum(int(table["bytes"]) for table in newest.manifest["tables"])
        dumped = newest.bytes - sum(int(extra["bytes"]) for extra in newest.manifest.get("extras", []))
        if before:
            needed = dumped * max(there / before, 1) * NEXT_ESTIMATE
            basis = f"the backup {newest.id}"
    return Need(int(needed + beside + RESERVE), basis)


def lacking(request: Request, wanted: Need) -> int:
    """Return how many bytes the disk lacks; 0 when it has room."""
    return max(0, wanted.bytes - files.free_bytes(store.folder(request.dest, request.database)))


def refuse(request: Request, wanted: Need, room: prune.Prepared | None) -> None:
    """Raise: the disk has not room for a backup, not even without what ``room`` lets go."""
    free = files.free_bytes(store.folder(request.dest, request.database))
    more = f", and the rules let go {room.bytes} bytes" if room else ""
    raise CatmaidError(
        f"backing up database {request.database}",
        f"about {wanted.bytes} bytes are needed (by {wanted.basis}), {free} are free in {request.dest}{more}",
        "Make room: keep fewer backups (catmaid-admin prune, module backup_prune), or name another dest.",
    )


def _compression(backup: store.Backup) -> dict[str, object]:
    return {"program": "pg_dump", **backup.manifest["dump"]["compression"]}
