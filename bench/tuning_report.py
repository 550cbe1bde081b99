# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of tuning.py mean: medians with their spread, what is a difference and what is none, table and plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.rows import POSTGRESQL, Row, goal, medians, number

NAMES = {"untuned": "untuned", "seed": "as CATMAID's manual says", "ours": "catmaid.admin"}
FIELDS = ("tps", "p95", "temp_files", "temp_bytes", "wal", "blocks_read", "shared_buffers", "bytes", "load")
MEBIBYTE = 1024 * 1024
COLOURS = {"untuned": "#999999", "seed": "#E69F00", "ours": "#0072B2"}
AT_LEAST = 2  # times shared_buffers


def summary(runs: Sequence[Row]) -> dict[str, Any]:
    """Return medians and spread of each variant, and what is a difference."""
    found = medians(runs, NAMES, _median)
    return {"medians": found, "goals": _goals(found), "runs": list(runs)}


def table(document: dict[str, Any]) -> str:
    """Return them as text."""
    titles = ["tps", "lowest", "highest", "p95 ms", "temp files", "temp MB", "WAL MB", "buffers MB", "data MB"]
    lines = [f"{'PostgreSQL, treenodes, tuning':<45}" + "".join(f"{title:>11}" for title in titles), "-" * 145]
    for row in document["medians"]:
        values = [
            number(row["tps"], 1), number(row["spread"][0], 1), number(row["spread"][1], 1), number(row["p95"], 1),
            number(row["temp_files"], 0), number(row["temp_bytes"], 0, 1e6), number(row["wal"], 0, 1e6),
            number(row["shared_buffers"], 0, MEBIBYTE), number(row["bytes"], 0, 1e6),
        ]  # fmt: skip
        title = f"{POSTGRESQL[row['image']]}  {row['treenodes'] / 1e6:>4g} M  {NAMES[row['variant']]}"
        lines.append(f"{title:<45}" + "".join(f"{value:>11}" for value in values))
        lines.append("        p95 ms: " + ", ".join(f"{name} {value:.1f}" for name, value in row["scripts"].items()))
    lines.append("")
    lines += [f"{'met    ' if one['met'] else 'NOT MET'}  {one['text']}" for one in document["goals"]]
    loads = [run["load"] for run in document["runs"]]
    lines.append(f"{document['host']['cpus']} CPUs; load of the machine {min(loads):.1f} to {max(loads):.1f}")
    return "\n".join(lines)


def difference(one: Row, other: Row) -> str:
    """Return what a variant gains against another one; nothing when their runs overlap."""
    percent = 100 * (one["tps"] / other["tps"] - 1)
    if one["spread"][0] > other["spread"][1]:
        return f"a gain of {percent:.0f} %"
    if one["spread"][1] < other["spread"][0]:
        return f"a loss of {-percent:.0f} %"
    return f"no gain: {percent:+.0f} % is within the spread"


def plot(document: dict[str, Any], folder: Path) -> None:
    """Draw transactions a second and the latency of each kind of them, every run as a point."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    biggest = max(row["treenodes"] for row in document["medians"])
    rows = [row for row in document["medians"] if row["treenodes"] == biggest]
    images = list(dict.fromkeys(row["image"] for row in rows))
    figure, axes = pyplot.subplots(len(images), 2, figsize=(11, 0.7 + 2.5 * len(images)), squeeze=False, dpi=110)
    figure.suptitle(f"A CATMAID-like load on {biggest / 1e6:g} million treenodes", fontsize=13)
    for (left, right), image in zip(axes, images):
        mine = [row for row in rows if row["image"] == image]
        for place, row in enumerate(mine):
            colour = COLOURS[row["variant"]]
            left.barh(-place, row["tps"], height=0.6, color=colour)
            runs = [r["tps"] for r in document["runs"] if _key(r) == _key(row)]
            left.plot(runs, [-place] * len(runs), "o", color="black", markersize=4)
            left.text(row["tps"], -place, f"   {row['tps']:.0f}", va="center", fontsize=9)
            for number_, value in enumerate(row["scripts"].values()):
                right.bar(number_ + 0.27 * (place - 1), value, width=0.25, color=colour)
        left.set_yticks([-place for place in range(len(mine))], [NAMES[row["variant"]] for row in mine])
        left.set_xlim(0, max(row["spread"][1] for row in mine) * 1.2)
        left.set_title(f"PostgreSQL {POSTGRESQL[image]}: transactions a second (points: runs)", loc="left", fontsize=10)
        right.set_xticks(range(len(mine[0]["scripts"])), list(mine[0]["scripts"]))
        right.set_yscale("log")
        right.set_title("latency, 95th percentile, ms", loc="left", fontsize=10)
        for axis in (left, right):
            axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(folder / "tuning.png", facecolor="white")


def _key(row: Row) -> tuple[Any, ...]:
    return row["image"], row["treenodes"], row["variant"]


def _median(runs: Sequence[Row]) -> Row:
    row: Row = {key: runs[0][key] for key in ("image", "treenodes", "variant")}
    for key in FIELDS:
        row[key] = round(median(float(run[key]) for run in runs), 3)
    row["spread"] = [round(pick(run["tps"] for run in runs), 3) for pick in (min, max)]
    row["scripts"] = {
        name: round(median(run["scripts"][name]["p95"] for run in runs), 3) for name in runs[0]["scripts"]
    }  # fmt: skip
    return row


def _goals(rows: Sequence[Row]) -> list[Row]:
    goals = []
    for image in dict.fromkeys(row["image"] for row in rows):
        for size in dict.fromkeys(row["treenodes"] for row in rows if row["image"] == image):
            by = {row["variant"]: row for row in rows if (row["image"], row["treenodes"]) == (image, size)}
            where = f"PostgreSQL {POSTGRESQL[image]}, {size / 1e6:g} M:"
            ours = by["ours"]
            for name in ("untuned", "seed"):
                told = difference(ours, by[name])
                goals.append(goal(f"{where} against {NAMES[name]}: {told}", not told.startswith("a loss")))
            times = ours["bytes"] / max(row["shared_buffers"] for row in by.values())
            goals.append(goal(f"{where} data {times:.1f} times the most shared_buffers (goal: 2)", times >= AT_LEAST))
    return goals
