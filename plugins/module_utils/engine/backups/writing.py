# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run writes: the archive, what stands beside it, and the manifest that proves both."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from .. import files
from ..django import migrations
from ..errors import CatmaidError
from ..postgres import catalog, dump, fingerprint, identity, progress, properties, reading, roles, sequences, toc
from ..postgres.catalog import Table
from ..postgres.fingerprint import Content
from ..progress import Meter
from . import extras, manifest, selection, shrink, sidecar, store
from .request import Prepared, Request

DUMP = {"directory": "dump", "custom": "dump.pgc"}
GLOBALS = "globals.sql"
LOCKED_OUT_ATTEMPTS = 3
LOCKED_OUT_PAUSE = 2.0


@dataclass(frozen=True)
class Seen:
    """What one attempt wrote, and what its snapshot saw."""

    dumped: dump.Dumped
    attempt: int
    tables: list[Table]
    configuration: set[int]
    contents: dict[int, Content]
    counted: float
    sidecar: list[dict[str, Any]]
    about: dict[str, Any]

    def rows(self) -> dict[int, int]:
        """The rows of each table by its number."""
        return {oid: content.rows for oid, content in self.contents.items()}


def write(request: Request, prepared: Prepared, partial: str) -> None:
    """Write everything below ``partial``, the manifest last: what has one has been verified."""
    started = store.now()
    path = os.path.join(partial, DUMP[request.format])
    seen = _until_not_locked_out(request, prepared, partial, path)
    about, plan = seen.about, prepared.plan
    dumped = selection.dumped(plan, seen.tables)
    missing = []
    if request.globals:
        missing = roles.dump(request.server, request.database, os.path.join(partial, GLOBALS))
    added, lost = extras.write(request.beside, partial)
    # The programs of this host may be newer than the server, and so may be what they write.
    version = max(int(about["postgresql"]["number"]), toc.needed_version(path))
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(manifest.describe_files, partial)
        with reading.watching(path, request.on_progress, f"reading back {request.database}"):
            read_back = toc.read_back(path, version)
        described = hashed.result()
    _check_contents(toc.contents(path, version), plan, seen.tables, seen.configuration, path)
    finished = store.now()
    about["postgresql"]["pg_dump"] = seen.dumped.pg_dump_version
    manifest_of = {
        "format": manifest.FORMAT,
        "id": prepared.id,
        "host": socket.gethostname(),
        "requested_by": request.requested_by,
        "started": store.format_time(started),
        "finished": store.format_time(finished),
        "seconds": {"dump": seen.dumped.seconds, "read_back": read_back, "all": _span(started, finished)},
        "fingerprinted": seen.counted if request.fingerprint else None,
        "source": asdict(prepared.source) if prepared.source else None,
        **about,
        "dump": {
            "path": DUMP[request.format],
            "format": request.format,
            "jobs": plan.jobs,
            "attempts": seen.attempt,
            "compression": asdict(plan.compression),
        },
        "materializations": request.materializations,
        "globals": GLOBALS if os.path.exists(os.path.join(partial, GLOBALS)) else None,
        "tables": manifest.tables([table for table in seen.tables if table.oid in dumped], seen.contents),
        "left_out": selection.left_out(plan, seen.rows()),
        "sidecar": seen.sidecar,
        **_shrunk(request, prepared, seen),
        "missing": [*about["missing"], *missing, *lost],
        "extras": added,
        "files": described,
        "bytes": sum(int(file["bytes"]) for file in described),
        "verified": True,
    }
    files.write_json(manifest.path(partial), manifest_of)
    files.sync_tree(partial)


def _until_not_locked_out(request: Request, prepared: Prepared, partial: str, path: str) -> Seen:
    attempt = 0
    while True:
        attempt += 1
        os.mkdir(partial, 0o700)
        _hand_to(partial, request.server.os_user)
        try:
            return _attempt(request, prepared, partial, path, attempt)
        except dump.LockedOutError:
            if attempt == LOCKED_OUT_ATTEMPTS:
                raise
            store.remove(partial)
            time.sleep(LOCKED_OUT_PAUSE * attempt)  # whoever waits for our lock has it now, and will be done


def _attempt(request: Request, prepared: Prepared, partial: str, path: str, attempt: int) -> Seen:
    """Dump, and read what is beside the dump in its very snapshot."""
    server, database, plan = request.server, request.database, prepared.plan
    without = {table.oid for table in plan.without}
    with dump.snapshot(server, database, without, request.lock_wait_timeout) as shot:
        asked_for = selection.dumped(plan, shot.tables)
        weighed = [table for table in shot.tables if table.oid in asked_for]
        with progress.watching(server, database, weighed, request.on_progress, f"backing up {database}"):
            dumped = dump.run(server, database, shot, plan, path)
        _take_back(partial)
        about = _about(shot.connection, database, without)
        configuration = catalog.configuration_tables(shot.connection)
        started = time.monotonic()
        hashes = request.fingerprint and fingerprint.comparable(shot.connection)
        counted_tables = [table for table in shot.tables if table.oid not in without]
        meter = Meter(f"reading the rows of {database}", sum(t.bytes for t in counted_tables), request.on_progress)
        contents = fingerprint.read(
            server,
            database,
            shot.connection,
            counted_tables,
            hashed=selection.precious(plan, shot.tables) if hashes else (),
            jobs=request.jobs or dump.default_jobs(),
            snapshot=shot.name,
            on_table=lambda table: meter.add(table.bytes, table.name),
        )
        counted = round(time.monotonic() - started, 3)
        kept = sidecar.write(shot.connection, plan.without_rows, partial)
    return Seen(dumped, attempt, shot.tables, configuration, contents, counted, kept, about)


def _shrunk(request: Request, prepared: Prepared, seen: Seen) -> dict[str, Any]:
    """Return which tables lost more rows than they should since the last backup that nobody has to doubt."""
    reference = prepared.reference
    found = []
    if reference and request.shrink_percent:
        rows = {
            (table.schema, table.name): seen.contents[table.oid].rows
            for table in seen.tables
            if table.oid in seen.contents
        }
        unknown = {(table.schema, table.name) for table in prepared.plan.without}
        found = shrink.shrunk(reference.manifest, rows, unknown, request.shrink_percent)
    return {"compared_with": reference.id if reference else None, "suspicious": found}


def _about(connection: Any, database: str, without: Collection[int]) -> dict[str, Any]:
    """Return what the snapshot knows of the database besides its rows; tables ``without`` are not looked into."""
    own = properties.read(connection, database)
    extensions = catalog.extensions(connection)
    postgis = next((e["version"] for e in extensions if e["name"] == "postgis"), None)
    return {
        "database": database,
        "properties": own.as_dict() if own else None,
        "postgresql": {
            "number": connection.server_version,
            "server": connection.get_parameter_status("server_version").split(" ")[0],
            "postgis": postgis,
            "cluster": identity.cluster(connection),
        },
        "extensions": extensions,
        "missing": catalog.out_of_reach(connection),
        "objects": catalog.objects(connection),
        "exceptions": catalog.exceptions(connection),
        "sequences_behind": [found.sequence for found in sequences.behind(connection, without)],
        "migrations": [list(pair) for pair in migrations.applied(connection)],
    }


def _check_contents(
    listed: toc.Contents, plan: dump.Plan, tables: Sequence[Table], configuration: set[int], path: str
) -> None:
    """Compare the rows that the archive holds with those that were asked for, table by table."""
    left_out = {table.oid for table in [*plan.without, *plan.without_rows]}
    wanted = {table.oid for table in tables} - left_out
    difference = (listed.data_oids() - configuration) ^ wanted
    if difference:
        names = [table.label for table in tables if table.oid in difference] or ["tables that nobody knows"]
        raise CatmaidError(f"checking the contents of {path}", f"not as asked for: {', '.join(names)}")


def _hand_to(path: str, user: str | None) -> None:
    if user:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def _take_back(partial: str) -> None:
    """Make everything below ``partial`` ours alone, from the top: from then on nobody else can exchange a file."""
    mine = (os.geteuid(), os.getegid())
    os.chown(partial, *mine)
    for parent, folders, names in os.walk(partial):
        for name in [*folders, *names]:
            full = os.path.join(parent, name)
            os.lchown(full, *mine)
            mode = os.lstat(full).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise CatmaidError(f"taking over {full}", "it is neither file nor folder", "Somebody meddles with it.")
            os.chmod(full, 0o700 if stat.S_ISDIR(mode) else 0o600)


def _span(started: datetime, finished: datetime) -> float:
    return round((finished - started).total_seconds(), 3)
