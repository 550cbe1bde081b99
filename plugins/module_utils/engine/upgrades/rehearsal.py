# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal: a backup is restored beside the live database, migrated with the new code, asked by both releases, and
dropped. It tells how long people will wait, and whether they have to; a migration that fails, fails here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..backups import drill, restoration, store
from ..catmaid import smoke, south
from ..catmaid.materializations import EXACT, SUMMARIES
from ..django import migrations
from ..django.shim import Runner
from ..errors import CatmaidError
from ..postgres import databases, properties, scratch, shape
from . import additions, exchange, prediction, rehearsed
from .known import GROWTH
from .rehearsed import Rehearsal
from .request import Release, Request

UNWATCHED = "the Django of the new release does not let itself be watched"
NOT_ATOMIC = "is no transaction: cut short, it could not be done again"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What is to be done: the upgrade, the backup to do it with, and how long a table may be locked."""

    request: Request
    backup: store.Backup
    lock_seconds: float


def choose(request: Request, path: str) -> store.Backup:
    """Return the backup at ``path``, or the newest verified one of the database."""
    doing = f"rehearsing the upgrade to {request.new.describe}"
    if path:
        found = store.look(path)
        if not found.sound:
            raise CatmaidError(doing, f"the backup {path} is not whole: {'; '.join(found.problems)}", "Make another.")
        return found
    newest = store.listing(request.backup_dir, request.database).newest() if request.backup_dir else None
    if not newest:
        raise CatmaidError(doing, "there is no verified backup to do it with", "Make one (playbook backup).")
    return newest


def pending(request: Request) -> migrations.Plan:
    """Return what the new release wants to do to the live database."""
    runner = Runner(request.project(request.new), request.server, request.database)
    return migrations.plan(runner, fake_first=south.look(request.server, request.database))


def known(request: Request, plan: migrations.Plan, hours: float) -> Rehearsal | None:
    """Return the last rehearsal if it was of this upgrade, with a backup not older than that; predicted anew."""
    found = rehearsed.matching(request.state_dir, request.database, request.old.commit, request.new.commit)
    steps = [f"{step['app']}.{step['name']}" for step in plan.steps]
    if not hours or not found or rehearsed.outdated(found, steps, hours):
        return None
    found.predicted = prediction.predict(request, found.seconds["migrate"], changes=True)
    return found


def check_room(wanted: Wanted) -> None:
    """Raise where the copy has no room, with what migrations write anew of it."""
    about = wanted.backup.manifest["properties"]
    needed = int(about["bytes"]) if about else 0
    with databases.maintenance(wanted.request.server) as connection:
        doing = f"rehearsing the upgrade to {wanted.request.new.describe}"
        databases.check_space(connection, wanted.request.server, doing, needed + needed // GROWTH)


def check(wanted: Wanted) -> None:
    """Raise what would stop it, as far as the backup is concerned; changes nothing."""
    with scratch.claim(wanted.request.server) as name, store.using(wanted.backup.path):
        restoration.prepare(_copy(wanted, name))


def run(wanted: Wanted, say: Say) -> Rehearsal:
    """Rehearse, and keep what was found. Whatever happens, the scratch database goes; a killed one's goes first."""
    request = wanted.request
    rehearsed.forget(request.state_dir)
    for name in scratch.sweep(request.server):
        say(f"dropped {name}, which a rehearsal or drill that was killed has left")
    check_room(wanted)
    found = Rehearsal(
        time=rehearsed.now(), made=wanted.backup.finished.strftime(rehearsed.TIME),
        database=request.database, backup=wanted.backup.id,
        before=request.old.commit, after=request.new.commit, to=request.new.describe,
    )  # fmt: skip
    with store.using(wanted.backup.path), scratch.claim(request.server) as name:
        copy = _copy(wanted, name)
        try:
            say(f"restoring {wanted.backup.id} into {name}")
            with _timed(found, "restore"):
                restoration.run(copy, restoration.prepare(copy))
            _migrate(wanted, name, found, say)
            with _timed(found, "ask"):
                # What the restore could not fill, for pages that need it
                drill.rebuild_left_out(Runner(request.project(request.new), request.server, name), wanted.backup, None)
                _ask(request, request.new, name)
                found.objections += _ask_old(request, name)
        finally:
            databases.drop(request.server, name, end_sessions=True)
    old = exchange.old_extensions(request)
    found.objections += [f"the extension {name} is updated" for name in old]
    found.predicted = prediction.predict(request, found.seconds["migrate"], changes=bool(found.steps))
    rehearsed.keep(request.state_dir, found)
    return found


def _copy(wanted: Wanted, name: str) -> restoration.Request:
    """Return how the copy is made. Whether all of a backup comes back is what drills are for."""
    return restoration.Request(wanted.request.server, name, wanted.backup.path, verify=False)


def _migrate(wanted: Wanted, name: str, found: Rehearsal, say: Say) -> None:
    """Migrate the copy, and compare it with what it was."""
    request = wanted.request
    runner = Runner(request.project(request.new), request.server, name)
    with request.server.connect(name) as connection:
        fake_first = south.fake_first(connection)
        before, rows = shape.read(connection), shape.contents(connection)
        bytes_before = _bytes(request, name)
    plan = migrations.plan(runner, fake_first=fake_first)
    found.steps = [f"{step['app']}.{step['name']}" for step in plan.steps]
    say(f"migrating {name}: {len(plan.steps)} migrations")
    try:
        runner.hold("migrate")  # as the upgrade does, so that it takes as long
        with _timed(found, "migrate"):
            outcome = migrations.run(runner, plan, lock_timeout=request.lock_timeout, watch=True)
    except CatmaidError as error:
        remedy = "The instance was not touched. Ask the authors of the release, or stay with the old one."
        raise CatmaidError(f"rehearsing {request.doing}", error.cause, remedy, **error.details) from error
    finally:
        runner.let_go()
    with request.server.connect(name) as connection:
        after = shape.read(connection)
        found.prints = additions.footprints(outcome.seconds, outcome.seen or {}, before)
        touched = {table for footprint in found.prints for table in footprint.changes if table in rows}
        left = {table: sorted(before.columns(table)) for table in touched if before.columns(table)}
        same = {table: names for table, names in left.items() if set(names) <= after.columns(table)}
        rows_after = shape.contents(connection, same)
    found.grown = _bytes(request, name) - bytes_before
    lacking = {str(left["name"]) for left in wanted.backup.manifest["left_out"] if left["rows"] != 0}
    found.objections += [f"the backup lacks {table}" for table in sorted(lacking - {*EXACT, *SUMMARIES})]
    if outcome.seen is None:
        found.objections.append(UNWATCHED)
    found.objections += [f"{s['app']}.{s['name']} {NOT_ATOMIC}" for s in plan.steps if not s["atomic"]]
    found.objections += additions.objections(before, after)
    found.objections += additions.lost_rows(rows, rows_after, found.prints)
    found.objections += additions.long_locks(found.prints, wanted.lock_seconds)


def _ask(request: Request, release: Release, name: str) -> None:
    """Raise unless a release answers right on the migrated copy."""
    try:
        smoke.run(Runner(request.project(release), request.server, name), None)
    except CatmaidError as error:
        cause = f"{release.describe} does not work on the migrated copy: {error.cause}"
        raise CatmaidError(f"rehearsing {request.doing}", cause, "The instance was not touched.") from error


def _ask_old(request: Request, name: str) -> list[str]:
    """Return why the release that serves could not go on with the migrated database."""
    try:
        _ask(request, request.old, name)
    except CatmaidError as error:
        return [error.cause]
    return []


def _bytes(request: Request, name: str) -> int:
    with databases.maintenance(request.server) as connection:
        about = properties.read(connection, name)
        return about.bytes if about else 0


@contextmanager
def _timed(found: Rehearsal, step: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    found.seconds[step] = round(time.monotonic() - started, 3)
