# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of many hosts makes of its runs."""

from __future__ import annotations

from typing import Any

from bench import fleet_report


def run(hosts: int, seconds: float, variant: str = "status, with pipelining") -> dict[str, Any]:
    return {"image": "bookworm", "treenodes": 0, "variant": variant, "hosts": hosts, "seconds": seconds, "load": 1.0}


def test_many_hosts_are_compared_with_one() -> None:
    slow = "backup, without pipelining"
    runs = [*(run(1, seconds) for seconds in (5, 6, 40)), *(run(20, seconds) for seconds in (20, 21, 22))]
    found = fleet_report.summary([*runs, run(1, 10, slow), run(20, 100, slow)])
    assert [(row["one"], row["all"], row["times"]) for row in found["medians"]] == [(6, 21, 3.5), (10, 100, 10.0)]
    (goal,) = found["goals"]  # the other is what pipelining is for
    assert goal["met"] and "20 hosts take 3.5 times as long as one" in goal["text"]
    missed = fleet_report.summary([run(1, 5), run(20, 21)])["goals"]
    assert [one["met"] for one in missed] == [False]
    text = fleet_report.table({**found, "host": {"cpus": 2}})
    assert "6.0        21.0     3.5" in text
