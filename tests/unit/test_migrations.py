# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from the events of a migrate run and from the rows of a database, without either."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django import child, migrations
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.locks import Watch


def event(kind: str, name: str, backwards: bool = False, seconds: float = 1.5) -> dict[str, Any]:
    return {"event": kind, "app": "catmaid", "name": name, "backwards": backwards, "seconds": seconds}


def test_strangers_are_told_apart() -> None:
    rows = [("catmaid", "0001"), ("catmaid", "0115"), ("djcelery", "0001"), ("taggit", "0001")]
    known = [["catmaid", "0001"], ["taggit", "0001"]]
    unknown, orphaned = migrations.strangers(rows, known, ["catmaid", "taggit"])
    assert unknown == ["catmaid.0115"] and orphaned == ["djcelery.0001"]


def test_events_say_what_was_done_and_what_was_running() -> None:
    events = [event("start", "0002"), event("done", "0002"), event("start", "0003")]
    outcome = migrations.read(events)
    assert outcome.applied == ["catmaid.0002"] and outcome.unapplied == []
    assert outcome.seconds == {"catmaid.0002": 1.5}
    assert migrations.running(events) == "catmaid.0003"
    assert migrations.running(events[:2]) == ""
    assert migrations.read([event("done", "0002", backwards=True)]).unapplied == ["catmaid.0002"]


@pytest.mark.parametrize(
    ("session", "options"),
    [
        ({"lock_timeout": "3s", "a": "1"}, "-c a=1 -c lock_timeout=3s"),
        ({"role": "Odd \\ name"}, "-c role=Odd\\ \\\\\\ name"),
    ],
)
def test_session_settings_survive_libpq(session: dict[str, str], options: str) -> None:
    assert child.pgoptions(session) == options


def test_sqlstate_is_found_behind_djangos_own_exception() -> None:
    class DatabaseError(Exception):
        pgcode = "55P03"

    error = ValueError("wrapped")
    error.__cause__ = DatabaseError()
    assert child.sqlstate(error) == "55P03"
    assert child.sqlstate(ValueError("plain")) is None


def test_blockers_in_words() -> None:
    holder = {"user": "lab", "application": "", "state": "idle in transaction", "query_start": "12:00", "relation": "a"}
    assert Watch([{"pid": 7, **holder}]).describe() == (
        "the lock on a is held by pid 7 (role lab, application without a name, idle in transaction since 12:00)"
    )
    assert Watch().describe() == "its holder was gone before it could be seen"
