# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long people will wait is guessed by what the upgrades of the host have taken."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import prediction
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.request import COPY, DUMP

STEPS = ["catmaid.0006_a", "catmaid.0007_b"]
DATABASE = 800_000_000


def upgrade(start: float = 20.0, result: str = "upgraded", migrate: float = 9.0, **facts: Any) -> dict[str, Any]:
    return {"result": result, "seconds": {"stop": 2.0, "start": start, "verify": 1.0, "migrate": migrate}, **facts}


def test_without_a_history_it_is_a_guess() -> None:
    about = prediction.estimate([], STEPS, COPY, DATABASE)
    assert about.seconds == {"copy": 4.0, "migrate": 1.1, "restart": 4.5, "downtime": 9.6}
    assert all("guess" in source for source in about.sources.values())


def test_what_does_not_depend_on_the_target_is_as_long_as_the_longest_of_late() -> None:
    lines = [upgrade(600), *(upgrade(20 + number) for number in range(5)), upgrade(900, "undone")]
    about = prediction.estimate(lines, STEPS, COPY, DATABASE)
    assert about.seconds["restart"] == 24 + 2 + 1
    assert about.sources["restart"] == "the longest of the last 5 upgrades here"
    assert "as in the last upgrade" in prediction.sources([upgrade()])["restart"]


def test_the_copy_is_as_fast_as_the_last_one() -> None:
    lines = [upgrade(copied_bytes=100, protect_seconds=1.0), upgrade(copied_bytes=20_000_000, protect_seconds=1.0)]
    about = prediction.estimate([*lines, upgrade()], STEPS, COPY, DATABASE)
    assert (about.seconds["copy"], about.sources["copy"]) == (40.0, "as the last one here")
    # Nothing is copied where nothing is migrated, or another protection is wanted.
    for steps, protect in ((STEPS, DUMP), ([], COPY)):
        assert prediction.estimate(lines, steps, protect, DATABASE).seconds["copy"] == 0


@pytest.mark.parametrize(
    ("steps", "seconds", "source"),
    [
        (STEPS, 6.0, "as they took here before"),
        (["catmaid.0008_c", "catmaid.0009_d"], 4.0, "a guess by what others took here"),
        ([*STEPS, "catmaid.0008_c"], 7.0, "a guess by what others took here"),
        ([], 0.0, "there are none"),
    ],
)
def test_migrations_take_as_long_as_they_took_here(steps: list[str], seconds: float, source: str) -> None:
    """One that was taken back counts; those that have rewritten or filled a table say nothing of others."""
    took = {"catmaid.0006_a": 1.0, "catmaid.0007_b": 3.0, "catmaid.0004_e": 1.0}
    lines = [upgrade(result="undone", migration_seconds=took)]
    lines.append(
        upgrade(
            migrate=176.0,
            migration_seconds={"catmaid.0005_c": 0.5, "catmaid.0003_f": 170.0, "catmaid.0099_make_ids": 3.5},
        )
    )
    about = prediction.estimate(lines, steps, COPY, DATABASE)
    assert (about.seconds["migrate"], about.sources["migrate"]) == (seconds, source)


def test_tables_that_are_written_anew_take_longer_the_larger_they_are() -> None:
    rewriting = ["catmaid.0099_make_concept_ids_64_bit"]
    small, large = (
        prediction.estimate([], rewriting, COPY, size).seconds["migrate"] for size in (DATABASE, 10 * DATABASE)
    )
    assert large > 5 * small > 5
