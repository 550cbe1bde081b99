# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people have decided about single backups: which ones have to stay, and which suspicion is unfounded.

It stands in a file beside the backups, not in them: a backup is never changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from .. import files
from ..errors import CatmaidError

NAME = "holds.json"
HELD = "held"
ACCEPTED = "accepted"
UNREADABLE = "the file holds.json is damaged, so that nobody knows which backups have to stay"


@dataclass(frozen=True)
class Notes:
    """What was decided, by the names of backups. When the file cannot be read, all backups are held."""

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    problem: str = ""

    def held(self, name: str) -> str:
        """Return why a backup has to stay, nothing if it need not."""
        return UNREADABLE if self.problem else self._reason(HELD, name)

    def accepted(self, name: str) -> str:
        """Return why a backup is not suspicious, nothing if nobody said so."""
        return self._reason(ACCEPTED, name)

    def names(self, what: str) -> list[str]:
        """Return the names of the backups that are held, or accepted."""
        return sorted(self.entries.get(what, {}))

    def _reason(self, what: str, name: str) -> str:
        found = self.entries.get(what, {}).get(name)
        return str(found.get("reason") or "no reason was given") if found else ""


def path(folder: str) -> str:
    """Return where the decisions about the backups in ``folder`` stand."""
    return os.path.join(folder, NAME)


def load(folder: str) -> Notes:
    """Return what was decided about the backups in ``folder``."""
    try:
        with open(path(folder), encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return Notes()
    except (OSError, ValueError) as error:
        return Notes(problem=str(error))
    if not _is_valid(found):
        return Notes(problem="it holds something else")
    return Notes(found)


def check(folder: str) -> Notes:
    """Return what was decided, or raise when that cannot be known."""
    notes = load(folder)
    if notes.problem:
        remedy = "Repair it, or remove it and hold again what has to stay."
        raise CatmaidError(f"reading {path(folder)}", notes.problem, remedy)
    return notes


def note(folder: str, what: str, name: str, reason: str, by: str = "") -> None:
    """Note that the backup ``name`` is held, or accepted."""
    with turn(folder):
        entries = check(folder).entries
        since = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"reason": reason, "since": since, "by": by}
        _write(folder, {**entries, what: {**entries.get(what, {}), name: about}})


def forget(folder: str, what: str, name: str) -> None:
    """Take that back."""
    with turn(folder):
        entries = check(folder).entries
        _write(folder, {**entries, what: {key: value for key, value in entries.get(what, {}).items() if key != name}})


@contextlib.contextmanager
def turn(folder: str) -> Iterator[None]:
    """Let one process after the other decide about backups in ``folder``; nobody keeps its turn for long."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(folder: str, entries: dict[str, Any]) -> None:
    try:
        files.write_json(path(folder), entries)
    except OSError as error:
        raise CatmaidError(f"writing {path(folder)}", error.strerror or str(error)) from error


def _is_valid(found: Any) -> bool:
    return isinstance(found, dict) and all(
        isinstance(names, dict) and all(isinstance(about, dict) for about in names.values()) for names in found.values()
    )
