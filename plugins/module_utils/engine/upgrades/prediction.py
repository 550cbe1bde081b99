# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long people will wait: by what a rehearsal has measured, by what the last upgrades have taken, or by a guess."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from ..postgres import databases
from . import history
from .request import COPY, Request

LATEST = 5  # upgrades that are looked at: the longest of them, since hosts are now busy and now idle

# Seconds of the phases in which nobody is served, until an upgrade has told those of the host.
USUAL = {"stop": 1.0, "start": 3.0, "verify": 0.5}

# Measured on two cores (PostgreSQL 15): 18 migrations that only add took 2.5 s, what Django does around them half a
# second. A table that is written anew with its indexes takes longest.
REWRITE_PER_SECOND = 20_000_000
DJANGO_SECONDS, MIGRATION_SECONDS = 0.5, 0.3
REWRITING = {f"catmaid.{number}" for number in ("0082", "0088", "0089", "0090", "0091", "0098", "0099", "0100")}


@dataclass(frozen=True)
class Estimate:
    """Seconds by part, with ``downtime`` for their sum; and where each of them is from, for people."""

    seconds: dict[str, float]
    sources: dict[str, str]


def predict(request: Request, migrating: float, *, changes: bool) -> dict[str, float]:
    """Return the seconds of each part, with ``downtime`` for their sum, and ``online`` for what is left of it online.

    ``migrating`` is with the start of Django. A dump at the stop is not predicted: it depends on too much.
    """
    parts = restarting(history.read(request.state_dir))
    online = sum(parts.values())
    parts["migrate"] = migrating if changes else 0.0
    parts["protect"] = copy_seconds(request) if changes and request.protect == COPY else 0.0
    found = {**parts, "downtime": sum(parts.values()), "online": online}
    return {name: round(seconds, 1) for name, seconds in found.items()}


def estimate(lines: list[dict[str, Any]], steps: Sequence[str], protect: str, database_bytes: int) -> Estimate:
    """Return about how long people will wait for these migrations, by the lines of the host's history."""
    migrating, by_what = _migrating(lines, steps, database_bytes)
    copying = database_bytes / history.copy_rate(lines) if steps and protect == COPY else 0.0
    found = {"copy": copying, "migrate": migrating, "restart": sum(restarting(lines).values())}
    seconds = {name: round(value, 1) for name, value in {**found, "downtime": sum(found.values())}.items()}
    return Estimate(seconds, {**sources(lines), "migrate": by_what})


def sources(lines: list[dict[str, Any]]) -> dict[str, str]:
    """Return where the parts are from that do not depend on the target."""
    number = len(_upgrades(lines))
    longest = f"the longest of the last {number} upgrades here" if number > 1 else "as in the last upgrade here"
    copied = "as the last one here" if history.has_copied(lines) else "a guess by its size"
    return {"copy": copied, "restart": longest if number else "a guess: no upgrade was made here yet"}


def restarting(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Return the seconds of the phases that do not depend on the target."""
    told = [line.get("seconds", {}) for line in _upgrades(lines)]
    longest = {name: [float(one[name]) for one in told if name in one] for name in USUAL}
    return {name: max(longest[name], default=usual) for name, usual in USUAL.items()}


def copy_seconds(request: Request) -> float:
    """Return how long the copy of the database will take, by what the last one took."""
    about = databases.read(request.server, request.database)
    return round((about.bytes if about else 0) / history.copy_rate(history.read(request.state_dir)), 1)


def refuse(request: Request, seconds: float) -> None:
    """Raise when that is longer than what is allowed."""
    if request.max_downtime and seconds > request.max_downtime:
        cause = f"people would wait about {seconds:.0f} seconds, and {request.max_downtime} are allowed"
        raise CatmaidError(request.doing, cause, "Allow a longer downtime (catmaid_upgrade_max_downtime).")


def _upgrades(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("result") == history.UPGRADED][-LATEST:]


def _migrating(lines: list[dict[str, Any]], steps: Sequence[str], database_bytes: int) -> tuple[float, str]:
    """Return the seconds for these migrations: as they took here before, as others took here, or as elsewhere."""
    if not steps:
        return 0.0, "there are none"
    here: dict[str, float] = {}
    around = [DJANGO_SECONDS] if not _upgrades(lines) else []
    for line in lines:
        each = {name: float(seconds) for name, seconds in line.get("migration_seconds", {}).items()}
        here.update({name: max(seconds, here.get(name, 0.0)) for name, seconds in each.items()})
    for line in _upgrades(lines):
        if line.get("migration_seconds"):
            spent = line.get("seconds", {}).get("migrate", 0.0) - sum(line["migration_seconds"].values())
            around.append(max(spent, 0.0))
    usual = [seconds for name, seconds in here.items() if not _rewrites(name)]
    # Not the mean: one that has filled a large table says nothing of those that add a column.
    typical = statistics.median(usual) if usual else MIGRATION_SECONDS
    guessed = [name for name in steps if name not in here]
    rewriting = database_bytes / REWRITE_PER_SECOND / len(REWRITING)
    seconds = sum(here[name] for name in steps if name in here)
    seconds += sum(typical + (rewriting if _rewrites(name) else 0.0) for name in guessed)
    by_what = "a guess by their number and the size of the database"
    if not guessed:
        by_what = "as they took here before"
    elif usual:
        by_what = "a guess by what others took here"
    return seconds + max(around, default=DJANGO_SECONDS), by_what


def _rewrites(name: str) -> bool:
    app, _dot, rest = name.partition(".")
    return f"{app}.{rest[:4]}" in REWRITING
