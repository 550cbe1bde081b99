# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of upgrade_plays.py mean: medians, phases, goals, a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.rows import POSTGRESQL, Row, goal, medians, number

NAMES = {
    "documented, warm": "documented, pip's cache full",
    "documented, cold": "documented, pip's cache empty",
    "ours": "catmaid.admin",
    "ours, online": "catmaid.admin, online",
    "rollback": "catmaid-admin rollback",
    "rollback, online": "catmaid-admin rollback, of online",
}
DOCUMENTED, OURS, ONLINE, ROLLBACK = "documented, warm", "ours", "ours, online", "rollback"
ROLLBACKS = (ROLLBACK, "rollback, online")
FIELDS = ("seconds", "down", "protect", "slowest", "bytes", "load")
# At the biggest size, medians of seconds without an answer: how many times less than the documented procedure with a
# full cache, the copy of the database not counted, which a rollback in seconds costs. Rollback: seconds of the command,
# and how many times as long it may take at the biggest size as at the smallest.
LESS = {OURS: 5.0, ONLINE: 10.0}
WITHIN, FLAT = 10.0, 1.5
ORDER = (
    "stop", "pull", "pip", "protect", "put back", "switch", "migrate", "collectstatic", "start", "verify", "record",
)  # fmt: skip
# Okabe and Ito's, which the colour-blind tell apart; grey for what is short.
COLOURS = {
    "pip": "#E69F00",
    "migrate": "#0072B2",
    "collectstatic": "#F0E442",
    "start": "#009E73",
    "protect": "#56B4E9",
    "stop": "#CC79A7",
}


def summary(runs: Sequence[Row]) -> dict[str, Any]:
    """Return the medians of each procedure, image and size, and which goals they meet."""
    found = medians(runs, NAMES, _median)
    return {"medians": found, "goals": _goals(found), "runs": list(runs)}


def table(document: dict[str, Any]) -> str:
    """Return medians, their phases and goals as text."""
    titles = [("away", "s"), ("of it copy", "s"), ("command", "s"), ("slowest", "s"), ("database", "MB")]
    head = [f"{'PostgreSQL, treenodes, procedure' if line == 0 else '':<50}" for line in (0, 1)]
    lines = [text + "".join(f"{title[line]:>11}" for title in titles) for line, text in enumerate(head)]
    lines.append("-" * 105)
    for row in document["medians"]:
        values = [number(row[key], 2) for key in ("down", "protect", "seconds", "slowest")]
        values.append(number(row["bytes"], 0, 1e6))
        title = f"{POSTGRESQL[row['image']]}  {row['treenodes'] / 1e6:>4g} M  {NAMES[row['variant']]}"
        lines.append(f"{title:<50}" + "".join(f"{value:>11}" for value in values))
        lines.append("        " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in row["phases"].items()))
    lines.append("")
    for one in document["goals"]:
        lines.append(f"{'met    ' if one['met'] else 'NOT MET'}  {one['text']}")
    loads = [run["load"] for run in document["runs"]]
    lines.append(f"{document['host']['cpus']} CPUs; load of the machine {min(loads):.1f} to {max(loads):.1f}")
    return "\n".join(lines)


def plot(document: dict[str, Any], folder: Path) -> None:
    """Draw for how long nobody is served at the biggest size, and what a rollback takes at each."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    image = document["medians"][0]["image"]
    rows = [row for row in document["medians"] if row["image"] == image]
    biggest = max(row["treenodes"] for row in rows)
    figure, (bars, lines) = pyplot.subplots(1, 2, figsize=(11, 3.6), width_ratios=(3, 2), dpi=110)
    figure.suptitle(f"Upgrading CATMAID, PostgreSQL {POSTGRESQL[image]}", fontsize=13)
    shown = [row for row in rows if row["treenodes"] == biggest and row["variant"] not in ROLLBACKS][::-1]
    for place, row in enumerate(shown):
        _draw(bars, place, row)
    bars.set_yticks(range(len(shown)), [NAMES[row["variant"]] for row in shown])
    bars.set_xlabel(f"seconds without an answer, {biggest / 1e6:g} million treenodes")
    bars.set_xlim(0, bars.get_xlim()[1] * 1.3)
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    bars.legend(handles, list(COLOURS), frameon=False, fontsize=8, loc="lower right")
    back = [row for row in rows if row["variant"] == ROLLBACK]
    sizes = [row["treenodes"] / 1e6 for row in back]
    lines.plot(sizes, [row["seconds"] for row in back], "o-", color="#0072B2", label="rollback: the whole command")
    lines.plot(sizes, [row["down"] for row in back], "o-", color="#E69F00", label="rollback: without an answer")
    copies = [row["protect"] for row in rows if row["variant"] == OURS]
    lines.plot(sizes, copies, "o--", color="#56B4E9", label="upgrade: copy of the database")
    lines.set_ylim(0, max(WITHIN, *(1.1 * row["seconds"] for row in back)))
    lines.set_xlabel("million treenodes")
    lines.set_ylabel("seconds")
    lines.legend(frameon=False, fontsize=8)
    for axis in (bars, lines):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x" if axis is bars else "y", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    figure.tight_layout()
    figure.savefig(folder / "upgrade.png", facecolor="white")


def _draw(axis: Any, place: int, row: Row) -> None:
    """Draw the phases of a procedure, as far as they are within the time that nobody was served."""
    left = 0.0
    for name, seconds in row["phases"].items():
        axis.barh(place, seconds, left=left, height=0.62, color=COLOURS.get(name, "#999999"), edgecolor="white")
        left += seconds
    copy = f", {row['protect']:.1f} s of it the copy" if row["protect"] else ""
    axis.text(max(left, row["down"]), place, f" {row['down']:.1f} s{copy}", va="center", fontsize=9)


def _median(runs: Sequence[Row]) -> Row:
    row: Row = {key: runs[0][key] for key in ("image", "treenodes", "variant")}
    for key in FIELDS:
        values = [float(run[key]) for run in runs if run.get(key) is not None]
        row[key] = round(median(values), 3) if values else None
    names = sorted(runs[0]["phases"], key=ORDER.index)
    row["phases"] = {name: round(median(run["phases"][name] for run in runs), 3) for name in names}
    return row


def _goals(medians: Sequence[Row]) -> list[Row]:
    goals = []
    sizes = [row["treenodes"] for row in medians]
    for image in dict.fromkeys(row["image"] for row in medians):
        by = {(row["variant"], row["treenodes"]): row for row in medians if row["image"] == image}
        where = f"PostgreSQL {POSTGRESQL[image]}, {max(sizes) / 1e6:g} M:"
        documented = by[DOCUMENTED, max(sizes)]["down"]
        for variant, wanted in LESS.items():
            row = by.get((variant, max(sizes)))
            if row:
                without = documented / max(0.1, row["down"] - (row["protect"] or 0))
                text = f"{where} {NAMES[variant]} is away {without:.1f} times less, without the copy (goal: {wanted:g})"
                goals.append(goal(f"{text}; {documented / max(0.1, row['down']):.1f} with it", without >= wanted))
        first, last = by[ROLLBACK, min(sizes)]["seconds"], by[ROLLBACK, max(sizes)]["seconds"]
        goals.append(goal(f"{where} a rollback takes {last:.1f} seconds (goal: below {WITHIN:g})", last < WITHIN))
        if max(sizes) > min(sizes):
            text = f"{where} {last / first:.2f} times those at {min(sizes) / 1e6:g} M (goal: at most {FLAT:g})"
            goals.append(goal(text, last / first <= FLAT))
    return goals
