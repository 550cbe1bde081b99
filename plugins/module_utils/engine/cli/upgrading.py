# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of catmaid-admin around upgrades: the job itself, what recovers it, and the way back."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

from ..errors import CatmaidError
from ..upgrades import job, request, rollback, starting
from . import chosen, output
from .commands import DONE, FAILED
from .manual import EXIT_CODES

STATE = "/var/lib/catmaid"

RECOVER = f"""\
DESCRIPTION
  Finishes or undoes an upgrade, or a rollback, that was interrupted: by a kill, a reboot, a full disk, a server that
  was stopped. One whose new release had been verified is finished. Any other is undone: database, link to the release,
  services, maintenance page are as before. Where nothing was interrupted, nothing is done. It is called at boot, before
  the application, and when the job was killed; calling it once more does no harm.

{EXIT_CODES}
FILES
  <state>/upgrade.json
      The journal. While it is there, the units of the instance do not start.
  <state>/failed/<time>/
      What tells of a try that failed.

EXAMPLES
  catmaid-admin recover
"""

ROLLBACK = f"""\
DESCRIPTION
  Takes the last upgrade back: the copy of the database from before takes the place of the live one by renaming, and the
  release from before serves. That takes seconds, whatever the size. What the new release has left stays beside, in the
  database <name>_failed_upgrade_<time>. An upgrade without migrations is taken back without touching the database.
  What people have written since the upgrade would not be there any more: then it refuses, unless --confirm is given.

{EXIT_CODES}
EXAMPLES
  catmaid-admin rollback
  catmaid-admin rollback --confirm
"""

JOB = f"""\
DESCRIPTION
  Does what <state>/upgrade-request.json asks for. The module catmaid.admin.upgrade_switch writes that file and starts
  this in a unit of its own; by hand there is nothing to do with it.

{EXIT_CODES}
"""


def add_options(page: argparse.ArgumentParser) -> None:
    """Let a page name the instance's folder; these commands need no configuration."""
    page.add_argument("--state", default=STATE, metavar="DIR", help=f"catmaid_state_dir of the instance ({STATE})")
    page.set_defaults(configured=False)


def run_job(_config: Any, options: argparse.Namespace) -> int:
    """Do what was asked for."""
    return _tell(job.run(options.state, output.Voice(json=options.json).say), options)


def recover(_config: Any, options: argparse.Namespace) -> int:
    """Finish or undo; either is a success."""
    found = job.recover(options.state, output.Voice(json=options.json).say, boot=options.boot)
    _tell(found, options)
    return DONE


def run_rollback(_config: Any, options: argparse.Namespace) -> int:
    """Take the last upgrade back."""
    try:
        base = request.load_last(options.state)
    except CatmaidError as error:
        raise CatmaidError("rolling back", error.cause, "Use the playbook catmaid.admin.rollback.") from error
    stamp = time.strftime(request.STAMP, time.gmtime())
    base = replace(base, id=stamp, by=chosen.who(), lock_token="")
    asked = rollback.ask(base, confirmed=options.confirm)
    starting.start(asked, options.program)
    voice = output.Voice(json=options.json)
    return _tell(starting.wait(asked, voice.progress()), options)


def _tell(found: dict[str, Any], options: argparse.Namespace) -> int:
    if options.json:
        output.show_json(found)
    else:
        output.show(found["message"])
    return DONE if found["ok"] else FAILED
