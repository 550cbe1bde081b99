# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of restore.py mean: medians, phases, goals, a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.rows import POSTGRESQL, Row, goal, medians, number

NAMES = {
    "documented": "documented, four steps",
    "full": "pg_restore -j2 of a full backup",
    "ours": "catmaid.admin",
}
FIELDS = ("ready", "verified", "bytes", "memory", "cpu", "load")
# At the biggest size, medians of seconds until ready: how many times the documented restore takes ours, and how many
# times as long as the full one ours may take. Bytes: at most so many times those of the full backup.
FASTER, NOT_LATER, SMALLER = 3.0, 1.1, 0.6
MEBIBYTE = 1024 * 1024
# Okabe and Ito's, which the colour-blind tell apart: the same for the same kind of work, grey for what is short.
COLOURS = {
    **dict.fromkeys(("data", "restore"), "#56B4E9"),
    **dict.fromkeys(("rebuild", "post-data"), "#E69F00"),
    "analyze": "#0072B2",
    "verify": "#009E73",
}


def summary(runs: Sequence[Row]) -> dict[str, Any]:
    """Return the medians of each procedure, image and size, and which goals they meet."""
    found = medians(runs, NAMES, _median)
    return {"medians": found, "goals": _goals(found), "runs": list(runs)}


def table(document: dict[str, Any]) -> str:
    """Return medians, their phases, what differs from the original, and goals as text."""
    titles = [("ready", "s"), ("verified", "s"), ("backup", "MB"), ("CPU", "s"), ("memory", "MiB")]
    head = [f"{'PostgreSQL, treenodes, procedure' if line == 0 else '':<50}" for line in (0, 1)]
    lines = [text + "".join(f"{title[line]:>10}" for title in titles) for line, text in enumerate(head)]
    lines.append("-" * 100)
    for row in document["medians"]:
        values = [
            number(row["ready"], 1),
            number(row["verified"], 1),
            number(row["bytes"], 1, 1e6),
            number(row["cpu"], 1),
            number(row["memory"], 0, MEBIBYTE),
        ]
        title = f"{POSTGRESQL[row['image']]}  {row['treenodes'] / 1e6:>4g} M  {NAMES[row['variant']]}"
        lines.append(f"{title:<50}" + "".join(f"{value:>10}" for value in values))
        lines.append("        " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["phases"].items()))
        lines.append(f"        different from the original: {', '.join(row['different']) or 'nothing'}")
    lines.append("")
    for one in document["goals"]:
        lines.append(f"{'met    ' if one['met'] else 'NOT MET'}  {one['text']}")
    loads = [run["load"] for run in document["runs"]]
    lines.append(f"{document['host']['cpus']} CPUs; load of the machine {min(loads):.1f} to {max(loads):.1f}")
    return "\n".join(lines)


def plot(document: dict[str, Any], folder: Path) -> None:
    """Draw the seconds of each phase at the biggest size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    biggest = max(row["treenodes"] for row in document["medians"])
    rows = [row for row in document["medians"] if row["treenodes"] == biggest]
    images = list(dict.fromkeys(row["image"] for row in rows))
    figure, axes = pyplot.subplots(len(images), 1, figsize=(11, 1.1 + 1.9 * len(images)), squeeze=False, dpi=110)
    figure.suptitle(f"Restoring a CATMAID database with {biggest / 1e6:g} million treenodes", fontsize=13)
    for axis, image in zip(axes[:, 0], images):
        mine = [row for row in rows if row["image"] == image][::-1]
        for place, row in enumerate(mine):
            left = 0.0
            for name, seconds in row["phases"].items():
                colour = COLOURS.get(name, "#999999")
                checking = name == "verify"
                axis.barh(
                    place, seconds, left=left, height=0.62,
                    color="white" if checking else colour, edgecolor=colour if checking else "white",
                    hatch="////" if checking else "",
                )  # fmt: skip
                if seconds > 0.05 * max(other["ready"] for other in mine):
                    axis.text(left + seconds / 2, place, name, va="center", ha="center", fontsize=8)
                left += seconds
            verified = f", verified {row['verified']:.0f} s" if row["verified"] else ""
            axis.text(left, place, f" {row['ready']:.0f} s{verified}", va="center", fontsize=9)
        axis.set_yticks(range(len(mine)), [NAMES[row["variant"]] for row in mine])
        axis.set_title(f"PostgreSQL {POSTGRESQL[image]}", loc="left", fontsize=10)
        axis.set_xlabel("seconds until the database is ready (hatched: compared with the manifest)")
        axis.set_xlim(0, axis.get_xlim()[1] * 1.12)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    figure.tight_layout()
    figure.savefig(folder / "restore.png", facecolor="white")


def _median(runs: Sequence[Row]) -> Row:
    row: Row = {key: runs[0][key] for key in ("image", "treenodes", "variant")}
    for key in FIELDS:
        values = [float(run[key]) for run in runs if run.get(key) is not None]
        row[key] = round(median(values), 3) if values else None
    row["phases"] = {name: round(median(run["phases"][name] for run in runs), 3) for name in runs[0]["phases"]}
    row["different"] = next((run["different"] for run in runs if "different" in run), [])
    return row


def _goals(medians: Sequence[Row]) -> list[Row]:
    goals = []
    biggest = max(row["treenodes"] for row in medians)
    by = {(row["image"], row["variant"]): row for row in medians if row["treenodes"] == biggest}
    for image in dict.fromkeys(row["image"] for row in medians):
        where = f"PostgreSQL {POSTGRESQL[image]}, {biggest / 1e6:g} M:"
        documented, full, ours = (by[image, variant] for variant in NAMES)
        faster = documented["ready"] / ours["ready"]
        later = ours["ready"] / full["ready"]
        smaller = ours["bytes"] / full["bytes"]
        goals += [
            goal(f"{where} ready {faster:.2f} times sooner than documented (goal: {FASTER:g})", faster >= FASTER),
            goal(
                f"{where} {later:.2f} times as long as pg_restore -j2 of all (goal: at most {NOT_LATER:g})",
                later <= NOT_LATER,
            ),
            goal(f"{where} {smaller:.2f} times its bytes (goal: at most {SMALLER:g})", smaller <= SMALLER),
            goal(
                f"{where} differs from the original in: {', '.join(ours['different']) or 'nothing'}",
                not ours["different"],
            ),
        ]
    return goals
