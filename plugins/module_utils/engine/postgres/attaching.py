# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of roles, tables and columns as they are to be, and how they were before, kept so that all can be undone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import files
from ..errors import CatmaidError, of_system
from . import attached, databases, identity
from .attached import Found, Place
from .server import Server, maintenance_database

try:
    import psycopg2
except ImportError:
    pass  # Server.connect, which comes first, says so

LOCK_TIMEOUT = "30s"  # behind a VACUUM or a migration; nobody waits behind us for longer
NO_LONGER = "It is no longer wanted."


@dataclass(frozen=True)
class Wanted:
    """A setting as it is to be, and why."""

    place: Place
    value: str
    reason: str = ""


@dataclass(frozen=True)
class Request:
    """All settings of ours in a database. What we have set once and is not in it goes back to how it was."""

    server: Server
    database: str
    wanted: tuple[Wanted, ...]
    state_dir: str = "/var/lib/catmaid/tuning"
    analyze: bool = True


@dataclass
class Outcome:
    """What changed, or would: of each setting what it was and is; and what could not be set, or not be undone."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    unchanged: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether something is otherwise."""
        return bool(self.changes)


@dataclass(frozen=True)
class _Kept:
    """What we have set, and what was there before."""

    ours: str
    before: str | None


def apply(request: Request, *, check: bool = False) -> Outcome:
    """Set what is wanted and undo what no longer is, in one transaction. What is not there is skipped, and told."""
    there = databases.read(request.server, request.database) is not None
    path = _path(request)
    kept = _load(path)
    outcome, after, plan = Outcome(), dict(kept), []
    name = request.database if there else maintenance_database(request.server)
    with request.server.connect(name, settings={"lock_timeout": LOCK_TIMEOUT}) as connection:
        wanted = {one.place: one for one in request.wanted}
        for place in dict.fromkeys([*wanted, *kept]):
            have = _read(connection, place, request, there)
            one = wanted.get(place)
            if have.missing:
                outcome.skipped += [f"{place}: {have.missing}"] if one else []
                if not one:
                    after.pop(place, None)
                continue
            value = one.value if one else _before(place, kept[place], have, outcome)
            told = {
                "name": str(place),
                "before": have.value,
                "after": value,
                "reason": one.reason if one else NO_LONGER,
            }
            (outcome.changes if have.value != value else outcome.unchanged).append(told)
            if have.value != value:
                plan.append((place, value))
            if not one:
                after.pop(place, None)
            elif have.value != value or place in kept:
                after[place] = _Kept(one.value, kept[place].before if place in kept else have.value)
        if check:
            return outcome
        # Before anything is set: what is kept and was not set after all does no harm.
        _save(path, {**kept, **after})
        for place, value in plan:
            _execute(connection, attached.statement(connection, place, value), f"setting {place}")
    _save(path, after)
    if request.analyze and there:
        _analyze(request, [place for place, _value in plan])
    return outcome


def _read(connection: Any, place: Place, request: Request, there: bool) -> Found:
    if place.kind != attached.ROLE and not there:
        return Found(None, f"there is no database {request.database}")
    return attached.read(connection, place)


def _before(place: Place, kept: _Kept, have: Found, outcome: Outcome) -> str | None:
    """Return what to go back to: what was before us, unless somebody has changed it since."""
    if have.value not in (kept.ours, kept.before):
        outcome.skipped.append(f"{place}: it is {have.value} since, which is not ours, and stays")
        return have.value
    return kept.before


def _execute(connection: Any, statement: str, doing: str) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute(statement)
        except psycopg2.Error as error:
            cause = str(error.diag.message_primary or error)
            remedy = "Nothing was changed. Look who works on the table (pg_stat_activity), and try again."
            raise CatmaidError(doing, cause, remedy if error.pgcode == "55P03" else "Nothing was changed.") from error


def _analyze(request: Request, places: Sequence[Place]) -> None:
    """Let the server use what it is to know about columns at once."""
    with request.server.connect(request.database, autocommit=True) as connection:
        for statement in attached.analyzed(connection, places):
            with connection.cursor() as cursor:
                cursor.execute(statement)


def _path(request: Request) -> str:
    key = identity.database_key(request.server, request.database)
    # A database may be called anything.
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return os.path.join(request.state_dir, f"database-settings-{name}.json")


def _load(path: str) -> dict[Place, _Kept]:
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["settings"]
    return {Place(row["kind"], tuple(row["subject"]), row["name"]): _Kept(row["ours"], row["before"]) for row in rows}


def _save(path: str, kept: dict[Place, _Kept]) -> None:
    rows = [
        {"kind": place.kind, "subject": list(place.subject), "name": place.name, "ours": one.ours, "before": one.before}
        for place, one in kept.items()
    ]
    try:
        if not rows:
            if os.path.exists(path):
                os.unlink(path)
                files.remove_if_empty(os.path.dirname(path))
        elif _load(path) != kept:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            files.write_json(path, {"settings": rows})
    except OSError as error:
        raise of_system("keeping the settings from before", error) from error
