# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what is under way, on the disk before it begins. While its file is there, the application may not start
unless the job itself starts it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import files
from ..errors import CatmaidError, of_system
from .request import Request

NAME = "upgrade.json"
RESULT = "upgrade-result.json"
LOCK = "upgrade.lock"
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class Journal:
    """Where a job is. ``phase`` has begun; ``seconds`` are those of the phases that have ended."""

    id: str
    kind: str
    state_dir: str
    before: str
    after: str
    copy: str
    started: str
    phase: str = ""
    undoing: bool = False
    cause: str = ""
    since: float = 0.0
    closed: float = 0.0
    opened: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    pid: int = 0

    @property
    def downtime(self) -> float:
        """Seconds for which people saw the maintenance page."""
        return round((self.opened or time.time()) - self.closed, 3) if self.closed else 0.0

    def enter(self, phase: str) -> None:
        """Note that a phase begins, and with it that the one before has ended."""
        self.leave()
        self.phase, self.since = phase, time.time()
        self.write()

    def leave(self) -> None:
        """Note how long the phase took."""
        if self.phase and not self.undoing:
            self.seconds[self.phase] = round(time.time() - self.since, 3)

    def tell(self, facts: dict[str, Any]) -> None:
        """Note what there is to know afterwards; lists grow."""
        for name, value in facts.items():
            known = self.facts.get(name)
            self.facts[name] = [*known, *value] if isinstance(known, list) and isinstance(value, list) else value

    def write(self) -> None:
        """Put it on the disk."""
        try:
            files.write_json(path(self.state_dir), asdict(self), mode=0o644)
        except OSError as error:
            raise of_system("noting how far the job is", error) from error

    def remove(self) -> None:
        """Say that nothing is under way any more."""
        os.unlink(path(self.state_dir))
        files.sync_folder(self.state_dir)


def path(state_dir: str) -> str:
    """Return where the journal stands."""
    return os.path.join(state_dir, NAME)


def new(request: Request) -> Journal:
    """Return the journal of a job that begins."""
    now = time.strftime(TIME, time.gmtime())
    names = (request.old.describe, request.new.describe)
    return Journal(request.id, request.kind, request.state_dir, *names, request.copy, now, pid=os.getpid())


def load(state_dir: str) -> Journal | None:
    """Return the journal of a job that is at work or was interrupted."""
    doing = f"reading {path(state_dir)}"
    try:
        with open(path(state_dir), encoding="utf-8") as file:
            return Journal(**json.load(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise of_system(doing, error) from error
    except (ValueError, TypeError) as error:
        raise CatmaidError(doing, f"it is damaged ({error})") from error


def result(state_dir: str, job: str) -> dict[str, Any] | None:
    """Return what the job of this id has left, if it has ended."""
    try:
        with open(os.path.join(state_dir, RESULT), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("id") == job else None
