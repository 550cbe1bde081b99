# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the rebuild of the geometry tables is: which of them, what of how many, how long still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..postgres import growth, twin
from ..progress import Meter, Report, ticking
from ..steps import Step
from .geometry import DERIVATIONS
from .materializations import GEOMETRY

# Of a table that was never analysed: what is usual, in comparison with the others.
USUAL = {"treenode_edge": 10.0, "treenode_connector_edge": 2.0, "connector_geom": 1.0}
WIDER = 1.3  # a row of a geometry table against one that it comes from
PARTS = 1000  # that the meter counts of each unit, as it knows whole numbers only


def estimated_rows(cursor: Any) -> dict[str, float]:
    """Return about how many rows each table will have: as many as what it comes from."""
    names = {table: DERIVATIONS[table].sources[0] for table in GEOMETRY}
    cursor.execute(
        "SELECT relname, reltuples FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s)",
        [list(names.values())],
    )
    rows = {str(name): float(rows) for name, rows in cursor.fetchall()}
    if all(rows.get(source, -1.0) <= 0 for source in names.values()):
        return dict(USUAL)
    return {table: max(1.0, rows.get(source, 0.0)) for table, source in names.items()}


class Watch:
    """Reports how far the steps are. Without a session to look with it knows of steps that are done."""

    def __init__(self, observer: Any, what: str, report: Report | None) -> None:
        self._observer = observer
        self._what = what
        self._report = report
        self._steps: dict[str, Step] = {}
        self._rows: Mapping[str, float] = {}
        self._done: set[str] = set()
        self._meter = Meter(what, 0, None)

    @contextmanager
    def over(self, plan: Sequence[Step], rows: Mapping[str, float]) -> Iterator[None]:
        """Report while the body takes these steps."""
        if self._report is None:
            yield
            return
        self._steps = {step.name: step for step in plan}
        self._rows = rows
        self._meter = Meter(self._what, int(PARTS * sum(step.cost for step in plan)), self._report)
        self._tell({})
        with ticking(lambda: growth.harmless(self._look)):
            yield
        self._meter.finish(self._text())

    def ended(self, name: str) -> None:
        """Take note of a step that is done."""
        self._done.add(name)

    def _look(self) -> None:
        if not self._observer:
            self._tell({})
            return
        sources = {table: f"public {DERIVATIONS[table].sources[0]}" for table in GEOMETRY}
        twins = {table: f"{twin.SCHEMA} {table}" for table in GEOMETRY}
        sizes = growth.loading(self._observer, [*sources.values(), *twins.values()]).sizes
        shares = {}
        for table in GEOMETRY:
            here, there = sizes.get(twins[table], 0), sizes.get(sources[table], 0)
            if here and there:
                shares[f"fill {table}"] = min(growth.ALMOST, here / (there * WIDER))
        for name, share in growth.building(self._observer).under_way.items():
            shares[name.partition(" ")[2]] = share
        self._tell({name: share for name, share in shares.items() if name in self._steps.keys() - self._done})

    def _tell(self, under_way: Mapping[str, float]) -> None:
        done = sum(self._steps[name].cost for name in self._done)
        done += sum(share * self._steps[name].cost for name, share in under_way.items())
        item = max(under_way, key=lambda name: self._steps[name].cost, default="")
        table = item.removeprefix("fill ")
        if table in self._rows and self._rows[table] > max(USUAL.values()):
            item += f", about {self._rows[table]:.0f} rows"
        self._meter.reach(int(PARTS * done), item, self._text())

    def _text(self) -> str:
        return f"{len(self._done)} of {len(self._steps)} steps"
