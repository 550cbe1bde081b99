# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of tiles: reading them writes nothing, more is read at once, and all of it goes back to what it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .. import command, files
from ..errors import CatmaidError
from . import attributes, mounts

MOUNT, ATTRIBUTE = "mount", "attribute"
RULES = "/etc/udev/rules.d/61-catmaid-tiles.rules"
HEADER = "# What catmaid.admin has tuned: change the variables of the role tile_storage instead.\n"
DOING = "tuning folders of tiles"
SECTOR_KB = 2  # sectors of read-ahead in a kilobyte


@dataclass(frozen=True)
class Wanted:
    """A folder: by which method reading it writes nothing, and how much is read ahead, 0 as it is."""

    path: str
    method: str = MOUNT
    read_ahead_kb: int = 0


@dataclass(frozen=True)
class Change:
    """Something to do: what it is about, how it was, how it is to be, and what does it."""

    what: str
    before: str
    after: str
    do: Callable[[], None]


@dataclass
class Note:
    """What was before: lines of fstab and options by mount point, files that had the attribute, read-ahead in KB."""

    path: str
    lines: dict[str, dict[str, str]] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, list[str]] = field(default_factory=dict)
    read_ahead: dict[str, dict[str, Any]] = field(default_factory=dict)

    def save(self) -> None:
        """Write it down, or away with it when it is empty."""
        told = {name: value for name, value in vars(self).items() if name != "path"}
        if any(told.values()):
            os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
            files.write_json(self.path, told)
        elif os.path.exists(self.path):
            os.unlink(self.path)
            with suppress(OSError):  # others keep their notes there
                os.rmdir(os.path.dirname(self.path))


def read_note(path: str) -> Note:
    """Return the note of earlier runs."""
    try:
        with open(path, encoding="utf-8") as file:
            return Note(path=path, **json.load(file))
    except FileNotFoundError:
        return Note(path=path)
    except (OSError, ValueError, TypeError) as error:
        raise CatmaidError(DOING, f"what was before cannot be read in {path}: {error}") from error


def apply(path: str, wanted: Iterable[Wanted], *, check: bool = False) -> list[Change]:
    """Let folders be as wanted, and those of earlier runs that are not any more as they were. Return what changed."""
    asked = list(wanted)
    note = read_note(path)
    changes: list[Change] = []
    found = {one.path: mounts.of(one.path) for one in asked}
    points = {found[one.path].point for one in asked if one.method == MOUNT}
    paths = {os.path.realpath(one.path) for one in asked if one.method == ATTRIBUTE}
    devices = {found[one.path].device: one.read_ahead_kb for one in asked if one.read_ahead_kb}
    for point in sorted(points):
        changes += _mount(note, point)
    for point in sorted({*note.lines, *note.times} - points):
        changes += _unmount(note, point)
    for folder in sorted(paths):
        changes += _attribute(note, folder)
    for folder in sorted(set(note.attributes) - paths):
        changes.append(Change(folder, "+A", "-A", partial(_take_attribute, note, folder)))
    changes += _read_ahead(note, devices)
    if not check:
        for change in changes:
            change.do()
    return changes


def _mount(note: Note, point: str) -> list[Change]:
    changes = []
    line = mounts.line_of(point)
    if line is None:
        cause = f"{point} is not mounted by {mounts.FSTAB}, so the next boot would not know of noatime"
        raise CatmaidError(DOING, cause, "Use the method attribute, or say noatime where it is mounted from.")
    new = mounts.without_times(line)
    if "noatime" not in line.split()[3].split(","):
        changes.append(Change(mounts.FSTAB, line, new, partial(_write_line, note, point, line, new)))
    times = mounts.of(point).times
    if times != "noatime":
        changes.append(Change(point, times, "noatime", partial(_remount, note, point, times)))
    return changes


def _write_line(note: Note, point: str, old: str, new: str) -> None:
    note.lines.setdefault(point, {"before": old})["after"] = new
    note.save()
    mounts.replace(old, new)


def _remount(note: Note, point: str, before: str) -> None:
    note.times.setdefault(point, before)
    note.save()
    mounts.remount(point, "noatime")


def _unmount(note: Note, point: str) -> list[Change]:
    """Return what brings a mount point back."""
    changes = []
    line = note.lines.get(point)
    if line:
        changes.append(Change(mounts.FSTAB, line["after"], line["before"], partial(_old_line, note, point)))
    before = note.times.get(point)
    if before:
        changes.append(Change(point, "noatime", before, partial(_old_times, note, point)))
    return changes


def _old_line(note: Note, point: str) -> None:
    line = note.lines[point]
    if mounts.line_of(point) != line["before"]:
        mounts.replace(line["after"], line["before"])
    del note.lines[point]
    note.save()


def _old_times(note: Note, point: str) -> None:
    if os.path.ismount(point):
        mounts.remount(point, note.times[point])
    del note.times[point]
    note.save()


def _attribute(note: Note, folder: str) -> list[Change]:
    if attributes.has(folder):
        return []
    return [Change(folder, "-A", "+A", partial(_give_attribute, note, folder))]


def _give_attribute(note: Note, folder: str) -> None:
    if folder not in note.attributes:
        note.attributes[folder] = [path for path in attributes.below(folder) if attributes.has(path)]
        note.save()
    for path in attributes.below(folder):
        attributes.put(path, True)


def _take_attribute(note: Note, folder: str) -> None:
    kept = set(note.attributes[folder])
    for path in attributes.below(folder) if os.path.isdir(folder) else ():
        if path not in kept:
            attributes.put(path, False)
    del note.attributes[folder]
    note.save()


def _read_ahead(note: Note, wanted: dict[str, int]) -> list[Change]:
    changes = []
    values = {**{device: known["before"] for device, known in note.read_ahead.items()}, **wanted}
    for device, value in sorted(values.items()):
        if not os.path.exists(device):
            if device in wanted:
                cause = f"{device} is no device of this host, such as that of a network's file system"
                raise CatmaidError(DOING, cause, "Leave its read_ahead_kb out.")
            now = value
        else:
            now = _kilobytes(device)
        if now != value or (device not in wanted):
            todo = partial(_set_read_ahead, note, device, value, device in wanted)
            changes.append(Change(f"read-ahead of {device}", f"{now} KB", f"{value} KB", todo))
    rules = _rules(wanted)
    before = _text(RULES)
    if rules != before and (wanted or note.read_ahead):
        changes.append(Change(RULES, before, rules, partial(_write_rules, rules)))
    return changes


def _kilobytes(device: str) -> int:
    told = command.run(["blockdev", "--getra", device], doing=f"asking {device} for its read-ahead")
    return int(told.stdout) // SECTOR_KB


def _set_read_ahead(note: Note, device: str, value: int, keep: bool) -> None:
    if keep:
        note.read_ahead.setdefault(device, {"before": _kilobytes(device)})
        note.save()
    if os.path.exists(device):
        sectors = str(value * SECTOR_KB)
        command.run(["blockdev", "--setra", sectors, device], doing=f"setting the read-ahead of {device}")
        if _kilobytes(device) != value:
            raise CatmaidError(DOING, f"{device} reads {_kilobytes(device)} KB ahead, not {value}")
    if not keep:
        del note.read_ahead[device]
        note.save()


def _rules(wanted: dict[str, int]) -> str:
    """Return what lets udev set it at boot, by what the file system is called: devices have other names then."""
    lines = []
    for device, value in sorted(wanted.items()):
        doing = f"asking for the name of the file system on {device}"
        uuid = command.run(["blkid", "--output", "value", "--match-tag", "UUID", device], doing=doing).stdout.strip()
        told = f'SUBSYSTEM=="block", ACTION=="add|change", ENV{{ID_FS_UUID}}=="{uuid}"'
        lines.append(f'{told}, RUN+="/usr/sbin/blockdev --setra {value * SECTOR_KB} $devnode"\n')
    return HEADER + "".join(lines) if lines else ""


def _write_rules(text: str) -> None:
    if text:
        os.makedirs(os.path.dirname(RULES), mode=0o755, exist_ok=True)
        files.write_atomically(RULES, text, 0o644)
    elif os.path.exists(RULES):
        os.unlink(RULES)


def _text(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()
