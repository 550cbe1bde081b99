# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder with the backups of a database: names, order, what is whole and what is not."""

from __future__ import annotations

import os
import re
import shutil
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..errors import CatmaidError
from . import manifest

PARTIAL = ".partial-"
LOCK = ".lock"
BESIDE = (LOCK, "status.json", "holds.json")  # what stands beside the backups
TIME = "%Y%m%dT%H%M%SZ"
UNVERSIONED = "unversioned"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Backup:
    """A directory with a manifest. ``problems`` is empty for one that can be restored."""

    path: str
    manifest: dict[str, Any]
    problems: list[str]

    @property
    def id(self) -> str:
        """Its name, that of its directory."""
        return str(self.manifest["id"])

    @property
    def sound(self) -> bool:
        """Whether nothing is known to be wrong with it."""
        return not self.problems

    @property
    def finished(self) -> datetime:
        """When it was complete."""
        return parse_time(str(self.manifest["finished"]))


@dataclass
class Listing:
    """What lies below a folder of backups, newest first."""

    backups: list[Backup] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def newest(self) -> Backup | None:
        """Return the newest sound backup."""
        return next((backup for backup in self.backups if backup.sound), None)


def safe(name: str) -> str:
    """Return ``name`` as one part of a path, in a way that can be read back and that no two names share."""
    quoted = urllib.parse.quote(name, safe=" ") if name else "%"
    quoted = quoted.replace(" ", "%20")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def folder(dest: str, database: str) -> str:
    """Return the folder of a database's backups."""
    return os.path.join(dest, safe(database))


def new_id(database: str, describe: str, at: datetime, taken: Sequence[str]) -> str:
    """Return the name of a backup made now, different from all that are ``taken``."""
    version = re.sub(r"[^A-Za-z0-9.+-]+", "-", describe).strip("-.")[:30] or UNVERSIONED
    name = f"{safe(database)}_{at.strftime(TIME)}_{version}"
    names = (name if number == 1 else f"{name}.{number}" for number in range(1, len(taken) + 2))
    return next(candidate for candidate in names if candidate not in taken)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(timezone.utc)


def format_time(at: datetime) -> str:
    """Return a time as manifests write it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Return the time that a manifest wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def seconds(text: str) -> int:
    """Return a span of time, written as a number of seconds or with a unit: 90, 30m, 24h, 7d, 2w."""
    match = re.fullmatch(r"\s*(\d+)\s*([smhdw]?)\s*", text)
    if not match:
        raise CatmaidError(
            "reading a span of time",
            f"{text!r} is none",
            "Write seconds, or a number with s, m, h, d or w, such as 24h.",
        )
    return int(match.group(1)) * _UNITS[match.group(2) or "s"]


def look(path: str, *, checksums: bool = False) -> Backup:
    """Return the backup in ``path``, with what is wrong with it."""
    found = manifest.load(path)
    return Backup(path, found, manifest.file_problems(path, found, checksums=checksums))


def listing(dest: str, database: str | None = None, *, checksums: bool = False) -> Listing:
    """Return everything below ``dest``: of one database, or of all."""
    found = Listing()
    for parent in _folders(dest, database):
        for entry in sorted(os.scandir(parent), key=lambda entry: entry.name):
            if entry.name in BESIDE:
                continue
            if entry.name.startswith(PARTIAL):
                found.incomplete.append(entry.path)
            elif not entry.is_dir(follow_symlinks=False) or not os.path.exists(manifest.path(entry.path)):
                found.foreign.append(entry.path)
            else:
                _add(found, entry.path, database, checksums)
    found.backups.sort(key=lambda backup: (backup.finished, backup.id), reverse=True)
    return found


def remove_partials(parent: str) -> list[str]:
    """Remove what runs that were killed have left in ``parent``; the caller holds its lock. Return the names."""
    partials = [entry.path for entry in os.scandir(parent) if entry.name.startswith(PARTIAL)]
    for path in partials:
        remove(path)
    return [os.path.basename(path) for path in partials]


def remove(path: str) -> None:
    """Remove a directory with all it holds."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        raise CatmaidError(f"removing {path}", "something of it stays", "Remove it by hand.")


def _folders(dest: str, database: str | None) -> list[str]:
    if database is not None:
        parents = [folder(dest, database)]
    elif os.path.isdir(dest):
        parents = sorted(entry.path for entry in os.scandir(dest) if entry.is_dir(follow_symlinks=False))
    else:
        parents = []
    return [parent for parent in parents if os.path.isdir(parent)]


def _add(found: Listing, path: str, database: str | None, checksums: bool) -> None:
    try:
        backup = look(path, checksums=checksums)
        backup.finished  # noqa: B018 (a time that cannot be read is damage, too)
    except (CatmaidError, ValueError, TypeError, KeyError):
        found.incomplete.append(path)
        return
    if database is None or backup.manifest["database"] == database:
        found.backups.append(backup)
