# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that wait for each other: their order, what goes side by side, and what a failure leaves."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import command, steps
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.steps import Running, Step

Act = Callable[[Running], None]


def test_the_longest_way_goes_first_and_nothing_before_its_time() -> None:
    order: list[str] = []

    def act(name: str) -> Act:
        return lambda _running: order.append(name)

    given = [
        Step("short", act("short"), cost=3),
        Step("end", act("end"), frozenset({"begin"}), 9),
        Step("begin", act("begin"), cost=1),
        Step("last", act("last"), frozenset({"end", "short"})),
    ]
    spans = steps.run(given, 1)
    assert order == ["begin", "end", "short", "last"]
    assert spans["begin"].ended <= spans["end"].began
    assert spans["last"].seconds >= 0


def test_two_go_side_by_side_unless_one_needs_the_thing_alone() -> None:
    together = threading.Barrier(2, timeout=20)

    def meet(_running: Running) -> None:
        together.wait()

    steps.run([Step("one", meet, on="table"), Step("other", meet, on="table")], 2)

    inside: list[str] = []

    def alone(_running: Running) -> None:
        assert not inside
        inside.append("somebody")
        threading.Event().wait(0.05)
        inside.clear()

    steps.run([Step(str(n), alone, on="table", alone=n == 0) for n in range(2)], 2)


def test_a_failure_ends_what_runs_and_begins_nothing_more() -> None:
    began: list[str] = []
    sleeping = threading.Event()

    def sleep(running: Running) -> None:
        def started(process: subprocess.Popen[str]) -> None:
            running.process(process)
            sleeping.set()

        command.run(["sleep", "600"], doing="sleeping", on_start=started)

    def fail(_running: Running) -> None:
        assert sleeping.wait(20)
        raise CatmaidError("failing", "it was to fail")

    given = [
        Step("sleep", sleep, cost=2),
        Step("fail", fail, cost=1),
        Step("never", lambda _running: began.append("never"), frozenset({"sleep"})),
    ]
    with pytest.raises(CatmaidError, match="it was to fail"):
        steps.run(given, 2)
    assert began == []


def test_what_starts_after_the_end_is_ended_too() -> None:
    running = Running()
    running.end()
    with pytest.raises(CatmaidError, match="sleep"):
        command.run(["sleep", "600"], doing="sleeping", on_start=running.process)


def test_a_circle_is_a_mistake() -> None:
    def nothing(_running: Running) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="wait for each other: one, other"):
        steps.run([Step("one", nothing, frozenset({"other"})), Step("other", nothing, frozenset({"one"}))], 2)
