# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a backup: one call from nothing to a verified directory under its final name."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from .. import files
from ..catmaid import facts, materializations
from ..django import migrations
from ..errors import CatmaidError
from ..postgres import catalog, client, dump, properties, roles, toc
from ..postgres.catalog import Table
from ..postgres.server import Server, program
from . import manifest, store

DUMP = {"directory": "dump", "custom": "dump.pgc"}
GLOBALS = "globals.sql"
LOCKED_OUT_ATTEMPTS = 3
LOCKED_OUT_PAUSE = 2.0
# Without an earlier backup to go by: measured on CATMAID's data, a compressed dump takes a seventh of its tables'
# bytes on disk, a plain one about as many. Twice that is asked for.
FIRST_ESTIMATE = {True: 0.3, False: 2.0}
NEXT_ESTIMATE = 1.25
RESERVE = 16 * 1024 * 1024

REBUILD = "catmaid.admin.rebuild_materializations"
RETURNS = {
    **dict.fromkeys((*materializations.GEOMETRY, *materializations.NODE_QUERY_CACHE), REBUILD),
    **dict.fromkeys(materializations.SUMMARIES, f"{REBUILD}, but the counts of imported nodes"),
    **dict.fromkeys(materializations.GRID_CACHE, "manage.py catmaid_update_cache_tables"),
}


@dataclass(frozen=True)
class Request:
    """What somebody asks for."""

    server: Server
    database: str
    dest: str
    format: str = "directory"
    jobs: int | None = None
    materializations: str = "safe"
    exclude_tables: Sequence[str] = ()
    exclude_table_data: Sequence[str] = ()
    allow_incomplete: bool = False
    compression: str = "auto"
    compression_level: int | None = None
    globals: bool = True
    project_path: str | None = None
    project_user: str | None = None
    min_age: str | None = None
    lock_wait: float = 60
    requested_by: str = ""


@dataclass(frozen=True)
class Prepared:
    """What a run would do, found out without writing anything."""

    id: str
    young: store.Backup | None
    newest: store.Backup | None
    plan: dump.Plan
    source: facts.Source | None
    bytes: int


def prepare(request: Request) -> Prepared:
    """Return what :func:`create` would do now, or raise what would stop it."""
    found = store.listing(request.dest, request.database)
    newest = found.newest()
    source = facts.source(request.project_path, request.project_user) if request.project_path else None
    taken = _names(store.folder(request.dest, request.database))
    name = store.new_id(request.database, source.describe if source else "", store.now(), taken)
    with request.server.connect(request.database, settings=dump.lock_settings(request.lock_wait)) as connection:
        with dump.naming_blockers(connection, f"measuring the tables of {request.database}", request.lock_wait):
            tables = catalog.tables(connection)
        major = _major(client.version_of(program("pg_dump", connection.server_version)))
    plan = dump.Plan(
        format=request.format,
        jobs=_jobs(request),
        compression=dump.compression(request.compression, request.compression_level, major),
        **_selection(request, tables),
    )
    size = sum(table.bytes for table in tables)
    young = None
    if newest and request.min_age is not None:
        age = (store.now() - newest.finished).total_seconds()
        young = newest if 0 <= age < store.seconds(request.min_age) else None
    if not young:
        _check_space(request, plan, tables, newest)
    return Prepared(name, young, newest, plan, source, size)


def create(request: Request) -> tuple[Prepared, store.Backup]:
    """Make a backup, unless a young one is there; return it and what was found before."""
    folder = store.folder(request.dest, request.database)
    doing = f"backing up database {request.database}"
    with _private():
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        except OSError as error:
            raise CatmaidError(doing, f"cannot make {folder}: {error.strerror}", "Name another dest.") from error
        with files.lock(os.path.join(folder, store.LOCK), doing):
            store.remove_partials(folder)
            prepared = prepare(request)
            if prepared.young:
                return prepared, prepared.young
            partial = os.path.join(folder, store.PARTIAL + prepared.id)
            final = os.path.join(folder, prepared.id)
            try:
                _write(request, prepared, partial)
                os.rename(partial, final)
                files.sync_folder(folder)
            except OSError as error:
                store.remove(partial)
                raise CatmaidError(doing, f"cannot write to {folder}: {error.strerror or error}") from error
            except BaseException:
                store.remove(partial)
                raise
            return prepared, store.look(final)


def _write(request: Request, prepared: Prepared, partial: str) -> None:
    started = store.now()
    path = os.path.join(partial, DUMP[request.format])
    without = {table.oid for table in prepared.plan.without}
    for attempt in range(1, LOCKED_OUT_ATTEMPTS + 1):
        os.mkdir(partial, 0o700)
        _hand_to(partial, request.server.os_user)
        try:
            with dump.snapshot(request.server, request.database, without, request.lock_wait) as shot:
                dumped = dump.run(request.server, request.database, shot, prepared.plan, path)
                about = _about(shot.connection, request.database)
                tables, configuration = shot.tables, catalog.configuration_tables(shot.connection)
            break
        except dump.LockedOutError:
            if attempt == LOCKED_OUT_ATTEMPTS:
                raise
            store.remove(partial)
            time.sleep(LOCKED_OUT_PAUSE * attempt)  # whoever waits for our lock has it now, and will be done
    _take_back(partial)
    missing = []
    if request.globals:
        missing = roles.dump(request.server, request.database, os.path.join(partial, GLOBALS))
    version = int(about["postgresql"]["number"])
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(manifest.describe_files, partial)
        read_back = toc.read_back(path, version)
        described = hashed.result()
    _check_contents(toc.contents(path, version), prepared.plan, tables, configuration, path)
    hidden = {table.oid for table in prepared.plan.without_rows}
    finished = store.now()
    about["postgresql"]["pg_dump"] = dumped.pg_dump_version
    manifest_of = {
        "format": manifest.FORMAT,
        "id": prepared.id,
        "host": socket.gethostname(),
        "requested_by": request.requested_by,
        "started": store.format_time(started),
        "finished": store.format_time(finished),
        "seconds": {"dump": dumped.seconds, "read_back": read_back, "all": _span(started, finished)},
        "source": asdict(prepared.source) if prepared.source else None,
        **about,
        "dump": {
            "path": DUMP[request.format],
            "format": request.format,
            "jobs": prepared.plan.jobs,
            "attempts": attempt,
            "compression": asdict(prepared.plan.compression),
        },
        "materializations": request.materializations,
        "globals": GLOBALS if os.path.exists(os.path.join(partial, GLOBALS)) else None,
        "tables": [
            {"schema": t.schema, "name": t.name, "rows": dumped.rows[t.oid], "bytes": t.bytes}
            for t in tables
            if t.oid not in without | hidden
        ],
        "left_out": planned_left_out(prepared, dumped.rows),
        "missing": missing,
        "files": described,
        "bytes": sum(int(file["bytes"]) for file in described),
        "verified": True,
    }
    files.write_json(manifest.path(partial), manifest_of)
    files.sync_tree(partial)


def planned_left_out(prepared: Prepared, rows: Mapping[int, int] | None = None) -> list[dict[str, Any]]:
    """Return the tables that are left out: how many rows each had in the dump's snapshot, and what brings them back."""
    listed = []
    for what, tables in (("table", prepared.plan.without), ("rows", prepared.plan.without_rows)):
        for table in tables:
            derived = what == "rows" and table.visible
            listed.append(
                {
                    "schema": table.schema,
                    "name": table.name,
                    "what": what,
                    "rows": (rows or {}).get(table.oid),
                    "returns_by": RETURNS.get(table.name, "") if derived else "",
                }
            )
    return listed


def _about(connection: Any, database: str) -> dict[str, Any]:
    """Return what the snapshot knows of the database besides its rows."""
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
        },
        "extensions": extensions,
        "objects": catalog.objects(connection),
        "migrations": [list(pair) for pair in migrations.applied(connection)],
    }


def _selection(request: Request, tables: Sequence[Table]) -> dict[str, list[Table]]:
    """Return the tables to leave out, after a look at every name."""
    without = [_one(name, tables, "exclude_tables") for name in request.exclude_tables]
    named = [_one(name, tables, "exclude_table_data") for name in request.exclude_table_data]
    levelled = set(materializations.excluded(request.materializations))
    # The application's own tables are those on its search path: a table of that name elsewhere is somebody's copy.
    derived = [table for table in tables if table.visible and table.name in levelled]
    lost = [table.label for table in without]
    lost += [table.label for table in named if not (table.visible and table.name in RETURNS)]
    if lost and not request.allow_incomplete:
        raise CatmaidError(
            "choosing the tables to leave out",
            f"nothing can bring back {', '.join(lost)}",
            "Leave out the rows of derived tables only, or set allow_incomplete.",
        )
    gone = {table.oid for table in without}
    rows = {table.oid: table for table in [*derived, *named] if table.oid not in gone}
    return {"without": without, "without_rows": list(rows.values())}


def _one(name: str, tables: Sequence[Table], option: str) -> Table:
    found = catalog.find(name, tables)
    if len(found) == 1:
        return found[0]
    cause = f'there is no table "{name}"'
    if found:
        cause = f"{name} can mean {' or '.join(table.label for table in found)}"
    raise CatmaidError(f"reading {option}", cause, "Name a table of this database, with its schema where needed.")


def _check_space(request: Request, plan: dump.Plan, tables: Sequence[Table], newest: store.Backup | None) -> None:
    left_out = {table.oid for table in [*plan.without, *plan.without_rows]}
    there = sum(table.bytes for table in tables if table.oid not in left_out)
    needed = there * FIRST_ESTIMATE[plan.compression.method != "none"]
    basis = "the size of its tables"
    if newest and newest.manifest["dump"]["compression"] == asdict(plan.compression):
        before = sum(int(table["bytes"]) for table in newest.manifest["tables"])
        if before:
            needed = int(newest.manifest["bytes"]) * max(there / before, 1) * NEXT_ESTIMATE
            basis = f"the backup {newest.id}"
    free = files.free_bytes(store.folder(request.dest, request.database))
    if free < needed + RESERVE:
        raise CatmaidError(
            f"backing up database {request.database}",
            f"about {int(needed) + RESERVE} bytes are needed (by {basis}), {free} are free in {request.dest}",
            "Make room, or name another dest.",
        )


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


@contextmanager
def _private() -> Iterator[None]:
    """Let whatever we and our children create be readable for its owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _names(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _jobs(request: Request) -> int:
    doing = "choosing the jobs"
    if request.format != "directory":
        if request.jobs not in (None, 1):
            raise CatmaidError(doing, f"format {request.format} is written by one job", "Use format directory.")
        return 1
    if request.jobs is not None and request.jobs < 1:
        raise CatmaidError(doing, f"{request.jobs} is no number of jobs")
    return request.jobs or dump.default_jobs()


def _major(version: str) -> int:
    return int(version.split(".")[0])


def _span(started: datetime, finished: datetime) -> float:
    return round((finished - started).total_seconds(), 3)
