# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an instance serves as it does after an upgrade, asked at any time. Reads only."""

from __future__ import annotations

from ..catmaid import smoke
from ..django import migrations
from ..django.shim import Runner
from ..errors import CatmaidError
from . import companions, journal, units, verification
from .request import Request


def serves(asked: Request) -> None:
    """Raise unless all units run and the release ``asked.new`` answers, directly and through the web server."""
    doing = f"asking whether {asked.new.describe} serves"
    if journal.load(asked.state_dir):
        remedy = f"Wait for its end; if none is at work, run catmaid-admin recover --state {asked.state_dir}."
        raise CatmaidError(doing, "an upgrade is under way, or was interrupted", remedy)
    for name in asked.services:
        if not units.is_active(name):
            unit = units.unit(name)
            state = units.systemctl("is-active", unit, ok=None)
            cause = f"{unit} is {state}" if state != "active" else f"{name} does not run"
            raise CatmaidError(doing, cause, f"Look at journalctl --unit {unit}.")
    since = units.now()
    verification.directly(asked, asked.new)
    runner = Runner(asked.project(asked.new), asked.server, asked.database)
    plan = migrations.plan(runner)
    if plan.unapplied:
        raise CatmaidError(doing, f"the database lacks migrations of it: {', '.join(plan.unapplied)}")
    smoke.live(runner)
    verification.through_web(asked, asked.new)
    for outside in (False, True):
        companions.verify(asked, companions.demanded(asked), outside=outside)
    verification.quiet(asked, since)
