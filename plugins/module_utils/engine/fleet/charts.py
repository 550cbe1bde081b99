# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How backups have grown, as small charts: lines for those who see them, a sentence and a table for everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..backups import store
from ..progress import size
from ..webpage import escape, heads

WIDTH, HEIGHT, EDGE = 300, 72, 6
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Measure:
    """What a chart is of."""

    key: str
    title: str
    told: Callable[[Any], str]
    exact: Callable[[Any], str]


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _number(number: int) -> str:
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 1000)):
        if number >= factor:
            return f"{number / factor:.1f}\u00a0{unit}"
    return str(number)


def _in_full(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")


MEASURES = (
    Measure("bytes", "Size", size, size),
    Measure("seconds", "Duration", _seconds, _seconds),
    Measure("rows", "Rows", _number, _in_full),
)

History = Sequence[Mapping[str, Any]]


def charts(history: History, host: str) -> Iterator[str]:
    """Yield a figure for each measure, and all figures as a table."""
    if not history:
        yield "<p>There is no verified backup.</p>"
        return
    yield '<div class="charts">'
    for measure in MEASURES:
        yield from _figure(measure, history, host)
    yield "</div>"
    yield "<details>"
    yield f'<summary>The figures of {_backups(history)}<span class="hidden"> of {escape(host)}</span></summary>'
    yield "<table>"
    yield f'<caption class="hidden">Backups of {escape(host)}</caption>'
    yield heads(("Finished", *(measure.title for measure in MEASURES)))
    for backup in reversed(history):
        cells = "".join(f"<td>{escape(measure.exact(backup[measure.key]))}</td>" for measure in MEASURES)
        yield f'<tr><th scope="row">{_day(backup)} {backup["finished"][11:16]}</th>{cells}</tr>'
    yield "</table>"
    yield "</details>"


def _figure(measure: Measure, history: History, host: str) -> Iterator[str]:
    values = [backup[measure.key] for backup in history]
    yield "<figure>"
    yield f"<figcaption>{measure.title} <strong>{escape(measure.told(values[-1]))}</strong></figcaption>"
    said = escape(f"{measure.title} of {_backups(history)} of {host}: {_sentence(measure, values)}.")
    yield f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{said}">'
    points = _points(history, values)
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    first, last = points[0], points[-1]
    if len(points) > 1:
        yield f'<path class="area" d="M{first[0]:.1f} {HEIGHT}L{line}L{last[0]:.1f} {HEIGHT}Z"/>'
        yield f'<path class="line" d="M{line}"/>'
    yield f'<path class="base" d="M0 {HEIGHT}H{WIDTH}"/>'
    yield f'<path class="dot" d="M{last[0]:.1f} {last[1]:.1f}h.01"/>'
    yield "</svg>"
    ends = [history[0], history[-1]] if len(history) > 1 else [history[-1]]
    yield '<p class="ends">' + "".join(f"<span>{_day(end)[:-5]}</span>" for end in ends) + "</p>"
    yield "</figure>"


def _sentence(measure: Measure, values: Sequence[Any]) -> str:
    if len(values) == 1:
        return measure.told(values[0])
    told = [measure.told(value) for value in (values[0], values[-1], min(values), max(values))]
    return f"first {told[0]}, last {told[1]}, at least {told[2]}, at most {told[3]}"


def _points(history: History, values: Sequence[Any]) -> list[tuple[float, float]]:
    """Return where the values are: the time from left to right, from nothing at the bottom to the highest."""
    times = [store.parse_time(backup["finished"]).timestamp() for backup in history]
    begin, whole, highest = times[0], times[-1] - times[0], max([*values, 0]) or 1
    across, up = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
    return [
        (EDGE + across * ((at - begin) / whole if whole else 1), HEIGHT - EDGE / 2 - up * max(value, 0) / highest)
        for at, value in zip(times, values)
    ]


def _backups(history: History) -> str:
    return "one backup" if len(history) == 1 else f"{len(history)} backups"


def _day(backup: Mapping[str, Any]) -> str:
    year, month, day = str(backup["finished"])[:10].split("-")
    return f"{int(day)}\u00a0{MONTHS[int(month) - 1]}\u00a0{year}"
