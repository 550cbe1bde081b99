# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command of catmaid-admin that proves backups by restoring them."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from ..backups import drilling
from ..backups.config import Config
from ..backups.encryption import Identity
from ..errors import CatmaidError
from . import chosen, output
from .commands import DONE, FAILED
from .manual import EXIT_CODES

SUMMARY = "prove by a restore beside the live database that a backup is good"

MANUAL = f"""\
DESCRIPTION
  For each database of the configuration: restores the newest sound backup into a new database on the same server,
  compares rows and fingerprints of all tables with the manifest, brings it to the migrations of the release that
  serves, rebuilds what the backup left out, and lets that release answer from it: version, start page, project list,
  a skeleton and a node list. They must tell what SQL says, and, where nobody has changed those rows since, what the
  same release answers on the live database, which it can only read. Then the new database is dropped.

  The live database is neither written to nor locked: people go on working, and so do backups. The disk must have room
  for the database a second time, which is checked before. One drill works at a time on a host. The new database is
  named {"catmaid_drill_<number>"}; names of that form are the drill's own. What a drill that was killed has left is
  dropped by the next one, by --tidy, and by the timer's unit at once.

  How it ended is noted in status.json (section drill), in the metrics (catmaid_backup_drill_...), and told to
  hooks.on_success or hooks.on_failure with CATMAID_WHAT=drill. catmaid-admin check is critical while the last drill is
  a failed one, and with --max-drill-age warns when the last good one is too old.

  A database that is not the application's (project.database), or on a host without project.path and
  project.virtualenv, is restored and compared only.

  With --target a copy is fetched from there, into a folder that is removed in the end. For an encrypted one --identity
  is the file of its private key, or - for standard input. The key is read into memory, given to age or gpg, and
  written nowhere.

{EXIT_CODES}
EXAMPLES
  catmaid-admin drill
      Do what the timer does.
  catmaid-admin drill catmaid_20261123T030000Z_2021.12.21 --keep
      Try this backup, and let the restored database stay to look something up; the last line says how to drop it.
  catmaid-admin drill --target offsite --identity - < key.txt
      Prove that the copy elsewhere can be read, and that you have the right key.
  catmaid-admin drill --tidy
      Drop what drills that were killed have left, and tell the hooks of one that could not.
"""


def add_options(page: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    page.add_argument("id", nargs="?", default="", metavar="ID", help="name or path of the backup; else the newest")
    page.add_argument("--keep", action="store_true", help="let the restored database stay")
    page.add_argument("--target", default="", metavar="NAME", help="fetch a copy from this target of the configuration")
    page.add_argument("--identity", default="", metavar="FILE", help="private key to read it with; - is standard input")
    page.add_argument("--tidy", action="store_true", help="only remove what drills that were killed have left")
    page.add_argument("--invocation", default="", metavar="ID", help="with --tidy: systemd's id of the failed run")
    page.add_argument("--job", default="", metavar="TEXT", help="who or what asks for it, for the status")
    page.add_argument("--quiet", action="store_true", help="print failures only")


def run(config: Config, options: argparse.Namespace) -> int:
    """Do a drill, or tidy up after one."""
    voice = output.Voice(quiet=options.quiet, json=options.json)
    if options.tidy:
        return _tidy(config, options, voice)
    wanted = drilling.Wanted(
        id=os.path.abspath(options.id) if os.sep in options.id else options.id,
        database=options.database or "",
        target=options.target,
        identity=_identity(options.identity),
        keep=options.keep,
    )
    job = options.job or chosen.who()
    report: dict[str, Any] = drilling.run(config, wanted, job, voice.say, voice.progress())
    if options.json:
        output.show_json(report)
    elif report["ok"]:
        voice.say(f"{config.instance}: done, the backups of {len(report['databases'])} database(s) are good")
    else:
        voice.say(f"FAILED: {config.instance}: a drill went wrong, see above")
    return DONE if report["ok"] else FAILED


def _tidy(config: Config, options: argparse.Namespace, voice: output.Voice) -> int:
    invocation = options.invocation or os.environ.get("MONITOR_INVOCATION_ID", "")
    report = drilling.tidy(config, invocation, voice.say)
    if options.json:
        output.show_json(report)
    elif report:
        voice.say(f"FAILED: {config.instance}: {report['message']}")
    else:
        voice.say(f"{config.instance}: no drill is left to tell of")
    return DONE


def _identity(path: str) -> Identity:
    if path != "-":
        return Identity(path=path)
    content = sys.stdin.read()
    if not content.strip():
        raise CatmaidError("reading the private key", "there is nothing on standard input", "catmaid-admin ... < key")
    return Identity(content=content)
