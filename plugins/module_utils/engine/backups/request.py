# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup is asked to be, and what was found out about it before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..catmaid import facts
from ..postgres import dump
from ..postgres.server import Server
from ..progress import Report
from . import extras, prune, store


@dataclass(frozen=True)
class Request:
    """What somebody asks for. When the disk has no room, what the rules of ``room`` let go is removed first."""

    server: Server
    database: str
    dest: str
    format: str = "directory"
    jobs: int | None = None
    materializations: str = "safe"
    exclude_tables: Sequence[str] = ()
    exclude_table_data: Sequence[str] = ()
    allow_incomplete: bool = False
    compression: str = "auto"
    compression_level: int | None = None
    globals: bool = True
    project_path: str | None = None
    project_user: str | None = None
    source: facts.Source | None = None
    min_age: str | None = None
    lock_wait_timeout: float = 60
    lock_wait: float = 0
    lock_token: str = ""
    requested_by: str = ""
    beside: extras.Wanted = field(default_factory=extras.Wanted)
    on_progress: Report | None = None
    fingerprint: bool = True
    shrink_percent: int = 10
    room: prune.Request | None = None


@dataclass(frozen=True)
class Prepared:
    """What a run would do, found out without writing anything.

    ``newest`` is the newest sound backup, ``reference`` the newest one that is not suspicious either, both of this very
    cluster. ``strange`` says that there are younger ones of another cluster, if there are. ``room`` is what has to go
    first.
    """

    id: str
    young: store.Backup | None
    newest: store.Backup | None
    reference: store.Backup | None
    plan: dump.Plan
    source: facts.Source | None
    bytes: int
    strange: str = ""
    room: prune.Prepared | None = None
