# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long people will wait: by what a rehearsal has measured, and by what the last upgrades have taken."""

from __future__ import annotations

from typing import Any

from ..errors import CatmaidError
from ..postgres import databases
from . import history
from .request import COPY, Request

# Seconds of the phases in which nobody is served, until an upgrade has told those of the host.
USUAL = {"stop": 1.0, "start": 3.0, "verify": 0.5}


def predict(request: Request, migrating: float, *, changes: bool) -> dict[str, float]:
    """Return the seconds of each part, with ``downtime`` for their sum, and ``online`` for what is left of it online.

    ``migrating`` is with the start of Django. A dump at the stop is not predicted: it depends on too much.
    """
    lines = [line for line in history.read(request.state_dir) if line.get("result") == history.UPGRADED]
    parts = {name: _last(lines, name, usual) for name, usual in USUAL.items()}
    online = sum(parts.values())
    parts["migrate"] = migrating if changes else 0.0
    parts["protect"] = copy_seconds(request) if changes and request.protect == COPY else 0.0
    found = {**parts, "downtime": sum(parts.values()), "online": online}
    return {name: round(seconds, 1) for name, seconds in found.items()}


def copy_seconds(request: Request) -> float:
    """Return how long the copy of the database will take, by what the last one took."""
    about = databases.read(request.server, request.database)
    return round((about.bytes if about else 0) / history.copy_rate(request.state_dir), 1)


def refuse(request: Request, seconds: float) -> None:
    """Raise when that is longer than what is allowed."""
    if request.max_downtime and seconds > request.max_downtime:
        cause = f"people would wait about {seconds:.0f} seconds, and {request.max_downtime} are allowed"
        raise CatmaidError(request.doing, cause, "Allow a longer downtime (catmaid_upgrade_max_downtime).")


def _last(lines: list[dict[str, Any]], phase: str, usual: float) -> float:
    told = [line["seconds"][phase] for line in lines if phase in line.get("seconds", {})]
    return float(told[-1]) if told else usual
