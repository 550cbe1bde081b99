# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore drill: a backup is restored beside the live database, compared, rebuilt, asked by its application, dropped.

It needs no turn on the live database: it reads a backup, which it keeps from being pruned, and writes to a database of
its own. One drill at a time is enough for a host, and what an earlier one left that was killed goes first.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .. import locks
from ..catmaid import rebuild, smoke, south
from ..catmaid.materializations import TABLES
from ..django import migrations
from ..django.project import Project
from ..django.shim import Runner
from ..errors import CatmaidError
from ..postgres import databases, scratch
from ..postgres.server import Server
from ..progress import Report
from . import restoration, sidecar, status, store

LOCK = "drill"
FOLDER = "catmaid-admin-"  # where the children of a drill keep what is temporary, with its database's name
LOCK_TIMEOUT = 30

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What somebody asks for. Without a ``project`` there is no application to ask, and nothing is rebuilt."""

    server: Server
    database: str
    project: Project | None = None
    keep: bool = False
    lock_wait: float = 0
    requested_by: str = ""
    on_progress: Report | None = None


@dataclass
class Outcome:
    """What a drill has found good, and how long each step took."""

    id: str
    path: str
    tables: int = 0
    rows: int = 0
    fingerprints: int = 0
    migrated: list[str] = field(default_factory=list)
    rebuilt: list[str] = field(default_factory=list)
    smoke: dict[str, Any] | None = None
    kept: str = ""
    swept: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@contextmanager
def turn(wait: float) -> Iterator[None]:
    """Let one drill after the other work on this host."""
    with locks.hold(LOCK, "a restore drill", wait):
        yield


def sweep(server: Server) -> list[str]:
    """Remove what drills that were killed have left; return the names of their databases. Within one's turn."""
    parent = tempfile.gettempdir()
    for name in os.listdir(parent):
        path = os.path.join(parent, name)
        if name.startswith(FOLDER + scratch.PREFIX) and stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path, ignore_errors=True)
    return scratch.sweep(server)


def choose(dest: str, database: str, name: str = "") -> store.Backup:
    """Return the backup of that name, or the newest that is whole."""
    doing = f"looking for a backup of database {database} in {dest}"
    found = store.listing(dest, database)
    if not name:
        newest = found.newest()
        if not newest:
            raise CatmaidError(doing, "there is no sound one", "Make one first.")
        return newest
    for backup in found.backups:
        if name in (backup.id, backup.path):
            return backup
    raise CatmaidError(doing, f"there is none named {name}", "Look at the list of backups.")


def check(request: Request, backup: store.Backup) -> None:
    """Raise what would stop a drill, without changing anything."""
    with scratch.claim(request.server) as name, store.using(backup.path):
        restoration.prepare(_restore(request, backup, name))


def run(request: Request, find: Callable[[], store.Backup], say: Say, folder: str) -> Outcome:
    """Do a drill with the backup that ``find`` finds, and note it in the status of ``folder``. Within one's turn."""
    with status.recording(folder, "drill", request.requested_by) as noted:
        swept = sweep(request.server)
        if swept:
            say(f"dropped what a drill that was killed has left: {', '.join(swept)}")
        outcome = _drill(request, find(), say)
        outcome.swept = swept
        noted.update(id=outcome.id, compared_rows=outcome.rows, smoke=outcome.smoke is not None)
        return outcome


def _drill(request: Request, backup: store.Backup, say: Say) -> Outcome:
    outcome = Outcome(backup.id, backup.path)
    with store.using(backup.path), scratch.claim(request.server) as name, _folder(request, name) as folder:
        wanted = _restore(request, backup, name)
        prepared = restoration.prepare(wanted)
        try:
            say(f"restoring {backup.id} into {name}")
            with _timed(outcome, "restore"):
                restored = restoration.run(wanted, prepared)
            outcome.tables, outcome.rows = restored.proof.tables, restored.proof.rows
            outcome.fingerprints = restored.proof.fingerprints
            say(f"as its manifest says: {outcome.rows} rows in {outcome.tables} tables")
            if request.project:
                _ask(request, backup, Runner(request.project, request.server, name, folder), outcome, say)
            if request.keep:
                scratch.keep(request.server, name)
                outcome.kept = name
        finally:
            if not outcome.kept:
                databases.drop(request.server, name, end_sessions=True)
    return outcome


def _ask(request: Request, backup: store.Backup, runner: Runner, outcome: Outcome, say: Say) -> None:
    """Bring the database to the release, build what the backup left out, and let the application use it."""
    runner.project.validate()
    with _timed(outcome, "migrate"):
        outcome.migrated = _bring_forward(runner)
    if outcome.migrated:
        say(f"brought forward by {len(outcome.migrated)} migrations")
    with _timed(outcome, "rebuild"):
        outcome.rebuilt, outcome.warnings = rebuild_left_out(runner, backup, request.on_progress)
    if outcome.rebuilt:
        say(f"what it left out is back: {', '.join(outcome.rebuilt)}")
    with _timed(outcome, "smoke"):
        found = smoke.run(runner, _live(request, runner))
    outcome.smoke = asdict(found)
    alike = f", {len(found.compared)} of them as the live database does" if found.compared else ""
    say(f"release {found.version} answers {len(found.pages)} pages right{alike}")


def _live(request: Request, runner: Runner) -> Runner | None:
    """Return what asks the live database; none when it is gone, or is not at the migrations of the release."""
    if not databases.read(request.server, request.database):
        return None
    live = replace(runner, database=request.database, _identity=None)
    return live if set(migrations.recorded(live)) == set(migrations.recorded(runner)) else None


def _bring_forward(runner: Runner) -> list[str]:
    """Apply the migrations that the release has and the backup lacks; refuse what only a newer release knows."""
    fake_first = south.look(runner.server, runner.database)
    plan = migrations.plan(runner, fake_first=fake_first)
    if plan.unknown:
        raise CatmaidError(
            f"bringing {runner.database} to the release in {runner.project.path}",
            f"the backup has {len(plan.unknown)} migrations that this release lacks ({', '.join(plan.unknown[:5])}): "
            "it belongs to a newer one",
            "Drill it on a host with that release; here it could not be restored.",
        )
    if not plan.steps:
        return []
    return migrations.run(runner, plan, lock_timeout=LOCK_TIMEOUT).applied


def rebuild_left_out(runner: Runner, backup: store.Backup, report: Report | None) -> tuple[list[str], list[str]]:
    """Rebuild the materializations that the backup left out, unless the restore has; compare all of them.

    Returns those that are back, and what did not come back.
    """
    missing = {str(entry["name"]) for entry in backup.manifest["left_out"]}
    wanted = [name for name, tables in TABLES.items() if missing.intersection(tables)]
    if not wanted:
        return [], []
    before = rebuild.survey(runner, wanted, report=report)
    warnings: list[str] = []
    if before.stale:
        kept = sidecar.read(backup.path)
        _seconds, warnings = rebuild.rebuild(runner, before.stale, before, LOCK_TIMEOUT, kept, report)
        rebuild.verify(runner, wanted, before, report)
    return [name for name in wanted if name not in before.unused], warnings


def _restore(request: Request, backup: store.Backup, name: str) -> restoration.Request:
    report = request.on_progress
    return restoration.Request(server=request.server, database=name, archive=backup.path, on_progress=report)


@contextmanager
def _folder(request: Request, name: str) -> Iterator[str]:
    """Yield a folder for what is temporary, here and in the release's own processes, which only they can enter."""
    path = os.path.join(tempfile.gettempdir(), FOLDER + name)
    os.mkdir(path, 0o700)
    before = tempfile.tempdir
    try:
        user = request.project.os_user if request.project else None
        if user and os.geteuid() == 0:
            account = pwd.getpwnam(user)
            os.chown(path, account.pw_uid, account.pw_gid)
        tempfile.tempdir = path
        yield path
    finally:
        tempfile.tempdir = before
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _timed(outcome: Outcome, step: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        outcome.seconds[step] = round(time.monotonic() - started, 3)
