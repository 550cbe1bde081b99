# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of web.py mean: medians and spreads of requests a second, goals, a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.rows import Row, goal, medians

# What the playbook provision is told
SITE = {"catmaid_https": True, "catmaid_nginx_ssl_tiles": [{"path": "/data/", "root": "/srv/tiles"}]}
NAMES = {"debian": "Debian's default", "seed": "CATMAID's manual", "ours": "catmaid.admin"}
FIELDS = {
    "tiles_1": "tiles, HTTP/1.1",
    "tiles_2": "tiles, HTTP/2",
    "api_1": "answers, HTTP/1.1",
    "api_2": "answers, HTTP/2",
}
# As many as each of the others, at least, but for what differs between two runs of one site
AT_LEAST = 0.95


def summary(runs: Sequence[Row]) -> dict[str, Any]:
    """Return the medians of each site and image with their spreads, and which goals they meet."""
    found = medians(runs, NAMES, _median)
    return {"medians": found, "goals": _goals(found), "runs": list(runs)}


def table(document: dict[str, Any]) -> str:
    """Return medians, spreads and goals as text."""
    lines = [f"{'requests a second, median (least - most)':<42}" + "".join(f"{name:>28}" for name in FIELDS.values())]
    for row in document["medians"]:
        cells = [f"{row[field]:.0f} ({row['least'][field]:.0f} - {row['most'][field]:.0f})" for field in FIELDS]
        lines.append(f"{row['image']}  {NAMES[row['variant']]:<32}" + "".join(f"{cell:>28}" for cell in cells))
    lines.append("")
    lines += [f"{'met    ' if one['met'] else 'NOT MET'}  {one['text']}" for one in document["goals"]]
    loads = [run["load"] for run in document["runs"]]
    lines.append(f"{document['host']['cpus']} CPUs; load of the machine {min(loads):.1f} to {max(loads):.1f}")
    return "\n".join(lines)


def plot(document: dict[str, Any], folder: Path) -> None:
    """Draw requests a second of each site, with their spreads."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    image = document["medians"][0]["image"]
    rows = [row for row in document["medians"] if row["image"] == image][::-1]
    # Okabe and Ito's colours, which the colour-blind tell apart.
    colours = {"debian": "#999999", "seed": "#E69F00", "ours": "#0072B2"}
    figure, axes = pyplot.subplots(1, len(FIELDS), figsize=(13, 2.6), dpi=110)
    for axis, (field, title) in zip(axes, FIELDS.items()):
        for place, row in enumerate(rows):
            spread = [[row[field] - row["least"][field]], [row["most"][field] - row[field]]]
            axis.barh(place, row[field], xerr=spread, color=colours[row["variant"]], height=0.62, ecolor="#333333")
            axis.text(row["most"][field], place, f" {row[field]:.0f}", va="center", fontsize=9)
        axis.set_yticks(range(len(rows)), [NAMES[row["variant"]] if axis is axes[0] else "" for row in rows])
        axis.set_title(f"{title} a second", loc="left", fontsize=10)
        axis.set_xlim(0, axis.get_xlim()[1] * 1.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(folder / "web.png", facecolor="white")


def _median(runs: Sequence[Row]) -> Row:
    row: Row = {key: runs[0][key] for key in ("image", "treenodes", "variant")}
    row.update({field: median(run[field] for run in runs) for field in FIELDS})
    row["least"] = {field: min(run[field] for run in runs) for field in FIELDS}
    row["most"] = {field: max(run[field] for run in runs) for field in FIELDS}
    return row


def _goals(found: Sequence[Row]) -> list[Row]:
    goals = []
    by = {(row["image"], row["variant"]): row for row in found}
    for image in dict.fromkeys(row["image"] for row in found):
        for field, title in FIELDS.items():
            for other in ("debian", "seed"):
                factor = by[image, "ours"][field] / by[image, other][field]
                text = f"{image}, {title}: {factor:.2f} times as many as {NAMES[other]} (goal: {AT_LEAST:g})"
                goals.append(goal(text, factor >= AT_LEAST))
    return goals
