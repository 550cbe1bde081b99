# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Django's migrations: what a database has, what the code has, and the way between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import CatmaidError
from ..postgres import dump
from ..postgres.server import Server
from . import locks
from .shim import ChildError, Events, Runner, application

LOCK_NOT_AVAILABLE = "55P03"
WAITING = 10.0  # seconds to read what is recorded: somebody may hold the table for hours


@dataclass(frozen=True)
class Plan:
    """What a run would do (``steps``), and how the database and the code differ.

    ``unknown`` are recorded migrations that the code lacks though it has their app: the database is newer.
    ``orphaned`` are those of apps that the code does not have at all: former releases used them.
    ``unfinished`` is what a run that was ended after its last migration has not made any more.
    """

    steps: list[dict[str, Any]]
    recorded: list[str]
    unapplied: list[str]
    unknown: list[str]
    orphaned: list[str]
    unfinished: list[str]
    fake_first: tuple[str, str] | None = None


@dataclass
class Outcome:
    """What a run has done: names in the order of the run, seconds by name.

    ``seen`` is what a run that is watched has locked and changed, by name: the numbers of relations, each with its
    modes of lock and how many seconds after the beginning it was asked for; those of which it has changed rows.
    """

    applied: list[str] = field(default_factory=list)
    unapplied: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    total: float = 0.0
    seen: dict[str, Any] | None = None


def applied(connection: Any) -> list[tuple[str, str]]:
    """Return the (app, name) pairs that a database has recorded, oldest first; none when it has no such table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.django_migrations') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return []
        cursor.execute("SELECT app, name FROM public.django_migrations ORDER BY id")
        return [(str(app), str(name)) for app, name in cursor.fetchall()]


def read_applied(server: Server, database: str, waiting: float = WAITING) -> list[tuple[str, str]]:
    """Return the same of a database by its name; raise, with who it is, when somebody keeps the table for himself."""
    doing = f"reading the migrations of {database}"
    with dump.waiting(server, database, doing, waiting) as connection:
        return applied(connection)


def recorded(runner: Runner) -> list[str]:
    """Return the names of the migrations that the runner's database has recorded, oldest first."""
    return names(read_applied(runner.server, runner.database))


def plan(runner: Runner, app: str = "", migration: str = "", fake_first: tuple[str, str] | None = None) -> Plan:
    """Return what migrate would do; reads only. Raises when the code itself has no way to offer."""
    doing = f"planning migrations of database {runner.database}"
    if migration and not app:
        raise CatmaidError(doing, "a migration was named without its app", "Name the app too.")
    rows = read_applied(runner.server, runner.database)
    found = runner.plan(app, migration, fake_first)
    if found["conflicts"]:
        apps = ", ".join(f"{name}: {' and '.join(leaves)}" for name, leaves in sorted(found["conflicts"].items()))
        raise CatmaidError(
            doing, f"the code has migrations side by side ({apps})", "Use a clean checkout of a release."
        )
    stuck = [f"{step['app']}.{step['name']}" for step in found["plan"] if step["backwards"] and not step["reversible"]]
    if stuck:
        raise CatmaidError(
            doing,
            f"{', '.join(stuck)} cannot be reversed",
            "Restore the backup that was made before it instead.",
            irreversible=stuck,
        )
    unknown, orphaned = strangers(rows, found["known"], found["apps"])
    return Plan(
        steps=[
            {key: step[key] for key in ("app", "name", "operations", "backwards", "fake", "atomic")}
            for step in found["plan"]
        ],
        recorded=names(rows),
        unapplied=names(found["unapplied"]),
        unknown=unknown,
        orphaned=orphaned,
        unfinished=[] if app else found["unfinished"],
        fake_first=fake_first,
    )


def strangers(
    rows: Sequence[tuple[str, str]], known: Sequence[Sequence[str]], apps: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the recorded migrations that the code lacks: of apps that it has, and of apps that it does not have."""
    on_disk = {tuple(key) for key in known}
    missing = [row for row in rows if row not in on_disk]
    return names(row for row in missing if row[0] in apps), names(row for row in missing if row[0] not in apps)


def names(pairs: Any) -> list[str]:
    """Return (app, name) pairs in the form that Django prints."""
    return [f"{app}.{name}" for app, name in pairs]


def run(
    runner: Runner,
    planned: Plan,
    *,
    app: str = "",
    migration: str = "",
    fake: bool = False,
    fake_initial: bool = False,
    lock_timeout: int = 30,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    watch: bool = False,
) -> Outcome:
    """Carry out ``planned``; raise with what was done before when a migration fails."""
    doing = f"migrating database {runner.database}"
    name = application("migrate")
    started = time.monotonic()
    with locks.watching(runner.server, runner.database, name) as blocking:
        try:
            events = runner.migrate(
                *[part for part in (app, migration) if part],
                fake_first=planned.fake_first,
                application=name,
                lock_timeout=lock_timeout,
                on_event=on_event,
                watch=watch,
                interactive=False,
                fake=fake,
                # South has made the tables of other apps as well, and Django recognizes those itself.
                fake_initial=fake_initial or bool(planned.fake_first),
            )
        except ChildError as error:
            raise _failure(doing, error, blocking, lock_timeout) from error
    outcome = read(events)
    outcome.seen = events[-1]["value"]["seen"]
    outcome.total = round(time.monotonic() - started, 3)
    return outcome


def read(events: Events) -> Outcome:
    """Return what the events of a migrate run say."""
    outcome = Outcome()
    for event in events:
        if event["event"] == "done":
            name = f"{event['app']}.{event['name']}"
            (outcome.unapplied if event["backwards"] else outcome.applied).append(name)
            outcome.seconds[name] = event["seconds"]
    return outcome


def running(events: Events) -> str:
    """Return the migration that had begun and not ended."""
    begun = ""
    for event in events:
        if event["event"] == "start":
            begun = f"{event['app']}.{event['name']}"
        elif event["event"] == "done":
            begun = ""
    return begun


def _failure(doing: str, error: ChildError, watch: locks.Watch, lock_timeout: int) -> CatmaidError:
    """Return the error that says which migration failed, of what, and what had been done before it."""
    before = read(error.events)
    culprit = running(error.events)
    count = len(before.applied + before.unapplied)
    what = f"migration {culprit}" if culprit else "what the project does after its migrations" if count else "migrate"
    state = f"{count} migrations before it were carried out"
    if error.sqlstate == LOCK_NOT_AVAILABLE:
        failure = locks.lock_not_available(doing, what, lock_timeout, watch)
    else:
        failure = CatmaidError(
            doing, f"{what} failed: {error.cause}", f"{state}; run it again when the cause is mended."
        )
    failure.details.update(
        failed=culprit,
        applied=before.applied,
        reverted=before.unapplied,
        duration={"total": round(sum(before.seconds.values()), 3), "migrations": before.seconds},
        changed=bool(before.applied or before.unapplied),
        sqlstate=error.sqlstate,
        **{key: value for key, value in error.details.items() if key in ("where", "output", "rc", "stderr")},
    )
    return failure
