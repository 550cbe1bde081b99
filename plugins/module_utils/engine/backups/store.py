# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder with the backups of a database: names, order, what is whole and what is not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..errors import CatmaidError, of_system
from . import holds, manifest

PARTIAL = ".partial-"
LOCK = ".lock"
BESIDE = (LOCK, "status.json", holds.NAME)  # what stands beside the backups
TEMPORARY = tuple(f".{name}-" for name in BESIDE)  # how names begin of what is being written to replace one of these
TEMPORARY_FOR = 3600.0
TIME = "%Y%m%dT%H%M%SZ"
UNVERSIONED = "unversioned"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Backup:
    """A directory with a manifest. ``problems`` is empty for one that can be restored.

    ``hold`` is why it has to stay, empty for one that may go; ``accepted`` why its contents are no more suspicious.
    """

    path: str
    manifest: dict[str, Any]
    problems: list[str]
    hold: str = ""
    accepted: str = ""

    @property
    def id(self) -> str:
        """Its name, that of its directory."""
        return str(self.manifest["id"])

    @property
    def sound(self) -> bool:
        """Whether nothing is known to be wrong with it."""
        return not self.problems

    @property
    def held(self) -> bool:
        """Whether nothing may remove it."""
        return bool(self.hold)

    @property
    def suspicious(self) -> bool:
        """Whether a precious table lost more rows than it should, and nobody has said that this is right."""
        return bool(self.manifest.get("suspicious")) and not self.accepted

    @property
    def bytes(self) -> int:
        """Its size."""
        return int(self.manifest.get("bytes", 0))

    @property
    def seconds(self) -> float:
        """How long it took to make."""
        return (parse_time(self.manifest["finished"]) - parse_time(self.manifest["started"])).total_seconds()

    @property
    def cluster(self) -> str:
        """The number of the database cluster that it is of; empty when nobody knows."""
        return str((self.manifest.get("postgresql") or {}).get("cluster") or "")

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


def size(text: str) -> int:
    """Return a number of bytes, written as such or with a unit, each 1024 times the one before: 500M, 50G, 2T."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if not match:
        raise CatmaidError("reading a size", f"{text!r} is none", "Write bytes, or a number with K, M, G or T: 50G.")
    return int(float(match.group(1)) * 1024 ** " KMGTP".index(match.group(2).upper() or " "))


def look(path: str, *, checksums: bool = False) -> Backup:
    """Return the backup in ``path``, with what is wrong with it."""
    found = manifest.load(path)
    path = os.path.normpath(path)
    notes = holds.load(os.path.dirname(path))
    name = os.path.basename(path)
    problems = manifest.file_problems(path, found, checksums=checksums)
    return Backup(path, found, problems, notes.held(name), notes.accepted(name))


def listing(dest: str, database: str | None = None, *, checksums: bool = False) -> Listing:
    """Return everything below ``dest``: of one database, or of all."""
    found = Listing()
    for parent in _folders(dest, database):
        for entry in _entries(parent):
            if entry.name in BESIDE or entry.name.startswith(TEMPORARY):
                continue
            if entry.name.startswith(PARTIAL):
                found.incomplete.append(entry.path)
            elif not entry.is_dir(follow_symlinks=False) or not os.path.exists(manifest.path(entry.path)):
                found.foreign.append(entry.path)
            else:
                _add(found, entry.path, database, checksums)
    # One that is dated in the future was made while the clock was wrong: it is no newer than those with a right time.
    at = now()
    found.backups.sort(key=lambda backup: (backup.finished <= at, backup.finished, backup.id), reverse=True)
    return found


def of_cluster(backups: Sequence[Backup], number: str) -> list[Backup]:
    """Return those that may be of the cluster with this number: two servers can have a database of one name."""
    return [backup for backup in backups if not number or backup.cluster in ("", number)]


def expected(found: Listing, dest: str, database: str, name: str, cluster: str = "") -> Backup | None:
    """Return a backup that is about to be made, for whoever predicts what comes after it; None when it is there.

    It is taken to be like the newest sound one of its cluster, whose files it borrows. As nobody has counted its rows,
    it is as suspicious as that one.
    """
    if not name or any(backup.id == name for backup in found.backups):
        return None
    like = next((backup for backup in of_cluster(found.backups, cluster) if backup.sound), None)
    about: dict[str, Any] = {"id": name, "database": database, "finished": format_time(now())}
    if like:
        doubted = like.manifest.get("suspicious") if like.suspicious else []
        return Backup(like.path, {**like.manifest, **about, "suspicious": doubted}, [])
    about.update(bytes=0, files=[], postgresql={"cluster": cluster})
    return Backup(os.path.join(folder(dest, database), name), about, [])


def remove_partials(parent: str) -> list[str]:
    """Remove what runs that were killed have left in ``parent``; the caller holds its lock. Return the names."""
    partials = [entry.path for entry in os.scandir(parent) if entry.name.startswith(PARTIAL)]
    for path in partials:
        remove(path)
    for entry in os.scandir(parent):
        if entry.name.startswith(TEMPORARY):
            with contextlib.suppress(FileNotFoundError):
                if now().timestamp() - entry.stat(follow_symlinks=False).st_mtime > TEMPORARY_FOR:
                    os.unlink(entry.path)
    return [os.path.basename(path) for path in partials]


def remove(path: str) -> None:
    """Remove a directory with all it holds."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        raise CatmaidError(f"removing {path}", "something of it stays", "Remove it by hand.")


def _folders(dest: str, database: str | None) -> list[str]:
    if database is not None:
        return [folder(dest, database)]
    # No database's folder begins with a dot, see safe(): such a one is where a copy is made or fetched.
    folders = (entry for entry in _entries(dest) if entry.is_dir(follow_symlinks=False))
    return [entry.path for entry in folders if not entry.name.startswith(".") and entry.name != "lost+found"]


def _entries(path: str) -> list[os.DirEntry[str]]:
    """Return what is in a folder, nothing where there is none; raise when this user may not know."""
    try:
        with os.scandir(path) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise of_system("looking for backups", error) from error


def _add(found: Listing, path: str, database: str | None, checksums: bool) -> None:
    try:
        backup = look(path, checksums=checksums)
        backup.finished, backup.bytes  # noqa: B018 (what cannot be read is damage, too)
    except (CatmaidError, ValueError, TypeError, KeyError):
        found.incomplete.append(path)
        return
    if database is None or backup.manifest["database"] == database:
        found.backups.append(backup)


@contextlib.contextmanager
def using(path: str) -> Iterator[None]:
    """Keep a backup from being pruned while it is read: a shared lock on its folder, which needs no file.

    What is no folder is nobody's to prune.
    """
    if not os.path.isdir(path):
        yield
        return
    doing = f"reading the backup {path}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CatmaidError(doing, error.strerror or str(error)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        if not os.path.isdir(path):
            raise CatmaidError(doing, "it has just been pruned", "Take another one.")
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def unused(path: str) -> Iterator[bool]:
    """Tell whether nobody reads this backup, see :func:`using`; if so nobody begins to before the end."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    try:
        yield free
    finally:
        os.close(handle)
