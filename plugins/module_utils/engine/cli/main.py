# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""catmaid-admin: the engine's face on the host."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ..backups import check, config, job
from ..errors import CatmaidError, of_system
from ..web import expiry
from . import caring, commands, drilling, keeping, manual, upgrading

PROGRAM = "catmaid-admin"
USAGE = 2
AGAIN = 0.01  # seconds until an interrupt is tried again
# Functions that are not called by us: destructors, and those that logging has Python call around a fork.
AUTOMATIC = ("__del__", "_acquireLock", "_releaseLock", "_prepareFork", "_afterFork")

Command = Callable[[Any, argparse.Namespace], int]


def main(argv: Sequence[str] | None = None, *, build: str = "checkout") -> int:
    """Run a command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    is_check = arguments[:1] == ["check"]
    try:
        options = parser(build).parse_args(arguments)
    except SystemExit as end:  # how argparse ends after --help, and when it does not understand
        return check.UNKNOWN if is_check and end.code == USAGE else int(end.code or 0)
    _end_politely()
    try:
        found = config.load(options.config or config.find(options.instance)) if options.configured else None
    except CatmaidError as error:
        return _fail(error, check.UNKNOWN if is_check else USAGE, is_check)
    try:
        return int(options.command(found, options))
    except CatmaidError as error:
        return _fail(error, check.UNKNOWN if is_check else commands.FAILED, is_check)
    except KeyboardInterrupt as error:
        sys.stderr.write(f"{PROGRAM}: interrupted {error}".rstrip() + "\n")
        return commands.FAILED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has enough of it
        return commands.FAILED
    except OSError as error:
        return _fail(of_system(arguments[0], error), check.UNKNOWN if is_check else commands.FAILED, is_check)


def parser(build: str) -> argparse.ArgumentParser:
    """Return the parser of the command line, with all pages of the manual."""
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        description=manual.ABOUT,
        epilog=manual.PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"{PROGRAM} of catmaid.admin, build {build}")
    pages = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    page = _page(pages, "backup", commands.backup, "make, copy and prune: the whole job", manual.BACKUP)
    page.add_argument("--job", default="", metavar="TEXT", help="who or what asks for it, for the manifest")
    page.add_argument("--quiet", action="store_true", help="print failures only")

    page = _page(pages, "list", commands.list_backups, "list the backups", manual.LIST)
    _database(page)

    page = _page(pages, "info", commands.info, "show what a backup holds", manual.INFO)
    page.add_argument("id", nargs="?", metavar="ID", help="name or path of the backup")
    _database(page)

    page = _page(pages, "verify", commands.verify, "read backups again, byte by byte", manual.VERIFY)
    page.add_argument("id", nargs="*", metavar="ID", help="names or paths of backups")
    page.add_argument("--all", action="store_true", help="all backups that there are")
    _database(page)

    page = _page(pages, "check", commands.run_check, "judge, for Nagios and the like", manual.CHECK)
    age = "seconds, or a number with s, m, h, d or w"
    page.add_argument("--max-age", default="26h", metavar="AGE", help=f"age that is a warning (26h): {age}")
    page.add_argument("--critical", default="50h", metavar="AGE", help="age that is critical (50h)")
    page.add_argument(
        "--max-drill-age", default="", metavar="AGE", help="age of the last good restore drill, a warning"
    )
    page.add_argument(
        "--certificate-days",
        type=float,
        default=expiry.WARN_DAYS,
        metavar="DAYS",
        help=f"warn so many days before the web site's certificate expires ({expiry.WARN_DAYS})",
    )

    page = _page(pages, "drill", drilling.run, drilling.SUMMARY, drilling.MANUAL)
    drilling.add_options(page)
    _database(page)

    page = _page(pages, "upkeep", caring.run, caring.SUMMARY, caring.MANUAL)
    caring.add_options(page)

    page = _page(pages, "prune", keeping.run_prune, "let old backups go", manual.PRUNE)
    page.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    _database(page)

    page = _page(pages, "copy", keeping.copy, "copy backups to the targets", manual.COPY)
    page.add_argument("--dry-run", action="store_true", help="say what would be copied, and copy nothing")
    _database(page)

    page = _page(pages, "hold", keeping.hold, "let a backup stay, whatever the rules say", manual.HOLD)
    page.add_argument("id", metavar="ID", help="name or path of the backup")
    page.add_argument("--reason", default="", metavar="TEXT", help="why, for others")
    page.add_argument("--release", action="store_true", help="take it back")
    page.add_argument("--accept", action="store_true", help="say that a suspicious backup is right, instead")
    _database(page)

    page = _page(pages, "diff", keeping.diff, "tell what changed between two backups", manual.DIFF)
    page.add_argument("before", nargs="?", metavar="BEFORE", help="the older one; else the sound one before the other")
    page.add_argument("after", nargs="?", metavar="AFTER", help="the younger one; else the newest sound one")
    _database(page)

    _page(pages, "config", commands.show_config, "check and show the configuration", manual.CONFIG)

    page = _page(
        pages, "report-failure", commands.report_failure, "tell of a job that was killed", manual.REPORT_FAILURE
    )
    page.add_argument("--of", default=job.NAME, choices=(job.NAME, *config.UPKEEP), help="which job (backup)")
    page.add_argument("--invocation", default="", metavar="ID", help="systemd's id of the failed run, if it is known")
    page.add_argument("--quiet", action="store_true", help="print failures only")

    page = _page(pages, "recover", upgrading.recover, "finish or undo an interrupted upgrade", upgrading.RECOVER)
    page.add_argument("--boot", action="store_true", help="leave starting and asking the application to systemd")
    upgrading.add_options(page)

    page = _page(pages, "rollback", upgrading.run_rollback, "take the last upgrade back", upgrading.ROLLBACK)
    page.add_argument("--confirm", action="store_true", help="give up what was written since the upgrade")
    page.set_defaults(program=os.path.abspath(sys.argv[0]))
    upgrading.add_options(page)

    page = _page(pages, "upgrade-job", upgrading.run_job, "run the job that a module has asked for", upgrading.JOB)
    upgrading.add_options(page)
    return top


def _page(pages: Any, name: str, command: Command, summary: str, text: str) -> argparse.ArgumentParser:
    page: argparse.ArgumentParser = pages.add_parser(
        name,
        help=summary,
        description=f"{PROGRAM} {name} - {summary}",
        epilog=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    page.set_defaults(command=command, configured=True)
    where = page.add_mutually_exclusive_group()
    where.add_argument("--config", default="", metavar="FILE", help="the configuration itself")
    where.add_argument(
        "--instance",
        default="",
        metavar="NAME",
        help=f"the instance whose configuration in {config.FOLDER} is meant; not needed where there is only one",
    )
    page.add_argument("--json", action="store_true", help="print the result as JSON, for programs")
    return page


def _database(page: argparse.ArgumentParser) -> None:
    page.add_argument("--database", metavar="NAME", help="only this database")


def _fail(error: CatmaidError, code: int, is_check: bool) -> int:
    text = " ".join(str(error).split())
    if is_check:
        sys.stdout.write(f"CATMAID BACKUP {check.WORDS[code]} - {text.replace('|', '/')}\n")
    else:
        sys.stderr.write(f"{PROGRAM}: {text}\n")
    return code


def _end_politely() -> None:
    """Let SIGTERM end us like Ctrl-C does: what is half done is taken away, and noted as failed."""

    def interrupt(number: int, frame: Any) -> None:
        if _is_swallowed(frame):
            signal.signal(signal.SIGALRM, lambda _number, later: interrupt(number, later))
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            return
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt(f"by {signal.Signals(number).name}")

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)


def _is_swallowed(frame: Any) -> bool:
    """Tell whether an exception would get lost in what Python runs by itself: around a fork, or for a dead object.

    Around a fork it would also leave the lock of logging locked, and the next fork would wait for it for ever.
    """
    while frame is not None:
        if frame.f_code.co_name in AUTOMATIC:
            return True
        frame = frame.f_back
    return False
