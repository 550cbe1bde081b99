# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of fleet.py mean: how many times as long as one host many of them take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.rows import Row, goal

AT_MOST = 4  # times as long, for 20 hosts on 2 cores
FAST = "with pipelining"


def summary(runs: Sequence[Row]) -> dict[str, Any]:
    """Return the medians of each playbook and image, and which goals they meet."""
    found = []
    for image in dict.fromkeys(run["image"] for run in runs):
        for variant in dict.fromkeys(run["variant"] for run in runs):
            these = [run for run in runs if (run["image"], run["variant"]) == (image, variant)]
            few, many = min(run["hosts"] for run in these), max(run["hosts"] for run in these)
            one, all_ = (median(run["seconds"] for run in these if run["hosts"] == hosts) for hosts in (few, many))
            row = {"image": image, "variant": variant, "hosts": many, "one": one, "all": all_}
            found.append({**row, "times": round(all_ / one, 2)})
    goals = [
        goal(
            f"{row['image']}, {row['variant']}: {row['hosts']} hosts take {row['times']:.1f} times as long as one"
            f" (goal: under {AT_MOST})",
            row["times"] < AT_MOST,
        )
        for row in found
        if row["variant"].endswith(FAST)
    ]
    return {"medians": found, "goals": goals, "runs": list(runs)}


def table(document: dict[str, Any]) -> str:
    """Return medians and goals as text."""
    lines = [f"{'seconds, median':<42}{'one host':>12}{'all hosts':>12}{'times':>8}{'a host':>10}"]
    for row in document["medians"]:
        cells = f"{row['one']:>12.1f}{row['all']:>12.1f}{row['times']:>8.1f}{row['all'] / row['hosts']:>10.2f}"
        lines.append(f"{row['image']}  {row['variant']:<32}{cells}")
    lines.append("")
    lines += [f"{'met    ' if one['met'] else 'NOT MET'}  {one['text']}" for one in document["goals"]]
    loads = [run["load"] for run in document["runs"]]
    lines.append(f"{document['host']['cpus']} CPUs; load of the machine {min(loads):.1f} to {max(loads):.1f}")
    return "\n".join(lines)


def plot(document: dict[str, Any], folder: Path) -> None:
    """Draw what one host takes, and what all of them take."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    image = document["medians"][0]["image"]
    rows = [row for row in document["medians"] if row["image"] == image][::-1]
    figure, axis = pyplot.subplots(figsize=(9, 2.8), dpi=110)
    for place, row in enumerate(rows):
        # Okabe and Ito's colours, which the colour-blind tell apart.
        for number, (field, colour) in enumerate((("one", "#56B4E9"), ("all", "#0072B2"))):
            label = {"one": "one host", "all": f"{row['hosts']} hosts"}[field] if not place else None
            at = place + 0.2 - 0.4 * number
            axis.barh(at, row[field], height=0.38, color=colour, label=label)
            axis.text(row[field], at, f" {row[field]:.1f} s", va="center", fontsize=9)
    axis.set_yticks(range(len(rows)), [row["variant"] for row in rows])
    axis.set_xlim(0, axis.get_xlim()[1] * 1.12)
    axis.set_title("Seconds that a playbook takes", loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(folder / "fleet.png", facecolor="white")
