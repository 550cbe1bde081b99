# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command of catmaid-admin for what an application wants to have done again and again."""

from __future__ import annotations

import argparse

from ..backups.config import UPKEEP, Config
from ..upkeep import job
from . import chosen, output
from .commands import DONE, FAILED
from .manual import EXIT_CODES

SUMMARY = "refresh statistics, remove dead rows, update caches of the application"

MANUAL = f"""\
DESCRIPTION
  Does one thing for the application and its database (project.database of the configuration):

  statistics  brings the statistics of nodes up to date, by the command that the release has for it, in one transaction.
              Nothing is done when they are right, or where Celery beat runs for the instance, which does the same.
  vacuum      VACUUM ANALYZE of all tables: dead rows go, and the server knows how large each table is.
  caches      updates the caches that NODE_PROVIDERS of the settings uses (cached_json, cached_json_text,
              cached_msgpack). Nothing is done when it uses none. Grid caches are the cache worker's own.

  It waits up to an hour for another job that works on the database. A failure is told to hooks.on_failure, with
  CATMAID_WHAT=statistics, vacuum or caches, and is a warning of catmaid-admin check until the next run goes well.

{EXIT_CODES}
EXAMPLES
  catmaid-admin upkeep statistics
      Do what the timer does.
"""


def add_options(page: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    page.add_argument("what", choices=UPKEEP, metavar="WHAT", help=", ".join(UPKEEP))
    page.add_argument("--job", default="", metavar="TEXT", help="who or what asks for it, for the record")
    page.add_argument("--quiet", action="store_true", help="print failures only")


def run(config: Config, options: argparse.Namespace) -> int:
    """Do it."""
    voice = output.Voice(quiet=options.quiet, json=options.json)
    report = job.run(config, options.what, options.job or chosen.who(), voice.say, voice.progress())
    if options.json:
        output.show_json(report)
    return DONE if report["ok"] else FAILED
