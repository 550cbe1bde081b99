# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of backup.py mean: medians, factors, goals, a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.rows import POSTGRESQL, Row, medians, number

VARIANTS = ("seed", "two files", "ours", "ours, gzip:1")
NAMES = {
    "seed": "seed: pg_dump -Fc, all tables",
    "two files": "two files, as upstream",
    "ours": "catmaid.admin",
    "ours, gzip:1": "catmaid.admin, gzip:1",
}
SECONDS = ("written", "verified", "fingerprinted")
FIELDS = (*SECONDS, "bytes", "memory", "python_memory", "cpu", "python_cpu", "load")
# Against the two files, at the biggest size: seconds (how many times faster) or bytes (at most so many times as many).
GOALS = (
    ("bookworm", "ours", "written", 2.2),
    ("bookworm", "ours", "bytes", 0.9),
    ("bookworm", "ours", "verified", 1.8),
    ("bookworm", "ours, gzip:1", "written", 2.8),
    ("bookworm", "ours, gzip:1", "bytes", 1.22),
    ("trixie", "ours", "written", 3.0),
    ("trixie", "ours", "bytes", 1.0),
    ("trixie", "ours", "verified", 1.8),
)
MEBIBYTE = 1024 * 1024
FLAT = 1.25  # our own memory may grow so many times when the data do threefold


def summary(runs: Sequence[Row]) -> dict[str, Any]:
    """Return the medians of each variant, image and size, what they grow by, and which goals they meet."""
    found = medians(runs, VARIANTS, _median)
    for row in found:
        smaller = [r for r in found if _same(r, row) and r["treenodes"] < row["treenodes"]]
        row["growth"] = round(row["written"] / smaller[0]["written"], 2) if smaller else None
    return {"medians": found, "goals": _goals(found), "runs": list(runs)}


def table(document: dict[str, Any]) -> str:
    """Return medians and goals as text."""
    columns = (("written", "s"), ("verified", "s"), ("fingerpr.", "s"), ("size", "MB"))
    columns = (*columns, ("CPU", "s"), ("memory", "MiB"), ("Python", "MiB"), ("growth", "times"))
    titles = [" " * 50 + "".join(f"{column[line]:>10}" for column in columns) for line in (0, 1)]
    head = f"{'PostgreSQL, treenodes, procedure':<50}{titles[0][50:]}\n{titles[1]}"
    lines = [head, "-" * 130]
    for row in document["medians"]:
        values = [
            *(number(row[key], 2) for key in SECONDS),
            number(row["bytes"], 2, 1e6),
            number(row["cpu"], 1),
            *(number(row[key], 0, MEBIBYTE) for key in ("memory", "python_memory")),
            number(row["growth"], 2),
        ]
        title = f"{POSTGRESQL[row['image']]}  {row['treenodes'] / 1e6:>4g} M  {NAMES[row['variant']]}"
        lines.append(f"{title:<50}" + "".join(f"{value:>10}" for value in values))
    lines.append("")
    for one in document["goals"]:
        lines.append(f"{'met    ' if one['met'] else 'NOT MET'}  {one['text']}")
    loads = [row["load"] for row in document["medians"]]
    lines.append(f"{document['host']['cpus']} CPUs; load of the machine {min(loads):.1f} to {max(loads):.1f}")
    return "\n".join(lines)


def plot(document: dict[str, Any], folder: Path) -> None:
    """Draw seconds and megabytes at the biggest size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    biggest = max(row["treenodes"] for row in document["medians"])
    rows = [row for row in document["medians"] if row["treenodes"] == biggest]
    images = list(dict.fromkeys(row["image"] for row in rows))
    # Okabe and Ito's colours, which the colour-blind tell apart.
    colours = {"seed": "#999999", "two files": "#E69F00", "ours": "#0072B2", "ours, gzip:1": "#56B4E9"}
    figure, axes = pyplot.subplots(len(images), 2, figsize=(11, 1.1 + 1.9 * len(images)), squeeze=False, dpi=110)
    figure.suptitle(f"Backing up a CATMAID database with {biggest / 1e6:g} million treenodes", fontsize=13)
    for line, image in enumerate(images):
        mine = [row for row in rows if row["image"] == image][::-1]
        places = range(len(mine))
        names = [NAMES[row["variant"]] for row in mine]
        shown = [colours[row["variant"]] for row in mine]
        time, size = axes[line]
        written = [row["written"] for row in mine]
        more = [max(0.0, (row.get("verified") or 0) - row["written"]) for row in mine]
        time.barh(places, written, color=shown, height=0.62)
        time.barh(places, more, left=written, color="white", edgecolor=shown, hatch="////", height=0.62)
        size.barh(places, [row["bytes"] / 1e6 for row in mine], color=shown, height=0.62)
        for place, row in zip(places, mine):
            verified = row.get("verified")
            text = f" {row['written']:.1f} s" + (f", verified {verified:.1f} s" if verified else "")
            time.text(max(row["written"], verified or 0), place, text, va="center", fontsize=9)
            size.text(row["bytes"] / 1e6, place, f" {row['bytes'] / 1e6:.0f} MB", va="center", fontsize=9)
        time.set_yticks(places, names)
        size.set_yticks(places, [""] * len(mine))
        time.set_title(f"PostgreSQL {POSTGRESQL[image]}", loc="left", fontsize=10)
        time.set_xlabel("seconds until the archive is written (hatched: read back and checked)")
        size.set_xlabel("size of the backup (MB)")
        for axis in (time, size):
            axis.set_xlim(0, axis.get_xlim()[1] * 1.35)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="x", color="#dddddd", linewidth=0.6)
            axis.set_axisbelow(True)
    figure.tight_layout()
    figure.savefig(folder / "backup.png", facecolor="white")


def _median(runs: Sequence[Row]) -> Row:
    row: Row = {key: runs[0][key] for key in ("image", "treenodes", "variant")}
    for key in FIELDS:
        values = [float(run[key]) for run in runs if run.get(key) is not None]
        row[key] = round(median(values), 3) if values else None
    row["compression"] = runs[0].get("compression")
    return row


def _same(one: Row, other: Row) -> bool:
    return (one["image"], one["variant"]) == (other["image"], other["variant"])


def _goals(medians: Sequence[Row]) -> list[Row]:
    goals = []
    biggest = max(row["treenodes"] for row in medians)
    by = {(row["image"], row["variant"], row["treenodes"]): row for row in medians}
    for image, variant, key, wanted in GOALS:
        base, ours = by.get((image, "two files", biggest)), by.get((image, variant, biggest))
        if not base or not ours:
            continue
        where = f"PostgreSQL {POSTGRESQL[image]}, {biggest / 1e6:g} M, {NAMES[variant]}:"
        if key == "bytes":
            factor = ours["bytes"] / base["bytes"]
            text, met = (
                f"{where} {factor:.2f} times the bytes of two files (goal: at most {wanted:g})",
                factor <= wanted,
            )
        else:
            factor = base["written"] / ours[key]
            text = f"{where} {key} {factor:.2f} times faster than two files are written (goal: {wanted:g})"
            met = factor >= wanted
        goals.append({"text": text, "factor": round(factor, 3), "goal": wanted, "met": met})
    for (image, variant, size), row in by.items():
        first = min(row["treenodes"] for row in medians)
        if row["python_memory"] and size == biggest > first:
            factor = row["python_memory"] / by[image, variant, first]["python_memory"]
            text = f"PostgreSQL {POSTGRESQL[image]}, {NAMES[variant]}: our Python's memory grows {factor:.2f} times"
            goals.append(
                {"text": f"{text} (goal: {FLAT:g})", "factor": round(factor, 3), "goal": FLAT, "met": factor <= FLAT}
            )
    return goals
