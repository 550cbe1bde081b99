# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of web sites makes of its runs."""

from __future__ import annotations

from typing import Any

from bench import web_report


def run(variant: str, tiles: float) -> dict[str, Any]:
    asked = dict.fromkeys(web_report.FIELDS, 100.0)
    return {"image": "bookworm", "treenodes": 0, "variant": variant, "load": 1.0, **asked, "tiles_1": tiles}


def test_medians_are_told_with_their_spread() -> None:
    runs = [run("debian", 100), run("seed", 200), *(run("ours", tiles) for tiles in (150, 170, 400))]
    found = web_report.summary(runs)
    ours = found["medians"][-1]
    assert (ours["tiles_1"], ours["least"]["tiles_1"], ours["most"]["tiles_1"]) == (170, 150, 400)
    goals = {goal["text"]: goal["met"] for goal in found["goals"] if "tiles, HTTP/1.1" in goal["text"]}
    assert list(goals.values()) == [True, False]
    assert "1.70 times as many as Debian's default" in next(iter(goals))
    text = web_report.table({**found, "host": {"cpus": 2}})
    assert "170 (150 - 400)" in text and "NOT MET" in text
