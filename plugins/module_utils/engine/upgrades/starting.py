# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the job in a unit of its own, so that it goes on when whoever started it is gone; waiting for its end."""

from __future__ import annotations

import time
from typing import Any

from .. import command
from ..errors import CatmaidError
from ..progress import Report
from . import journal, request, units, watching
from .phases import RECORD
from .request import Request

PAUSE = 0.1
RUNNING = ("active", "activating", "reloading", "deactivating")


def start(asked: Request, program: str) -> None:
    """Start the job. A kill of it, or its failure to undo itself, starts the unit that recovers."""
    request.write(asked)
    unit = units.job_unit(asked.instance)
    units.systemctl("reset-failed", unit, ok=None)
    argv = ["systemd-run", "--quiet", f"--unit={unit}", "--collect"]
    argv += [f"--description=CATMAID ({asked.instance}): {asked.doing}"]
    argv += [f"--property=OnFailure={units.undo_unit(asked.instance)}"]
    argv += [program, "upgrade-job", "--state", asked.state_dir]
    command.run(argv, doing=f"starting the job of {asked.instance}", remedy=f"Look at journalctl --unit {unit}.")


def wait(asked: Request, report: Report | None = None) -> dict[str, Any]:
    """Return what the job has left when it has ended, by itself or by the unit that recovers."""
    begun = time.monotonic()
    own, undo = units.job_unit(asked.instance), units.undo_unit(asked.instance)
    while True:
        found = journal.result(asked.state_dir, asked.id)
        if found:
            return found
        moment = watching.progress(asked, round(time.monotonic() - begun, 1)) if report else None
        if report and moment:
            report(moment)
        states = [units.systemctl("is-active", unit, ok=None) for unit in (own, undo)]
        retrying = units.systemctl("show", "--property=SubState", "--value", undo, ok=None) == "auto-restart"
        if retrying or not any(state in RUNNING for state in states):
            found = journal.result(asked.state_dir, asked.id)
            if found:
                return found
            raise _lost(asked, retrying)
        time.sleep(PAUSE)


def failure(asked: Request, done: dict[str, Any]) -> CatmaidError:
    """Return the error of a job that has ended and failed, and say what serves."""
    if not done["undone"]:
        return CatmaidError(asked.doing, done["message"], changed=False)
    serving = f"it was undone: {asked.old.describe} serves again, with the data from before"
    if asked.kind == request.ONLINE:
        kept = f"the database keeps {done.get('kept_migrations', 0)} migrations, which only add"
        serving = f"{asked.old.describe} serves as before; {kept}"
    details = {key: value for key, value in done.items() if key not in ("ok", "message", "details")}
    details["blockers"] = done["details"].get("blockers", [])
    return CatmaidError(asked.doing, f"it failed and {serving}. Cause: {done['message']}", changed=True, **details)


def _lost(asked: Request, retrying: bool) -> CatmaidError:
    undo = units.undo_unit(asked.instance)
    if not retrying and journal.load(asked.state_dir) is None:
        return CatmaidError(
            asked.doing, "the job ended without a word", f"journalctl --unit {units.job_unit(asked.instance)}."
        )
    found = journal.load(asked.state_dir)
    tries = "it is tried again every 10 seconds" if retrying else f"run catmaid-admin recover --state {asked.state_dir}"
    failed = "it failed, and could not be undone yet"
    if found and found.phase == RECORD:
        failed = f"{found.after} serves, and is verified, but what is left to do could not be done yet"
    return CatmaidError(asked.doing, failed, f"See journalctl --unit {undo}, mend the cause; {tries}.")
