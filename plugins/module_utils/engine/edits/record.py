# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was edited by whom: a line of JSON each, and the file itself, beside the backups of what was there before."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import files
from ..errors import of_system
from ..postgres.catalog import Table

if TYPE_CHECKING:
    from .job import Outcome, Request

NAME = "direct-edits.jsonl"
TIME = "%Y-%m-%dT%H:%M:%SZ"


def append(request: Request, outcome: Outcome) -> None:
    """Add the line, and keep the file."""
    doing = f"noting the edit in {request.dest}"
    line = {
        "time": time.strftime(TIME, time.gmtime()),
        "by": request.by,
        "database": request.runner.database,
        "file": request.edit.path,
        "sha256": hashlib.sha256(request.edit.content).hexdigest(),
        "replica": request.replica,
        "tables": [
            {"table": change.table.label, **dict(zip(("inserted", "updated", "deleted"), change.counts))}
            for change in outcome.changes
        ],
        "skeletons": len(outcome.skeletons),
        "mended": outcome.mended,
        "without_history": outcome.without_history,
        "backup": outcome.backup,
        "undo": outcome.undo,
    }
    try:
        files.write_bytes_atomically(f"{request.dest}/{os.path.basename(outcome.backup)}.sql", request.edit.content)
        path = os.path.join(request.dest, NAME)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise of_system(doing, error) from error


def undo_command(backup: str, tables: Sequence[Table]) -> str:
    """Return the command that brings what was there before into a database to look things up in."""
    if not backup:
        return ""
    wanted = json.dumps({"catmaid_restore_backup": backup, "catmaid_restore_tables": [table.label for table in tables]})
    return f"ansible-playbook -i inventory restore.yml -e catmaid_restore_to=scratch -e {shlex.quote(wanted)}"
