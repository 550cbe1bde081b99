# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of tuning calls a gain: runs that do not overlap. All else is none."""

from __future__ import annotations

from bench import tuning_report


def run(variant: str, tps: float, buffers: int = 1) -> dict:
    numbers = dict.fromkeys(tuning_report.FIELDS, 1.0)
    scripts = {"nodes": {"count": 1, "p95": 2.0}}
    place = {"image": "bookworm", "treenodes": 10, "variant": variant, "scripts": scripts}
    return {**numbers, **place, "tps": tps, "shared_buffers": buffers, "bytes": 4}


def goals(**variants: list[float]) -> dict[str, bool]:
    runs = [run(variant, tps) for variant, values in variants.items() for tps in values]
    return {one["text"].split(": ", 1)[1]: one["met"] for one in tuning_report.summary(runs)["goals"]}


def test_a_gain_is_more_than_the_spread():
    told = goals(untuned=[10, 11, 12], seed=[19, 20, 21], ours=[18, 22, 23])
    assert told == {
        "against untuned: a gain of 100 %": True,
        "against as CATMAID's manual says: no gain: +10 % is within the spread": True,
        "data 4.0 times the most shared_buffers (goal: 2)": True,
    }
    told = goals(untuned=[20, 21, 22], seed=[20, 21, 22], ours=[10, 10, 11])
    assert told["against untuned: a loss of 52 %"] is False


def test_the_data_must_not_fit():
    rows = [run(variant, 1, buffers=3) for variant in tuning_report.NAMES]
    last = tuning_report.summary(rows)["goals"][-1]
    assert (last["text"].endswith("data 1.3 times the most shared_buffers (goal: 2)"), last["met"]) == (True, False)
