# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounted file systems: what they are mounted with now, and with the next boot by /etc/fstab."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from .. import command, files
from ..errors import CatmaidError, of_system

FSTAB = "/etc/fstab"
MOUNTINFO = "/proc/self/mountinfo"
DOING = "looking at mounted file systems"
# Device, mount point, type, options, and the rest, with the blanks between them.
LINE = re.compile(r"(\s*[^\s#]\S*\s+)(\S+)(\s+\S+\s+)(\S+)(.*)", re.DOTALL)
OF_TIMES = {"atime", "noatime", "relatime", "norelatime", "strictatime", "nostrictatime"}


@dataclass(frozen=True)
class Mount:
    """Where a file system is, its device, and the options of this mount."""

    point: str
    device: str
    options: tuple[str, ...]

    @property
    def times(self) -> str:
        """How the times of reading are written down, as an option for mount."""
        return next((option for option in self.options if option in ("noatime", "relatime")), "strictatime")


def of(path: str) -> Mount:
    """Return the file system that ``path`` is on."""
    point = os.path.realpath(path)
    if not os.path.exists(point):
        raise CatmaidError(DOING, f"there is no {path}", "Name a folder of tiles.")
    while not os.path.ismount(point):
        point = os.path.dirname(point)
    found = None
    with open(MOUNTINFO, encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if plain(fields[4]) == point:  # of several the last one is on top
                found = Mount(point, plain(fields[fields.index("-") + 2]), tuple(fields[5].split(",")))
    if not found:
        raise CatmaidError(DOING, f"{point} is mounted, and the kernel does not say what")
    return found


def plain(text: str) -> str:
    """Return a path without the kernel's and fstab's way of writing blanks."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def remount(point: str, times: str) -> None:
    """Let a mounted file system write down times of reading in another way, and see that it does."""
    doing = f"mounting {point} with {times}"
    # All options of this mount as they are: mount itself would add those of fstab, of which noatime wins over all.
    others = [option for option in of(point).options if option not in OF_TIMES]
    options = ",".join(["remount", "bind", *others, times])
    command.run(["mount", "--options-mode", "ignore", "-o", options, point], doing=doing)
    if of(point).times != times:
        raise CatmaidError(doing, f"the kernel has {','.join(of(point).options)} then")


def line_of(point: str) -> str | None:
    """Return the line of fstab for a mount point, with its end; nothing when there is none."""
    for line in _lines():
        match = LINE.match(line)
        if match and plain(match[2]) == point:
            return line
    return None


def without_times(line: str) -> str:
    """Return a line of fstab with noatime in place of what it says of times."""
    match = LINE.match(line)
    if not match:
        raise CatmaidError(DOING, f"this is no line of {FSTAB}: {line}")
    options = [option for option in match[4].split(",") if option not in OF_TIMES]
    return f"{match[1]}{match[2]}{match[3]}{','.join([*options, 'noatime'])}{match[5]}"


def replace(old: str, new: str) -> None:
    """Put one line of fstab in place of another."""
    lines = _lines()
    if old not in lines:
        cause = f"the line that was written is not there any more: {old.strip()}"
        raise CatmaidError(f"changing {FSTAB}", cause, f"It should be: {new.strip()}")
    lines[lines.index(old)] = new
    content = "".join(lines).encode("utf-8", "surrogateescape")
    files.write_bytes_atomically(FSTAB, content, stat.S_IMODE(os.stat(FSTAB).st_mode))
    if os.path.isdir("/run/systemd/system"):  # or it goes on with what it has read before
        command.run(["systemctl", "daemon-reload"], doing="letting systemd read fstab")


def _lines() -> list[str]:
    try:
        with open(FSTAB, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise of_system(DOING, error) from error
