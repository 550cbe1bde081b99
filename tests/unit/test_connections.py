# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What connections after rounds of requests say about whether they are used again."""

from __future__ import annotations

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.checks.connections import compare, judge


def sessions(*numbers: int) -> set[tuple[int, str]]:
    return {(number, "today") for number in numbers}


@pytest.mark.parametrize(
    ("seen", "capacity", "good", "why"),
    [
        ([(), (1, 2), (1, 2), (1, 2)], 2, True, "2 connections, which are used again"),
        ([(1,), (1, 2), (1, 2), (1, 2, 3)], 4, True, "3 connections"),
        ([(1,), (1, 2), (1, 2), (1, 2, 3)], 0, False, "each round brings more"),
        ([(), (1, 2), (1, 2, 3, 4), (1, 2, 3, 4, 5, 6)], 4, False, "6 connections for 4 threads"),
        ([(), (1, 2), (3, 4), (5, 6)], 2, False, "none is used again"),
        ([(1,), (), (), ()], 2, False, "no connection is kept"),
    ],
)
def test_verdicts(seen: list[tuple[int, ...]], capacity: int, good: bool, why: str) -> None:
    found = judge([sessions(*numbers) for numbers in seen], capacity)
    assert (found.good, why in found.why) == (good, True), found


def test_a_number_that_another_process_has_got_is_another_session() -> None:
    (found,) = compare([{(7, "today")}, {(7, "tomorrow"), (8, "today")}])
    assert (found.sessions, found.new, found.stayed) == (2, 2, 0)
