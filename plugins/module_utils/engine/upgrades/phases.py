# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases from stop to record, each with the way back. What a phase does can be done again, and so can its undoing:
either may have been cut short anywhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from .. import command, files
from ..catmaid import activity, smoke
from ..django import migrations
from ..django.shim import Runner
from ..errors import CatmaidError, of_system
from ..postgres import kept
from . import companions, exchange, history, online, page, protection, units, verification, watching
from .journal import Journal
from .request import COPY, ONLINE, ROLLBACK, UPGRADE, Request

RECORD = "record"
REQUESTS_WITHIN = 30.0  # seconds for requests that have begun, as gunicorn gives them
HOOK_WITHIN = 60.0  # seconds that a hook may take when something is undone


@dataclass
class Job:
    """A job at work. ``plan`` is known to the one that began it, not to one that recovers."""

    request: Request
    journal: Journal
    boot: bool = False
    runner: Runner | None = None
    plan: migrations.Plan | None = None
    extensions: list[str] = field(default_factory=list)
    way: str = COPY
    backup: str = ""
    since: float = 0.0
    answered: list[str] = field(default_factory=list)

    @property
    def changes_database(self) -> bool:
        """Whether the database is another one afterwards."""
        return self.migrates or bool(self.extensions)

    @property
    def migrates(self) -> bool:
        """Whether Django has something to do."""
        return bool(self.plan and (self.plan.steps or self.plan.unfinished))

    @property
    def new(self) -> Runner:
        """The release that is to serve, and its database."""
        if self.runner is None:
            self.runner = Runner(self.request.project(self.request.new), self.request.server, self.request.database)
        return self.runner

    def hold(self) -> None:
        """Let the new code be imported by those that will migrate and look at its pages, while the old one serves.

        And see what else of that answers, to compare.
        """
        self.answered = companions.answering(self.request)
        if self.migrates:
            self.new.hold("migrate")
        self.new.hold("pages")


@dataclass(frozen=True)
class Phase:
    """A name, what is done, and what brings back what was before."""

    name: str
    do: Callable[[Job], None]
    undo: Callable[[Job], None]


def show_page(job: Job) -> None:
    """Let visitors see the maintenance page."""
    page.show(job.request.state_dir, job.request.maintenance, job.request.expected)


def remove_page(job: Job) -> None:
    """Let visitors see the application."""
    if page.remove(job.request.state_dir) or not job.journal.opened:
        job.journal.opened = time.time()


def stop(job: Job) -> None:
    """Stop the services: those first that nobody sees, while people work on."""
    services = job.request.services
    unseen = units.of(units.BACKGROUND, services)
    units.forbid(job.request.instance)
    units.stop(unseen)
    job.journal.closed = time.time()
    show_page(job)
    verification.let_in(job.request)
    _let_finish(job.request.stats_socket)
    units.stop([name for name in services if name not in unseen])


def _let_finish(stats: str) -> None:
    """Wait for the requests that uWSGI answers: it cuts them off when it is stopped, and no new ones come any more."""
    deadline = time.monotonic() + REQUESTS_WITHIN
    with suppress(CatmaidError):  # one that does not tell is stopped as others are
        while stats and activity.requests(stats) and time.monotonic() < deadline:
            time.sleep(0.05)


def undo_stop(job: Job) -> None:
    """Start the old release and see whether it serves; at boot systemd starts it, as soon as we have ended."""
    request = job.request
    started = units.now()
    units.start(request.instance, request.services, wait=not job.boot)
    if not job.boot:
        verification.directly(request, request.old)
    remove_page(job)
    if not job.boot:
        verification.through_web(request, request.old)
        verification.quiet(request, started)


def protect(job: Job) -> None:
    """Make what brings the database back, now that nobody writes."""
    if job.changes_database:
        job.journal.tell(protection.make(job.request, job.way, job.backup))


def undo_protect(job: Job) -> None:
    exchange.drop_copy(job.request)


def switch(job: Job) -> None:
    _point(job.request, job.request.new.path)


def undo_switch(job: Job) -> None:
    _point(job.request, job.request.old.path)


def migrate(job: Job) -> None:
    """Bring extensions and schema to what the new release wants."""
    request = job.request
    exchange.update_extensions(request, job.extensions)
    if job.plan and job.migrates:
        # They import the code meanwhile. Nobody gets through to them yet: the web server shows its page.
        _begin(job, units.of(units.WSGI, request.services))
        steps, done = job.plan.steps, list[str]()
        outcome = migrations.run(
            job.new,
            job.plan,
            lock_timeout=request.lock_timeout,
            on_event=lambda event: watching.migration(request, event, len(steps), done),
        )
        watching.clear(request.state_dir)
        job.journal.facts["migrations"] = len(outcome.applied)
        job.journal.facts["migration_seconds"] = outcome.seconds


def undo_migrate(job: Job) -> None:
    undo_start(job)
    job.journal.tell(protection.bring_back(job.request, job.journal.facts))


def migrate_online(job: Job) -> None:
    """Bring the schema to what the new release wants, and see that it answers, while the old one serves."""
    request = job.request
    if job.plan:
        job.journal.facts["migrations_before"] = len(job.plan.recorded)
        job.journal.write()
        outcome = online.migrate(job.new, job.plan, request)
        job.journal.facts.update(migrations=len(outcome.applied), migration_seconds=outcome.seconds)
    smoke.live(job.new)


def undo_migrate_online(job: Job) -> None:
    """Leave what was added: the old release works with it. Nothing of the new one is at work any more."""
    facts = job.journal.facts
    exchange.end_migration(job.request)
    with suppress(CatmaidError):  # how many there are is not worth waiting for somebody who holds the table
        kept_now = len(migrations.recorded(job.new))
        facts["kept_migrations"] = max(0, kept_now - facts.get("migrations_before", kept_now))


def _begin(job: Job, services: Sequence[str]) -> None:
    """Begin to start these, and let them import what they would import for their first visitor."""
    job.since = job.since or units.now()
    units.start(job.request.instance, services, wait=False)
    verification.warm_up(job.request)


def start(job: Job) -> None:
    """Start all services and ask them, and meanwhile let the code answer in a process of its own."""
    request = job.request
    _begin(job, request.services)
    asking = verification.Asking(lambda: verification.directly(request, request.new))
    if request.kind != ONLINE:  # where it has done so already
        smoke.live(job.new)
    elif request.direct:
        # No data of theirs would be lost on the way back: people may wait where they will be answered.
        verification.taken_in(request)
        remove_page(job)
    units.start(request.instance, request.services)
    asking.answered()


def undo_start(job: Job) -> None:
    with suppress(CatmaidError):  # a full disk keeps nobody from going back
        show_page(job)
    units.forbid(job.request.instance)
    if not job.boot:  # where none of them runs yet
        units.stop(job.request.services)


def verify(job: Job) -> None:
    request = job.request
    if job.plan:
        verification.migrated(request, {*job.plan.recorded, *job.plan.unapplied})
    verification.quiet(request, job.since)
    job.journal.facts["served_since"] = exchange.server_time(request)
    job.journal.facts["database_oid"] = exchange.database_oid(request)
    companions.verify(request, job.answered, outside=False)
    remove_page(job)
    verification.through_web(request, request.new)
    companions.verify(request, job.answered, outside=True)
    verification.quiet(request, job.since)


def record(job: Job) -> None:
    """Note what has become of it, and let copies go that are of no use any more. Nothing is undone from here on."""
    request, journal = job.request, job.journal
    journal.leave()
    if request.kind != ROLLBACK:
        history.append(request.state_dir, history.entry(request, journal, history.UPGRADED))
        history.remember(request, journal)
        limit = datetime.now(timezone.utc) - timedelta(days=request.keep_copy)
        prefix = f"{request.database[:30]}_before_upgrade_"
        verdicts = kept.judge(request.server, request.database, [prefix], limit)
        kept.drop(request.server, [verdict for verdict in verdicts if verdict.kept.name != request.copy])
        if request.copy and not request.keep_copy:
            exchange.drop_copy(request)
    else:
        history.append(request.state_dir, history.entry(request, journal, history.ROLLED_BACK))
        history.forget(request.state_dir)


def put_back(job: Job) -> None:
    """Let the copy be the database: the way back of an upgrade that went well."""
    if job.request.copy:
        job.journal.tell(exchange.swap(job.request, job.request.copy, job.request.failed))
        job.journal.facts.update(copied=True, kept_database=job.request.failed)


def undo_put_back(job: Job) -> None:
    if job.request.copy:
        job.journal.tell(exchange.swap(job.request, job.request.failed, job.request.copy))


def nothing(job: Job) -> None:
    """Undo what changes nothing."""


_STOP = Phase("stop", stop, undo_stop)
_SWITCH = Phase("switch", switch, undo_switch)
_END = (Phase("start", start, undo_start), Phase("verify", verify, nothing), Phase(RECORD, record, nothing))
PHASES: dict[str, tuple[Phase, ...]] = {
    UPGRADE: (_STOP, Phase("protect", protect, undo_protect), _SWITCH, Phase("migrate", migrate, undo_migrate), *_END),
    ONLINE: (Phase("migrate", migrate_online, undo_migrate_online), _STOP, _SWITCH, *_END),
    ROLLBACK: (_STOP, Phase("put back", put_back, undo_put_back), _SWITCH, *_END),
}


def call_hook(job: Job) -> None:
    """Run the program that wants to know of each phase; its failure is the phase's."""
    _hook(job, job.journal.phase)


def call_undo_hook(job: Job, phase: Phase) -> None:
    """Tell it, too, that a phase is about to be undone; whatever it answers keeps nobody from going back."""
    with suppress(CatmaidError):
        _hook(job, f"undo {phase.name}", HOOK_WITHIN)


def _hook(job: Job, phase: str, timeout: float | None = None) -> None:
    request = job.request
    if request.hook:
        env = {"CATMAID_PHASE": phase, "CATMAID_INSTANCE": request.instance, "CATMAID_RELEASE": request.new.describe}
        doing = f"running the hook {request.hook} before {phase}"
        command.run([request.hook, phase], doing=doing, env=env, timeout=timeout)


def _point(request: Request, path: str) -> None:
    """Let the link of the release that serves point there; at no moment is there none."""
    partial = f"{request.current}.next"
    try:
        if os.path.lexists(partial):
            os.unlink(partial)
        os.symlink(path, partial)
        os.replace(partial, request.current)
        files.sync_folder(os.path.dirname(request.current))
    except OSError as error:
        raise of_system(f"switching to {path}", error) from error
