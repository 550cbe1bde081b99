# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a restore is, phase by phase. Whatever goes wrong here, the restore does not notice.

How much there is to load is known of a backup by its manifest, and of other archives by their files at most: of one in
a single file the programs that load several tables at a time do not tell how far they are.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..catmaid import geometry
from ..postgres import growth, reading
from ..postgres.restore import Archive
from ..postgres.server import Server
from ..postgres.toc import Entry
from ..progress import Meter, Report, amount, size, ticking
from . import costs, verify

BASE = 65536  # what the smallest index costs
WIDER = 1.3  # a row of a geometry table against one that it comes from


class Phase:
    """A phase of which nobody knows how long it takes."""

    def __init__(self, what: str, report: Report) -> None:
        self.meter = Meter(what, 0, report)

    def begin(self, connection: Any) -> None:
        """Tell that it has begun."""
        self.meter.reach(0)

    def look(self, connection: Any) -> None:
        """Tell how far it is."""
        self.meter.reach(0)

    def done(self, table: str) -> None:
        """Take note that a table is complete, of which this is the text in the archive."""

    def finish(self) -> None:
        """Tell that it is over."""
        self.meter.finish()


@dataclass(frozen=True)
class Expected:
    """What will be in a table: ``rows`` is -1 where that is unknown, ``source`` is what it is filled from."""

    bytes: int
    rows: int = -1
    source: str = ""

    @property
    def weight(self) -> float:
        """How long it takes, against others."""
        return self.bytes * (costs.FILLING if self.source else 1.0) if self.rows else 0.0


class Rows(Phase):
    """Loading tables of known sizes, and filling others from them."""

    def __init__(self, what: str, report: Report, tables: Mapping[str, Expected]) -> None:
        self._tables = tables
        self._done: set[str] = set()
        self._loaded = sum(table.bytes for table in tables.values() if not table.source and table.rows)
        self.meter = Meter(what, int(sum(table.weight for table in tables.values())), report)

    def begin(self, connection: Any) -> None:
        self.meter.reach(0, text=amount(0, self._loaded))

    def done(self, table: str) -> None:
        self._done.update([name for name in names(table, 2) if name in self._tables][:1])

    def look(self, connection: Any) -> None:
        # Of what a table is filled from, the size is needed again.
        sources = {table.source for table in self._tables.values() if table.source}
        state = growth.loading(connection, (self._tables.keys() - self._done) | (sources - {""}))
        done = loaded = 0.0
        running: dict[str, float] = {}
        for name, table in self._tables.items():
            share = self._share(name, table, state)
            if name in state.copying or 0 < share < 1:
                running[name] = table.weight
            done += share * table.weight
            loaded += 0 if table.source or not table.rows else share * table.bytes
        item = max(running, key=lambda name: running[name], default="")
        prefix = "filling " if item and self._tables[item].source else ""
        self.meter.reach(int(done), prefix + _short(item), amount(int(loaded), self._loaded))

    def _share(self, name: str, table: Expected, state: growth.Loading) -> float:
        if name in self._done:
            return 1.0
        here = state.sizes.get(name, 0)
        if table.source:  # until it is told to be done
            there = state.sizes.get(table.source, 0)
            return min(growth.ALMOST, here / (there * WIDER)) if there else 0.0
        if name not in state.copying:
            return 1.0 if here else 0.0
        if table.rows > 0 and state.copying[name]:
            return min(growth.ALMOST, state.copying[name] / table.rows)
        return min(growth.ALMOST, here / max(1, table.bytes))

    def finish(self) -> None:
        self.meter.finish(amount(self._loaded, self._loaded))


class Unknown(Phase):
    """Loading tables of which nobody knows how large they will be."""

    def look(self, connection: Any) -> None:
        state = growth.loading(connection, None)
        item = max(state.copying, key=lambda name: state.sizes.get(name, 0), default="")
        total = sum(state.sizes.values())
        self.meter.reach(0, _short(item), size(total) if total else "")


class Files(Phase):
    """Loading what is read from files that tell how far they have been read."""

    def __init__(self, what: str, report: Report, path: str) -> None:
        self._path = os.path.realpath(path)
        self._positions = reading.Positions({name: os.path.getsize(name) for name in reading.files(self._path)})
        self.meter = Meter(what, sum(self._positions.sizes.values()), report)

    def look(self, connection: Any) -> None:
        self.meter.reach(self._positions.see(reading.open_files(self._path)))


class Indexes(Phase):
    """Building indexes and constraints, each with what it costs; with 0 where no sizes are known."""

    def __init__(self, what: str, report: Report, expected: Mapping[Entry, float]) -> None:
        self._known = any(expected.values())
        self._costs = {entry.text: cost + BASE for entry, cost in expected.items()}
        # A constraint is named behind its table.
        self._texts = {name: e.text for e in expected for name in names(e.text, 2 if e.kind == "INDEX" else 3)}
        self.meter = Meter(what, int(sum(self._costs.values())), report, estimates=self._known)

    def begin(self, connection: Any) -> None:
        done, item, text = self._see(connection)
        self.meter.begin(done)
        self.meter.reach(done, item, text)

    def look(self, connection: Any) -> None:
        self.meter.reach(*self._see(connection))

    def _see(self, connection: Any) -> tuple[int, str, str]:
        state = growth.building(connection)
        made = {self._texts[name] for name in state.made if name in self._texts}
        under_way = {name: share for name, share in state.under_way.items() if self._texts.get(name, "") not in made}
        under_way = {name: share for name, share in under_way.items() if name in self._texts}
        done = sum(self._costs[text] for text in made)
        if self._known:
            done += sum(share * self._costs[self._texts[name]] for name, share in under_way.items())
        item = max(under_way, key=lambda name: self._costs[self._texts[name]], default="")
        return int(done), _short(item), f"{len(made)} of {len(self._costs)}"

    def finish(self) -> None:
        self.meter.finish(f"{len(self._costs)} of {len(self._costs)}")


@dataclass
class Watch:
    """Shows one phase after the other. Without a ``report`` there is nothing to do."""

    database: str = ""
    report: Report | None = None
    connection: Any = None
    _phase: Phase | None = field(default=None, repr=False)

    def schema(self) -> None:
        """The tables are being made."""
        if self.report:
            self._begin(Phase(f"making the tables of {self.database}", self.report))

    def rows(self, source: verify.Source, archive: Archive, fillable: Mapping[int, str]) -> None:
        """The rows are being loaded, and tables filled."""
        what = f"loading the rows of {self.database}"
        if not self.report:
            return
        if source.script and not source.rows:
            self._begin(Files(what, self.report, source.schema))
            return
        if source.manifest:
            tables = expected(source, archive.contents.entries, archive.skip, fillable)
            self._begin(Rows(what, self.report, tables))
        elif os.path.isdir(source.archive):
            self._begin(Files(what, self.report, source.archive))
        else:
            self._begin(Unknown(what, self.report))

    def filling(self) -> None:
        """The geometry tables are being filled after all others."""
        if self.report:
            self._begin(Phase(f"filling the geometry tables of {self.database}", self.report))

    def indexes(self, source: verify.Source, archive: Archive, definitions: Mapping[str, str]) -> None:
        """Only indexes and constraints are missing, and what hardly takes time."""
        if self.report:
            entries = [entry for entry in archive.contents.entries if entry.line not in archive.skip]
            costs_of = index_costs(entries, costs.sizes(source), definitions)
            self._begin(Indexes(f"building the indexes of {self.database}", self.report, costs_of))

    def done(self, table: str) -> None:
        """Take note that a table is complete."""
        if self._phase:
            self._phase.done(table)

    def finish(self) -> None:
        """Tell that the phase is over."""
        if self._phase:
            self._phase.finish()
        self._phase = None

    def tick(self) -> None:
        """Look how far it is."""
        phase = self._phase
        if phase:
            growth.harmless(lambda: phase.look(self.connection))

    def _begin(self, phase: Phase) -> None:
        self.finish()
        growth.harmless(lambda: phase.begin(self.connection))
        self._phase = phase


@contextmanager
def watching(server: Server, database: str, report: Report | None) -> Iterator[Watch]:
    """Yield what shows how far the restore of the body is, by a session of its own."""
    if report is None:
        yield Watch()
        return
    with growth.observer(server, database) as connection:
        watch = Watch(database, report, connection) if connection else Watch()
        with ticking(watch.tick):
            yield watch
        watch.finish()


def expected(
    source: verify.Source, entries: Sequence[Entry], skip: Collection[str], fillable: Mapping[int, str]
) -> dict[str, Expected]:
    """Return what will be loaded, by "schema name" as the manifest has it.

    ``fillable`` are the tables to be filled, by their numbers in the archive.
    """
    told = {f"{t['schema']} {t['name']}": t for t in (source.manifest or {}).get("tables", [])}
    found = {}
    for entry in entries:
        if entry.kind == "TABLE DATA" and entry.line not in skip:
            for name in [name for name in names(entry.text, 2) if name in told][:1]:
                found[name] = Expected(int(told[name]["bytes"]), int(told[name]["rows"]))
    for name in fillable.values():
        comes_from = f"public {geometry.DERIVATIONS[name].sources[0]}"
        if comes_from in found:
            found[f"public {name}"] = Expected(found[comes_from].bytes, found[comes_from].rows, comes_from)
    return found


def index_costs(
    entries: Sequence[Entry], sizes: Mapping[int, int], definitions: Mapping[str, str]
) -> dict[Entry, float]:  # fmt: skip
    """Return what each index and constraint costs."""
    return {
        entry: max((sizes.get(table, 0) for table in entry.depends), default=0) * costs.of_index(entry, definitions)
        for entry in entries
        if entry.kind in ("INDEX", "CONSTRAINT", "FK CONSTRAINT")
    }


def names(text: str, least: int) -> list[str]:
    """Return what the text of an entry may name, the longest first: a role of several words stands behind the name."""
    words = text.split(" ")
    return [" ".join(words[:number]) for number in range(len(words) - 1, least - 1, -1)]


def _short(name: str) -> str:
    return name.removeprefix("public ") if name.startswith("public ") else name.replace(" ", ".", 1)
