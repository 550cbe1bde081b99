# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the last rehearsal has found, kept in the instance's folder: an upgrade goes online by it or not at all."""

from __future__ import annotations

import calendar
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import files
from ..errors import of_system
from ..progress import size, span
from .additions import Footprint

NAME = "upgrade-rehearsal.json"
TIME = "%Y-%m-%dT%H:%M:%SZ"
REASONS_TOLD = 12
HOURS = 24.0  # a backup that is older says too little of what is there now


@dataclass
class Rehearsal:
    """A rehearsal. ``objections`` are why the migrations cannot run while the old release serves; without one they can.

    ``made`` is the time of the backup; ``before`` and ``after`` are commits. ``predicted`` are the seconds of an
    upgrade with the application stopped, and ``grown`` the bytes by which the migrations make the database larger.
    """

    time: str
    made: str
    database: str
    backup: str
    before: str
    after: str
    to: str
    steps: list[str] = field(default_factory=list)
    prints: list[Footprint] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    predicted: dict[str, float] = field(default_factory=dict)
    grown: int = 0

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            **{key: value for key, value in asdict(self).items() if key not in ("prints", "steps")},
            "migrations": [
                {
                    "name": footprint.name,
                    "seconds": footprint.seconds,
                    "locks": [
                        {"relation": name, "mode": mode, "seconds": seconds}
                        for name, (mode, seconds) in sorted(footprint.locks.items())
                    ],
                    "changes": footprint.changes,
                }
                for footprint in self.prints
            ],
        }


def now() -> str:
    """Return the time."""
    return time.strftime(TIME, time.gmtime())


def keep(state_dir: str, rehearsal: Rehearsal) -> None:
    """Keep it for the plan and for the upgrade."""
    try:
        files.write_json(os.path.join(state_dir, NAME), asdict(rehearsal), mode=0o644)
    except OSError as error:
        raise of_system("keeping what the rehearsal has found", error) from error


def forget(state_dir: str) -> None:
    """Let none count while another one is at work, or has failed."""
    path = os.path.join(state_dir, NAME)
    if os.path.exists(path):
        os.unlink(path)


def read(state_dir: str) -> Rehearsal | None:
    """Return the last one that went well."""
    try:
        with open(os.path.join(state_dir, NAME), encoding="utf-8") as file:
            told = json.load(file)
        prints = [
            Footprint(**{**one, "locks": {name: (mode, held) for name, (mode, held) in one["locks"].items()}})
            for one in told.pop("prints")
        ]
        return Rehearsal(**told, prints=prints)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # there is none, or it is not one of ours: another one is soon made


def matching(state_dir: str, database: str, before: str, after: str) -> Rehearsal | None:
    """Return the last one, if it was this way that it went."""
    found = read(state_dir)
    wanted = (database, before, after)
    return found if found and (found.database, found.before, found.after) == wanted else None


def objections(rehearsal: Rehearsal | None, steps: Sequence[str], to: str) -> list[str]:
    """Return why these migrations cannot run while the old release serves."""
    if rehearsal is None:
        return [f"the upgrade to {to} was not rehearsed"]
    return [reason] if (reason := outdated(rehearsal, steps, HOURS)) else rehearsal.objections


def outdated(rehearsal: Rehearsal, steps: Sequence[str], hours: float) -> str:
    """Return why a rehearsal says nothing of what is to be done now; nothing when it does."""
    if sorted(rehearsal.steps) != sorted(steps):
        return "other migrations were rehearsed than are to be done now"
    age = time.time() - calendar.timegm(time.strptime(rehearsal.made, TIME))
    return f"the backup that it was rehearsed with is {age / 3600:.0f} hours old" if age > hours * 3600 else ""


def first(reasons: Sequence[str]) -> list[str]:
    """Return as many as somebody will read."""
    more = [f"and {len(reasons) - REASONS_TOLD} more"] if len(reasons) > REASONS_TOLD else []
    return [*reasons[:REASONS_TOLD], *more]


def summary(rehearsal: Rehearsal) -> list[str]:
    """Return it for people, line by line."""
    told = rehearsal.predicted
    slowest = sorted(rehearsal.prints, key=lambda one: one.seconds, reverse=True)[:3]
    grown = f" and the database grows by {size(rehearsal.grown)}" if rehearsal.grown > 0 else ""
    number = "1 migration takes" if len(rehearsal.steps) == 1 else f"{len(rehearsal.steps)} migrations take"
    steps = f"{number} {span(told['migrate'])}{grown}"
    lines = [
        f"Rehearsed at {rehearsal.time} with {rehearsal.backup}: {steps}.",
        f"People wait about {span(told['downtime'])}, or {span(told['online'])} if it goes online.",
    ]
    if slowest:
        lines.append("Slowest: " + ", ".join(f"{one.name} {one.seconds:.1f} s" for one in slowest) + ".")
    if rehearsal.objections:
        return [*lines, "It cannot go online:", *(f"  {reason}" for reason in first(rehearsal.objections))]
    return [*lines, "All migrations only add: it can go online."]
