# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comment of a database that was kept when another one took its place: which it was, and until when.

It tells the database's own name, so one that somebody has renamed, to use it, is nobody's to drop.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone

TIME = "%Y-%m-%dT%H:%M:%SZ"
_NAME = r'("(?:[^"\\]|\\.)*")'
_MARK = re.compile(rf"catmaid\.admin: {_NAME}, was {_NAME} until (\S+Z)(?:; (.*))?", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """What such a comment tells, with the comment that the database had before."""

    name: str
    live: str
    until: datetime
    comment: str

    def __str__(self) -> str:
        before = f"; {self.comment}" if self.comment else ""
        names = f"{json.dumps(self.name)}, was {json.dumps(self.live)}"
        return f"catmaid.admin: {names} until {self.until.strftime(TIME)}{before}"


def new(name: str, live: str, comment: str) -> Mark:
    """Return the mark of a database that was ``live`` until now and is kept as ``name``."""
    return Mark(name, live, datetime.now(timezone.utc), unmarked(comment))


def read(comment: str) -> Mark | None:
    """Return the mark that a comment is, None if it is none."""
    match = _MARK.fullmatch(comment)
    if not match:
        return None
    name, live, until, before = match.groups()
    at = datetime.strptime(until, TIME).replace(tzinfo=timezone.utc)
    return Mark(json.loads(name), json.loads(live), at, before or "")


def unmarked(comment: str) -> str:
    """Return a comment without the mark."""
    mark = read(comment)
    return mark.comment if mark else comment
