# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job itself, run on the host: forwards phase by phase, back at the first failure; and what finishes or undoes it
when it was interrupted. Whoever comes to that, a unit at boot, one after a kill, the next run, calls :func:`recover`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from .. import files, locks
from ..catmaid import south
from ..django import migrations
from ..django.shim import Runner
from ..errors import CatmaidError, of_system
from ..postgres import databases, identity
from . import exchange, history, journal, online, phases, protection, request, units, watching
from .phases import PHASES, Job
from .request import ONLINE, ROLLBACK, UPGRADE, Request

Say = Callable[[str], None]
Seen = tuple[migrations.Plan, list[str]]
SERVER_WITHIN = 60.0  # seconds in which a server that is starting has to answer
FAILED = "failed"


def choose(asked: Request, mode: str) -> tuple[Job, list[str]]:
    """Return the job, online where that is wanted and may be, and otherwise why not."""
    if asked.kind != UPGRADE or mode == online.OFFLINE:
        return prepare(asked), []
    plan, extensions = seen = look(asked)
    if not (plan.steps or plan.unfinished or extensions):
        return prepare(asked, seen), []  # one restart it is in either way
    reasons = online.objections(asked, plan, extensions)
    if mode == online.ONLINE:
        online.check(asked, reasons)
    return prepare(asked if reasons else replace(asked, kind=ONLINE, copy=""), seen), reasons


def prepare(asked: Request, seen: Seen | None = None) -> Job:
    """Return the job, or raise what would stop it: everything that can be found out while the old release serves."""
    doing = asked.doing
    if journal.load(asked.state_dir):
        raise CatmaidError(
            doing, "another job was interrupted here", f"Run catmaid-admin recover --state {asked.state_dir}."
        )
    lacking = units.lacking_programs(asked.services, asked.current, asked.new.path)
    if lacking:
        cause = "; ".join(f"{unit} starts {own}, which {asked.new.path} does not have" for unit, own in lacking)
        raise CatmaidError(doing, cause, "Name in catmaid_processes what runs here, gunicorn for example.")
    job = Job(asked, journal.new(asked))
    if asked.kind != ROLLBACK:
        job.plan, job.extensions = seen or look(asked)
        if job.plan.unknown and asked.new != asked.old:
            cause = f"the database has migrations that it lacks ({', '.join(job.plan.unknown)}): it is older"
            raise CatmaidError(doing, cause, "Upgrade to a newer release, or restore a backup of that one.")
        if asked.kind == ONLINE:
            online.check(asked, online.objections(asked, job.plan, job.extensions))
        elif job.changes_database:
            job.way, job.backup = protection.check(asked)
    elif asked.copy and databases.read(asked.server, asked.copy) is None:
        raise CatmaidError(doing, f"the copy {asked.copy} is gone", "Restore a backup of that release instead.")
    return job


def look(asked: Request) -> Seen:
    """Return what the new release wants to do to the database, and the extensions that are older than the server's."""
    runner = Runner(asked.project(asked.new), asked.server, asked.database)
    fake_first = south.look(asked.server, asked.database)
    return migrations.plan(runner, fake_first=fake_first), exchange.old_extensions(asked)


def run(state_dir: str, say: Say) -> dict[str, Any]:
    """Do what the request in ``state_dir`` asks for; return the result, which is also left in a file."""
    asked = request.load(state_dir)
    with ExitStack() as stack:
        stack.enter_context(files.lock(os.path.join(state_dir, journal.LOCK), asked.doing))
        try:
            _hold(stack, asked)
            job = prepare(asked)
            stack.callback(job.new.let_go)
            job.hold()
        except CatmaidError as error:
            if journal.load(state_dir) is None:
                request.done(asked, keep=False)
            _leave(asked, {"ok": False, "undone": False, "message": str(error), "details": _plain(error.details)})
            raise
        try:
            _forwards(job, say)
        except (CatmaidError, OSError) as error:
            known = error if isinstance(error, CatmaidError) else of_system(asked.doing, error)
            if job.journal.phase == phases.RECORD:
                raise known from error  # it serves, and people work: what is left is done by recover
            return _back(job, known, say)
        return _finished(job)


def recover(state_dir: str, say: Say, *, boot: bool = False) -> dict[str, Any]:
    """Finish what was verified already, undo anything else; nothing where nothing was interrupted."""
    doing = f"recovering what was interrupted ({state_dir})"
    if journal.load(state_dir) is None:
        return {"ok": True, "undone": False, "message": "nothing was interrupted"}
    with ExitStack() as stack:
        stack.enter_context(files.lock(os.path.join(state_dir, journal.LOCK), doing))
        found = journal.load(state_dir)
        if found is None:
            return {"ok": True, "undone": False, "message": "nothing was interrupted"}
        asked = request.load(state_dir)
        _wait_for_server(asked)
        _hold(stack, asked)
        job = Job(asked, found, boot=boot)
        if found.phase == phases.RECORD:
            say(f"{asked.instance}: {asked.new.describe} was verified already, finishing")
            phases.record(job)
            if boot:
                units.start(asked.instance, asked.services, wait=False)
            return _finished(job)
        cause = found.cause or f"it was interrupted in the phase {found.phase}"
        return _back(job, CatmaidError(asked.doing, cause), say)


def _forwards(job: Job, say: Say) -> None:
    if job.request.kind != ROLLBACK:
        job.journal.facts["mode"] = online.ONLINE if job.request.kind == ONLINE else online.OFFLINE
    if job.request.kind == ONLINE:  # until its stop the old release serves, and may start again should it end
        units.allow(job.request.instance)
    for phase in PHASES[job.request.kind]:
        job.journal.enter(phase.name)
        say(f"{job.request.instance}: {phase.name}")
        phases.call_hook(job)
        phase.do(job)
    job.journal.write()


def _back(job: Job, error: CatmaidError, say: Say) -> dict[str, Any]:
    """Undo every phase that has begun, the last one first."""
    asked, noted = job.request, job.journal
    noted.leave()
    if not noted.cause:
        noted.cause = str(error)
    noted.undoing = True
    with suppress(CatmaidError):  # a full disk keeps nobody from going back: the journal of before says enough
        noted.write()
    say(f"FAILED: {asked.instance}: {noted.cause}")
    evidence = _evidence(job)
    known = PHASES[asked.kind]
    begun = [phase.name for phase in known].index(noted.phase) + 1
    for phase in reversed(known[:begun]):
        say(f"{asked.instance}: undoing {phase.name}")
        phases.call_undo_hook(job, phase)
        phase.undo(job)
    failed = asked.failed if databases.read(asked.server, asked.failed) else ""
    noted.facts.update(failed_database=failed, evidence=evidence)
    with suppress(CatmaidError):
        history.append(asked.state_dir, history.entry(asked, noted, history.UNDONE))
    told = {"ok": False, "undone": True, "message": noted.cause, "failed_database": failed, "evidence": evidence}
    told["kept_migrations"] = noted.facts.get("kept_migrations", 0)
    told["ended_sessions"] = noted.facts.get("ended_sessions", [])
    return _end(job, {**told, "details": _plain(error.details)})


def _finished(job: Job) -> dict[str, Any]:
    noted = job.journal
    return _end(
        job, {"ok": True, "undone": False, "message": f"{noted.after} serves", "copy": noted.copy, **noted.facts}
    )


def _end(job: Job, told: dict[str, Any]) -> dict[str, Any]:
    """Leave the result, and only then say that nothing is under way any more."""
    noted, asked = job.journal, job.request
    told = {**told, "from": noted.before, "to": noted.after, "seconds": noted.seconds, "downtime": noted.downtime}
    found = _leave(asked, told)
    units.forbid(asked.instance)
    watching.clear(asked.state_dir)
    noted.remove()
    with suppress(OSError):
        request.done(asked, keep=bool(told["ok"]) and asked.kind != ROLLBACK)
    # The play that began it may be gone, and would keep the lock for hours.
    if asked.lock_token:
        with suppress(CatmaidError):
            locks.release(identity.database_key(asked.server, asked.database), asked.lock_token)
    return found


def _leave(asked: Request, told: dict[str, Any]) -> dict[str, Any]:
    found = {"id": asked.id, **told}
    with suppress(OSError):  # whoever waits for it learns from systemd that we have ended
        files.write_json(os.path.join(asked.state_dir, journal.RESULT), found, mode=0o644)
    return found


def _evidence(job: Job) -> str:
    """Keep what tells of the failed try, in a folder that root can read; nothing of it is worth failing for."""
    asked = job.request
    folder = os.path.join(asked.state_dir, FAILED, asked.id)
    with suppress(OSError, CatmaidError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        shutil.copy2(journal.path(asked.state_dir), os.path.join(folder, journal.NAME))
        files.write_json(os.path.join(folder, "request.json"), request.without_secrets(asked))
        since = job.journal.closed or job.journal.since
        files.write_atomically(os.path.join(folder, "services.log"), units.logs(asked.services, since))
    return folder


def _hold(stack: ExitStack, asked: Request) -> None:
    key = identity.database_key(asked.server, asked.database)
    stack.enter_context(locks.hold(key, asked.doing, asked.lock_wait, asked.lock_token))


def _wait_for_server(asked: Request) -> None:
    """Wait until the database server answers: at boot it is starting, or somebody has stopped it for a moment."""
    deadline = time.monotonic() + SERVER_WITHIN
    while True:
        try:
            asked.server.version("template1")
            return
        except CatmaidError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _plain(details: dict[str, Any]) -> dict[str, Any]:
    kinds = (str, int, float, bool, list, dict, type(None))
    return {name: value for name, value in details.items() if isinstance(value, kinds)}


__all__ = ["choose", "prepare", "recover", "run"]
