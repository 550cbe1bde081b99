# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the reports of all benchmarks have in common: runs are grouped, numbers written, goals met or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

POSTGRESQL = {"bookworm": 15, "trixie": 17}

Row = dict[str, Any]


def medians(runs: Sequence[Row], variants: Iterable[str], median: Callable[[list[Row]], Row]) -> list[Row]:
    """Return what ``median`` makes of the runs of each image, size and variant."""
    found = []
    names = list(variants)
    for image in dict.fromkeys(run["image"] for run in runs):
        for size in dict.fromkeys(run["treenodes"] for run in runs):
            for variant in names:
                these = [r for r in runs if (r["image"], r["treenodes"], r["variant"]) == (image, size, variant)]
                if these:
                    found.append(median(these))
    return found


def goal(text: str, met: bool) -> Row:
    """Return a goal as the tables show it."""
    return {"text": text, "met": met}


def number(value: float | None, digits: int, unit: float = 1) -> str:
    """Write a number, or that there is none."""
    return "-" if value is None else f"{value / unit:.{digits}f}"
