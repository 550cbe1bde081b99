# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrating the live database while the old release serves: whether that may be, and doing it without being in the way.

Whoever waits for a lock keeps all those waiting who come after him. So no statement waits longer than people may, and
what gave up, or was in a deadlock, is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..django import migrations
from ..django.shim import Runner
from ..errors import CatmaidError
from . import rehearsed
from .request import Request

OFFLINE, ONLINE, AUTO = "offline", "online", "auto"
MODES = (OFFLINE, ONLINE, AUTO)
TRIED_AGAIN = (migrations.LOCK_NOT_AVAILABLE, "40P01")  # the other one is deadlock_detected
PAUSE = 1.0


def objections(request: Request, plan: migrations.Plan, extensions: Sequence[str]) -> list[str]:
    """Return why this upgrade cannot go online, by the rehearsal of it."""
    found = rehearsed.matching(request.state_dir, request.database, request.old.commit, request.new.commit)
    steps = [f"{step['app']}.{step['name']}" for step in plan.steps]
    reasons = rehearsed.objections(found, steps, request.new.describe)
    return [*reasons, *(f"the extension {name} is updated" for name in extensions if not reasons)]


def check(request: Request, reasons: Sequence[str]) -> None:
    """Raise when there are any."""
    if reasons:
        remedy = "Let it go offline (catmaid_upgrade_mode: offline, or auto)."
        raise CatmaidError(
            f"{request.doing} online", "; ".join(rehearsed.first(reasons)), remedy, objections=list(reasons)
        )


def migrate(runner: Runner, plan: migrations.Plan, request: Request) -> migrations.Outcome:
    """Apply the migrations; for a lock it is tried again and again, as long as ``lock_timeout`` allows."""
    done = migrations.Outcome()
    deadline = time.monotonic() + request.lock_timeout
    while True:
        try:
            last = migrations.run(runner, plan, lock_timeout=max(1, int(request.lock_seconds)))
        except CatmaidError as error:
            _add(done, error.details.get("applied", []), error.details.get("duration", {}).get("migrations", {}))
            if error.details.get("sqlstate") not in TRIED_AGAIN or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)
            plan = migrations.plan(runner, fake_first=plan.fake_first)
            continue
        _add(done, last.applied, last.seconds)
        return done


def _add(done: migrations.Outcome, applied: Sequence[str], seconds: dict[str, float]) -> None:
    done.applied += applied
    done.seconds.update(seconds)
