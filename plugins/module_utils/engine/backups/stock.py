# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a target: a copy is one file, ID.tar with what encryption appends, and its mark, ID.json.

The mark is written last and after the copy was verified. A copy without it is not complete, and the next run replaces
or removes it. There are no secrets in a mark, and nothing of the tables.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field

from . import retention, store
from .rclone import Rclone
from .rsync import Rsync
from .targets import Remote, Target

FORMAT = 1
MARK = ".json"
MISSING = "missing"
STAGING = ".copying"
OURS = r"\.?%s_\d{8}T\d{6}Z_.*\.(json|tar)(\..*)?"


@dataclass(frozen=True)
class Record:
    """What the mark of a complete copy says: of the backup, and of the one file that the copy is."""

    id: str
    database: str
    object: str
    finished: str
    bytes: int
    sha256: str
    encryption: str
    suspicious: bool
    host: str
    copied: str
    checked: str
    backup_bytes: int
    cluster: str = ""
    format: int = FORMAT

    def item(self, *, sound: bool, held: bool) -> retention.Item:
        """Return what retention has to know."""
        return retention.Item(
            self.id, store.parse_time(self.finished), self.bytes, sound, self.suspicious, held, self.cluster
        )


@dataclass
class Stock:
    """What is on a target: complete copies by id, those of them whose file is not as it should be, and leftovers."""

    records: dict[str, Record] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def whole(self) -> list[Record]:
        """Return the copies that can be fetched, newest first."""
        found = [record for record in self.records.values() if record.id not in self.damaged]
        return sorted(found, key=lambda record: (record.finished, record.id), reverse=True)


def connect(target: Target, dest: str, database: str, doing: str) -> Remote:
    """Return the folder of ``database`` on ``target``."""
    folder = store.safe(database)
    if target.type == "rsync":
        return Rsync(target, folder, doing, os.path.join(dest, STAGING, folder))
    return Rclone(target, folder, doing)


def look(remote: Remote, database: str) -> Stock:
    """Return what is on a target."""
    found = Stock()
    sizes = remote.sizes()
    texts = remote.texts(MARK) if any(name.endswith(MARK) for name in sizes) else []
    for record in filter(None, (_record(text, database) for text in texts)):
        if f"{record.id}{MARK}" not in sizes:
            continue
        found.records[record.id] = record
        size = sizes.get(record.object)
        if size != record.bytes:
            found.damaged[record.id] = f"{record.object}: {MISSING if size is None else f'{size} bytes'}"
    known = {record.object for record in found.records.values()} | {f"{name}{MARK}" for name in found.records}
    ours = re.compile(OURS % re.escape(store.safe(database)))
    for name in sorted(sizes.keys() - known):
        (found.leftovers if ours.fullmatch(name) else found.foreign).append(name)
    return found


def _record(text: str, database: str) -> Record | None:
    try:
        values = json.loads(text)
        if values.pop("format") != FORMAT:
            return None
        values.setdefault("cluster", "")  # which older marks do not tell
        record = Record(**{name: values[name] for name in Record.__dataclass_fields__ if name != "format"})
        store.parse_time(record.finished)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # half a mark is no mark
    prefix = f"{record.id}.tar"
    inside = record.object.startswith(prefix) and "/" not in record.object
    return record if record.database == database and inside else None
