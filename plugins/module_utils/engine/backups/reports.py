# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job of the host says of itself: a file while it runs and when it has ended, and the hooks that are told.

A job is one of those that the host starts by itself: the backup, the restore drill, the upkeep of the application. Each
has a file of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import files
from ..errors import CatmaidError, of_system
from . import hooks, status, store
from .config import UPKEEP, Config

Say = Callable[[str], None]
Report = dict[str, Any]
INTERNAL = ("running", "invocation", "told", "seen")  # what is no hook's business
REMEMBERED = 20  # runs whose end was told
SILENT = "it ended without a word: killed, out of memory, or the host went down"
# What stays when a hook makes a job fail that has gone well.
DONE = {"backup": " (the backups are there)", "drill": " (the backups were found good)"}


def run(
    config: Config, name: str, job: str, say: Say, databases: Callable[[], list[str]], one: Callable[[str], Report]
) -> Report:
    """Do a job for ``job``, whoever that is: ``one`` after the other of the ``databases``; return the report.

    A failure of one keeps none from its turn.
    """
    report = begin(config, name, job, say)
    try:
        names = report["seen"] = databases()
        report["databases"] = {database: {"ok": False, "message": "its turn did not come"} for database in names}
        for database in names:
            report["databases"][database] = one(database)
        wrong = [f"{at}: {about['message']}" for at, about in report["databases"].items() if not about["ok"]]
        report["message"] = "; ".join(wrong)
    except CatmaidError as error:
        report["message"] = report["error"] = str(error)
        say(f"FAILED: {error}")
    except BaseException as error:
        report["message"] = report["error"] = f"{type(error).__name__}: {error}".rstrip(": ")
        finish(config, name, report, say)
        raise
    report["ok"] = not report["message"]
    return finish(config, name, report, say)


def load(config: Config, name: str) -> Report:
    """Return how the last run of a job went, as far as it came; nothing when there was none."""
    try:
        with open(config.state_of(name), encoding="utf-8") as file:
            found = json.load(file)
    except PermissionError as error:
        raise of_system(f"looking how the last {name} job went", error) from error
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def begin(config: Config, name: str, job: str, say: Say) -> Report:
    """Note that a job begins; tell first of the one before that died, as long as there is a trace of it."""
    before = load(config, name)
    if _is_lost(before):
        lost = finish_lost(config, name, before.get("invocation", ""), say)
        say(f"FAILED: {lost['message'] if lost else SILENT}")
    with _turn(config, name):
        before = load(config, name)
        report = {
            **_report(config, name, job),
            "running": _mark(),
            "invocation": os.environ.get("INVOCATION_ID", ""),
            "told": before.get("told", []),
            "seen": before.get("seen", []),  # the databases of the server, when it was last asked
        }
        _save(config, name, report)
    return report


def finish(config: Config, name: str, report: Report, say: Say) -> Report:
    """Run the hooks, then note the end: a job that is killed in its hooks has not told everything either."""
    report["finished"] = store.format_time(store.now())
    told = {key: value for key, value in report.items() if key not in INTERNAL}
    wanted = config.values["hooks"]
    commands = wanted["on_success" if report["ok"] else "on_failure"]
    if report["ok"] and name in UPKEEP:
        commands = []  # a success that is told stands for a backup, or for one that was proved
    problems = hooks.run(commands, told, wanted["timeout"])
    for problem in problems:
        say(f"FAILED: {problem}")
    if problems:
        made = DONE.get(name, "") if report["ok"] else ""
        report["hooks"] = [f"{problem}{made}" for problem in problems]
        report["message"] = "; ".join(filter(None, [report["message"], *report["hooks"]]))
        report["ok"] = False
    with _turn(config, name):
        now = load(config, name)
        told_now = [*now.get("told", []), report.get("invocation", "")]
        over = {"running": None, "told": list(filter(None, told_now))[-REMEMBERED:]}
        if now.get("running") in (None, report["running"]):
            report.update(over)
            _save(config, name, report)
        else:  # the next run has begun meanwhile, and this is its file now
            _save(config, name, {**now, "told": over["told"]})
    return report


def finish_lost(config: Config, name: str, invocation: str, say: Say) -> Report | None:
    """Finish what a job that died could not; return its report, or nothing when it has told everything.

    ``invocation`` is systemd's name of the run that failed, where systemd says it.
    """
    with _turn(config, name):
        last = load(config, name)
        running = last.get("running")
        ended = bool(last) and not running and invocation in ("", last.get("invocation"))
        # A process that is alive works, or tells of one that is dead.
        if ended or (running and status.alive(running)) or (invocation and invocation in last.get("told", [])):
            return None
        if running:
            report = {**last, "message": f"the job that began at {last['started']} is no more: {SILENT}"}
            report["told"] = [*last.get("told", []), last.get("invocation", "")]
        else:
            report = {
                **_report(config, name, "timer"),
                "message": "the job could not even begin: see the journal of its unit",
                "told": last.get("told", []),
            }
        report.update(error=report["message"], invocation=invocation, running=_mark())
        _save(config, name, report)
    sections = [
        section for section in status.SECTIONS if name not in UPKEEP and (section == "drill") == (name == "drill")
    ]
    for parent in status.folders(config.dest):
        status.settle(parent, report["message"], sections)
    return finish(config, name, report, say)


def _report(config: Config, name: str, job: str) -> Report:
    return {
        "instance": config.instance,
        "host": socket.gethostname(),
        "what": name,
        "job": job,
        "ok": False,
        "message": "",
        "error": "",
        "hooks": [],
        "started": store.format_time(store.now()),
        "finished": None,
        "databases": {},
    }


def _save(config: Config, name: str, report: Report) -> None:
    path = config.state_of(name)
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        files.write_json(path, report)
    except OSError as error:
        raise _unwritable(path, error) from error


def _mark() -> dict[str, Any]:
    return {"pid": os.getpid(), "born": status.born(os.getpid())}


@contextmanager
def _turn(config: Config, name: str) -> Iterator[None]:
    """Let one process after the other change the file: of several that find a dead job, one is to tell it."""
    folder = os.path.dirname(config.state_of(name))
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(config.state_of(name), error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _unwritable(path: str, error: OSError) -> CatmaidError:
    return CatmaidError(
        f"noting the job in {path}",
        error.strerror or str(error),
        "Make that folder writable for the user of the job, or set state_dir.",
    )


def _is_lost(report: Report) -> bool:
    return bool(report.get("running")) and not status.alive(report["running"])
