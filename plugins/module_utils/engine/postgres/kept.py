# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases that a swap has kept, and which of them may go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..errors import CatmaidError
from . import databases, marks
from .properties import Properties
from .server import Server


@dataclass(frozen=True)
class Kept:
    """A database that a swap has kept under a new name, and since when."""

    name: str
    live: str
    since: datetime
    bytes: int


@dataclass(frozen=True)
class Verdict:
    """What becomes of a kept database: it goes, or it stays for a ``reason``."""

    kept: Kept
    reason: str


def read(about: Properties) -> Kept | None:
    """Return a database as a kept one, None if it is none."""
    mark = marks.read(about.comment)
    if mark is None or mark.name != about.name:
        return None
    return Kept(about.name, mark.live, mark.until, about.bytes)


def judge(server: Server, live: str, prefixes: Sequence[str], before: datetime) -> list[Verdict]:
    """Return the databases that were kept of ``live`` under names with one of the ``prefixes``, oldest first.

    Those that were kept ``before`` that time may go, unless somebody is connected to them.
    """
    found = [kept for kept in map(read, databases.listing(server, kept=True)) if kept and kept.live == live]
    chosen = [kept for kept in found if kept.name.startswith(tuple(prefixes)) and kept.name != live]
    verdicts = []
    with databases.maintenance(server) as connection:
        for kept in sorted(chosen, key=lambda kept: (kept.since, kept.name)):
            reason = ""
            if kept.since > before:
                reason = "it is not old enough"
            elif who := databases.sessions(connection, [kept.name]):
                reason = f"it is in use by {who[0]}"
            verdicts.append(Verdict(kept, reason))
    return verdicts


def drop(server: Server, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Drop those that may go; one that somebody has connected to meanwhile stays. Return what became of all."""
    done = []
    for verdict in verdicts:
        reason = verdict.reason
        if not reason:
            try:
                databases.drop(server, verdict.kept.name)
            except CatmaidError as error:
                if "sessions" not in error.details:
                    raise
                reason = "it is in use now"
        done.append(Verdict(verdict.kept, reason))
    return done
