# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting the sections of an archive into a database, so that no core waits while there is work.

pg_restore alone goes section by section, and takes a table without rows in the archive for a small one. Here an index
is built as soon as its table is complete, the long ones first, and the geometry tables that the archive leaves out are
filled between their sources and their indexes: before that nothing slows them down, and no trigger is there yet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from .. import steps
from ..catmaid import geometry
from ..catmaid.materializations import GEOMETRY
from ..errors import CatmaidError
from ..postgres import decompress, restore
from ..postgres.restore import SECTIONS, Archive, Part
from ..postgres.server import Server
from ..postgres.toc import Entry
from ..progress import Report
from ..steps import Running, Step
from . import costs, loadwatch, verify
from .loadwatch import Watch

BIG = 4 * 1024 * 1024  # a table's rows, in bytes: worth a program of its own
SMALL_TABLES = "the rows of small tables"


@dataclass(frozen=True)
class Load:
    """What is to be put where. ``fill`` says whether geometry tables without rows are to be filled."""

    server: Server
    database: str
    source: verify.Source
    archive: Archive
    sections: Sequence[str] = SECTIONS
    jobs: int = 1
    fill: bool = True
    on_progress: Report | None = None


@dataclass
class Loaded:
    """What came of it: seconds by section, and the rows of the tables that were filled."""

    seconds: dict[str, float] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)


def run(load: Load) -> Loaded:
    """Restore the sections in their order, as far as they need it."""
    loaded = Loaded()
    with loadwatch.watching(load.server, load.database, load.on_progress) as watch:
        if "pre-data" in load.sections:
            watch.schema()
            part = Part("pre-data", None, load.jobs)
            loaded.seconds["pre-data"] = restore.run_part(load.server, load.database, load.archive, part)
        early: frozenset[str] = frozenset()
        ahead = 0.0
        if "data" in load.sections:
            early, ahead = _rows(load, loaded, watch)
        if "post-data" in load.sections:
            if "data" not in load.sections:
                watch.indexes(load.source, load.archive, _definitions(load))
            late = [entry.line for entry in load.archive.contents.entries if entry.line not in early]
            part = Part("post-data", frozenset(late), load.jobs)
            last = restore.run_part(load.server, load.database, load.archive, part)
            loaded.seconds["post-data"] = round(ahead + last, 3)
    return loaded


def check(load: Load, loaded: Loaded) -> None:
    """Compare the rows of each table that was filled with those that it comes from: one for each."""
    different = []
    with load.server.connect(load.database) as connection, connection.cursor() as cursor:
        for name in loaded.filled:
            source = geometry.DERIVATIONS[name].sources[0]
            cursor.execute(
                f"SELECT (SELECT count(*) FROM ONLY public.{name}), (SELECT count(*) FROM ONLY public.{source})"
            )
            rows, wanted = cursor.fetchone()
            if rows != wanted:
                different.append(f"public.{name} has {rows} rows, and public.{source}, of which it is made, {wanted}")
    if different:
        raise CatmaidError(
            f"filling the geometry tables of {load.database}",
            "; ".join(different),
            "Set fill to false, and let rebuild_materializations build them.",
            different=different,
        )


def independent(entries: Sequence[Entry], tables: Collection[int]) -> list[tuple[Entry, int]]:
    """Return the indexes that need nothing but one of ``tables``, each with that table.

    That is no index that calls a function of the database's own, which may look at other tables, and none that needs
    another index. Types and extensions are there before any row is.
    """
    harmless = {entry.dump_id for entry in entries if entry.kind in ("TABLE", "TYPE", "EXTENSION")}
    here = {entry.dump_id for entry in entries}
    found = []
    for entry in entries:
        of = set(tables) & set(entry.depends)
        if entry.kind in ("INDEX", "CONSTRAINT") and len(of) == 1 and not set(entry.depends) & here - harmless:
            found.append((entry, of.pop()))
    return found


def _rows(load: Load, loaded: Loaded, watch: Watch) -> tuple[frozenset[str], float]:
    """Load all rows, and build long indexes; return the lines of these, and the seconds that only they took."""
    with ExitStack() as stack:
        plan = _Plan(load, loaded, stack)
        watch.rows(load.source, load.archive, plan.fillable)
        missing = {step.name for step in plan.steps} - set(plan.early)

        def ended(name: str) -> None:
            for table in plan.completed_by(name):
                watch.done(table)
            missing.discard(name)
            if not missing and name not in plan.early and "post-data" in load.sections:
                watch.indexes(load.source, load.archive, plan.definitions)

        spans = steps.run(plan.steps, load.jobs, ended)
    rows = max(span.ended for name, span in spans.items() if name not in plan.early)
    filling = [spans[f"fill {name}"].seconds for name in loaded.filled]
    loaded.seconds["data"] = round(rows, 3)
    if filling:
        loaded.seconds["fill"] = round(sum(filling), 3)
    ahead = max(span.ended for span in spans.values()) - rows
    return frozenset(plan.early), ahead


class _Plan:
    """The steps of loading an archive."""

    def __init__(self, load: Load, loaded: Loaded, stack: ExitStack) -> None:
        self._load = load
        self._loaded = loaded
        self._entries = [e for e in load.archive.contents.entries if e.line not in load.archive.skip]
        self._tables = {e.dump_id: e for e in self._entries if e.kind == "TABLE"}
        self._made_by: dict[int, str] = {}  # the step after which a table is complete
        self.steps: list[Step] = []
        self.early: list[str] = []
        known = costs.sizes(load.source)
        self.fillable = self._fillable() if load.fill else {}
        for table, name in self.fillable.items():
            known[table] = known.get(self._table(geometry.DERIVATIONS[name].sources[0]), 0)
        # With one job nothing goes side by side, and of a tar each program would read all.
        alone = load.jobs == 1 or load.archive.contents.format == "tar"
        self._big = {} if alone else {table: size for table, size in known.items() if size >= BIG}
        self._add_rows()
        for table, name in self.fillable.items():
            # A program of ours must not log in as another user while others are started: the user is the process's.
            settings = {**restore.load_settings(load.jobs), **filling(load.jobs)}
            connection = stack.enter_context(load.server.connect(load.database, settings=settings, autocommit=True))
            self._add_filling(table, name, connection)
        self.definitions: Mapping[str, str] = {}
        if "post-data" in load.sections:
            self.definitions = _definitions(load) if self._big or load.on_progress else {}
            self._add_indexes()

    def completed_by(self, step: str) -> list[str]:
        """Return the tables that are complete when this step is done, as the archive has them."""
        return [self._tables[table].text for table, name in self._made_by.items() if name == step]

    def _add_rows(self) -> None:
        small = [e.line for e in self._entries if e.kind != "TABLE DATA" or not self._big.keys() & set(e.depends)]
        several = not self._big and not decompress.needed(self._load.archive.path, self._load.archive.version)
        jobs = self._load.jobs if several else 1
        self._add(SMALL_TABLES, Part("data", frozenset(small), jobs, self._load.jobs), cost=BIG)
        for entry in self._entries:
            for table in self._big.keys() & set(entry.depends) if entry.kind == "TABLE DATA" else ():
                part = Part("data", frozenset([entry.line]), share=self._load.jobs)
                self._made_by[table] = f"rows {entry.line}"
                self._add(self._made_by[table], part, cost=self._big[table])

    def _add_filling(self, table: int, name: str, connection: Any) -> None:
        sources = [self._table(source) for source in geometry.DERIVATIONS[name].sources]
        # What release it is tells a small table.
        after = {SMALL_TABLES, *(self._made_by.get(source, SMALL_TABLES) for source in sources)}

        def fill(running: Running) -> None:
            with running.query(connection), connection.cursor() as cursor:
                if geometry.known(cursor):
                    self._loaded.filled[name] = geometry.fill(cursor, name)

        self._made_by[table] = f"fill {name}"
        cost = costs.FILLING * self._big.get(table, 0)
        self.steps.append(Step(self._made_by[table], fill, frozenset(after), cost))

    def _add_indexes(self) -> None:
        for entry, table in independent(self._entries, self._big):
            self.early.append(entry.line)
            self._add(
                entry.line,
                Part("post-data", frozenset([entry.line]), share=self._load.jobs),
                after=[self._made_by[table]],
                cost=self._big[table] * costs.of_index(entry, self.definitions),
                on=str(table),
                alone=entry.kind == "CONSTRAINT",
            )

    def _add(self, name: str, part: Part, *, after: Collection[str] = (), **more: Any) -> None:
        load = self._load

        def run_part(running: Running) -> None:
            restore.run_part(load.server, load.database, load.archive, part, running.process)

        self.steps.append(Step(name, run_part, frozenset(after), **more))

    def _fillable(self) -> dict[int, str]:
        """Return the geometry tables that the archive has without their rows, by their numbers."""
        everything = self._load.archive.contents.entries
        full = {number for e in everything if e.kind == "TABLE DATA" for number in e.depends}
        found = {}
        for name in GEOMETRY:
            needed = [self._table(table) for table in (name, *geometry.DERIVATIONS[name].sources)]
            if 0 not in needed and needed[0] not in full and set(needed[1:]) <= full:
                found[needed[0]] = name
        return found

    def _table(self, name: str) -> int:
        """Return the number of a table of CATMAID's; 0 when the archive does not make it."""
        return next((i for i, e in self._tables.items() if e.text.startswith(f"public {name} ")), 0)


def _definitions(load: Load) -> Mapping[str, str]:
    return restore.index_definitions(load.archive)


def filling(jobs: int) -> Mapping[str, str]:
    """Return the settings of a session that fills a geometry table, one of so many at the same time."""
    return {
        "search_path": "public",
        "work_mem": restore.load_settings(jobs)["maintenance_work_mem"],
        "max_parallel_workers_per_gather": "0",
        "statement_timeout": "0",
        "jit": "off",
    }
