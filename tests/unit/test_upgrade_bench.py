# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of upgrades counts as being away, and which goals its runs meet."""

from __future__ import annotations

from typing import Any

import pytest

from bench import upgrade, upgrade_report


def run(variant: str, down: float, size: int = 100000, **more: Any) -> dict[str, Any]:
    told = {"seconds": down + 1, "slowest": 0.1, "bytes": 1, "load": 1.0, "phases": {"stop": down}, **more}
    return {"image": "bookworm", "treenodes": size, "variant": variant, "down": down, **told}


def test_away_is_from_the_first_question_without_an_answer_to_the_next_with_one() -> None:
    answers = [(0.0, 0.02, 200), (0.1, 0.3, 200), (0.2, 0.0, 502), (0.4, 0.01, 503), (0.3, 0.0, 0), (0.5, 0.2, 200)]
    found = upgrade.outage(answers)
    assert found["down"] == pytest.approx(0.3)
    assert found["unanswered"] == {"0": 1, "502": 1, "503": 1}
    assert (found["asked"], found["slowest"]) == (6, 0.3)
    assert upgrade.outage([(0.0, 0.1, 200)])["down"] == 0
    with pytest.raises(SystemExit, match="did not come back"):
        upgrade.outage([(0.0, 0.1, 200), (0.1, 0.1, 502)])


def test_the_copy_is_not_counted_but_told() -> None:
    runs = [
        *(run("documented, warm", down) for down in (9.0, 10.0, 30.0)),
        run("documented, cold", 20.0),
        run("ours", 3.0, protect=1.0),
        run("rollback", 2.0),
    ]
    found = upgrade_report.summary(runs)
    texts = [goal["text"] for goal in found["goals"]]
    assert "5.0 times less, without the copy (goal: 5); 3.3 with it" in texts[0]
    assert all(goal["met"] for goal in found["goals"]) and len(texts) == 2
    shown = upgrade_report.table({**found, "host": {"cpus": 2}})
    assert "documented, pip's cache full" in shown and "met " in shown and "10.00" in shown


def test_a_rollback_has_to_be_quick_and_flat() -> None:
    both = ("documented, warm", "ours")
    runs = [run(variant, 10.0, size) for variant in both for size in (100000, 3000000)]
    runs += [run("rollback", 2.0), run("rollback", 9.5, 3000000)]
    met = {goal["text"].partition(":")[2]: goal["met"] for goal in upgrade_report.summary(runs)["goals"]}
    assert list(met.values()) == [False, False, False]
    assert "a rollback takes 10.5 seconds" in list(met)[1] and "3.50 times those at 0.1 M" in list(met)[2]
