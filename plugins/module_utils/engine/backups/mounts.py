# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk for backups that is not there: its empty mount point must not be filled in its place."""

from __future__ import annotations

import os
import re

from ..errors import CatmaidError

TABLE = "/etc/fstab"
MOUNTED = "/proc/self/mountinfo"


def check(dest: str, doing: str) -> None:
    """Refuse a folder below a mount point of this host on which nothing is mounted now."""
    path = os.path.realpath(dest)
    wanted = [point for point in _points(TABLE, 1) if os.path.commonpath([path, point]) == point]
    point = max(wanted, key=len, default="/")
    if point not in ["/", *_points(MOUNTED, 4)]:  # not os.path.ismount, which takes a bind mount for a folder
        raise CatmaidError(
            doing,
            f"{dest} belongs on a disk of its own, and nothing is mounted on {point} ({TABLE} names it)",
            f"Run mount {point}, or name another dest.",
        )


def _points(table: str, column: int) -> list[str]:
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            fields = [line.split() for line in file if not line.lstrip().startswith("#")]
    except OSError:
        return []
    written = [parts[column] for parts in fields if len(parts) > column and parts[column].startswith("/")]
    return [os.path.normpath(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point)) for point in written]
