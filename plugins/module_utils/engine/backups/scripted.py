# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting a plain dump into a database, or one that makes the tables and an archive with their rows.

The rows come before there are triggers and constraints. So nothing of them has to be switched off, for which one would
have to be superuser, and PostgreSQL checks each constraint.
"""

from __future__ import annotations

import time

from ..catmaid import geometry
from ..catmaid.materializations import GEOMETRY
from ..postgres import plain, restore
from ..postgres.restore import Archive, Part
from . import foreign, loadwatch
from .loading import Load, Loaded, filling
from .loadwatch import Watch

LARGE_OBJECTS = ("BLOB", "BLOB METADATA")


def run(load: Load) -> Loaded:
    """Restore the sections in their order."""
    loaded = Loaded()
    source = load.source
    with (
        plain.session(load.server, load.database, source.schema, load.archive.skip) as script,
        loadwatch.watching(load.server, load.database, load.on_progress) as watch,
    ):
        if "pre-data" in load.sections:
            watch.schema()
            loaded.seconds["pre-data"] = script.run("pre-data")
        if "data" in load.sections:
            watch.rows(source, load.archive, {})
            loaded.seconds["data"] = script.run("data")
            if source.rows:
                archive = Archive(source.archive, source.rows, source.version, load.archive.skip)
                loaded.seconds["data"] = _rows(load, archive)
            if load.fill:
                _fill(load, loaded, watch)
        if "post-data" in load.sections:
            watch.indexes(source, load.archive, {})
            loaded.seconds["post-data"] = script.run("post-data")
    return loaded


def _rows(load: Load, archive: Archive) -> float:
    # What large objects there are is told in the first section, of which the plain dump has all but this.
    large = frozenset(
        e.line for e in archive.contents.entries if f"{e.kind} {e.text}".lstrip().startswith(LARGE_OBJECTS)
    )
    seconds = 0.0
    if large:
        seconds = restore.run_part(load.server, load.database, archive, Part("pre-data", large))
    jobs = 1 if archive.contents.format == "tar" else load.jobs
    return round(seconds + restore.run_part(load.server, load.database, archive, Part("data", None, jobs)), 3)


def _fill(load: Load, loaded: Loaded, watch: Watch) -> None:
    """Fill the geometry tables whose rows are missing, if it is known how and from what."""
    contents, rows = load.source.contents, load.source.rows
    empty = {table["name"] for table in foreign.left_out(contents, rows)}
    full = foreign.tables(rows or contents, "TABLE DATA")
    able = [
        name
        for name in GEOMETRY
        if name in empty and all(foreign.has(full, source) for source in geometry.DERIVATIONS[name].sources)
    ]
    if not able:
        return
    watch.filling()
    started = time.monotonic()
    settings = {**restore.load_settings(1), **filling(1)}
    connecting = load.server.connect(load.database, settings=settings, autocommit=True)
    with connecting as connection, connection.cursor() as cursor:
        if geometry.known(cursor):
            loaded.filled.update({name: geometry.fill(cursor, name) for name in able})
    loaded.seconds["fill"] = round(time.monotonic() - started, 3)
    loaded.seconds["data"] = round(loaded.seconds["data"] + loaded.seconds["fill"], 3)
