# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to know of an instance at a glance, part by part: a part that cannot be looked at hides no other."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..backups import check, status, store
from ..catmaid import rebuild
from ..catmaid.materializations import TABLES
from ..django import migrations
from ..django.project import Project
from ..django.shim import Runner
from ..errors import CatmaidError, words
from ..postgres import databases
from ..postgres.server import Server
from ..upgrades import host, units
from ..web import expiry
from . import code

CHARTED = 90  # backups at most whose sizes are told


@dataclass(frozen=True)
class Request:
    """An instance on this host. ``repository`` is only asked if ``fetch`` says so, and nothing of it is kept."""

    project: Project
    server: Server
    database: str
    root: str
    dest: str
    instance: str
    services: list[str]
    branch: str = ""
    fetch: bool = False
    repository: str = ""
    compare: bool = True

    @property
    def runner(self) -> Runner:
        """What asks the release's own Python."""
        return Runner(self.project, self.server, self.database)


def look(request: Request) -> dict[str, Any]:
    """Return what each part of the instance says; in ``errors`` why one says nothing."""
    started = time.monotonic()
    found: dict[str, Any] = {"time": store.format_time(store.now())}
    errors: dict[str, str] = {}
    for name, part in PARTS.items():
        found[name] = None
        try:
            found[name] = part(request)
        except (CatmaidError, OSError) as error:
            errors[name] = words(f"looking at the {name}", error)
    return {**found, "errors": errors, "seconds": round(time.monotonic() - started, 3)}


def _code(request: Request) -> dict[str, Any]:
    where = code.Remote(request.root, request.repository, request.branch)
    return code.look(request.project, where, fetch=request.fetch)


def _database(request: Request) -> dict[str, Any]:
    with (
        request.server.connect(request.database, settings=host.READING, autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_database_size(current_database()), current_setting('server_version')")
        size, version = cursor.fetchone()
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'postgis'")
        row = cursor.fetchone()
        found = host.postgis(cursor, str(row[0]) if row else "")
    return {
        "bytes": int(size),
        "server_version": str(version).split()[0],
        "postgis": {
            "extension": found.extension,
            "library": found.library,
            "available": found.available,
            "outdated": found.outdated,
            "problem": found.problem,
        },
    }


def _migrations(request: Request) -> dict[str, Any]:
    planned = migrations.plan(request.runner)
    return {"applied": len(planned.recorded), "pending": planned.unapplied, "unknown": planned.unknown}


def _materializations(request: Request) -> dict[str, Any] | None:
    if not request.compare:
        return None
    found = rebuild.survey(request.runner, list(TABLES))
    return {"stale": found.stale, "reasons": [f"{one.table}: {one.reason}" for one in found.findings]}


def _backups(request: Request) -> dict[str, Any]:
    listing = store.listing(request.dest, request.database)
    sound = [backup for backup in listing.backups if backup.sound]
    return {
        "number": len(listing.backups),
        "newest": _backup(sound[0]) if sound else None,
        "damaged": [backup.id for backup in listing.backups if not backup.sound],
        "history": [_backup(backup) for backup in reversed(sound[:CHARTED])],
        "runs": [
            {"failed": level == check.CRITICAL, "text": text} for level, text in check.sections(_noted(request))
        ],
    }  # fmt: skip


def _backup(backup: store.Backup) -> dict[str, Any]:
    finished = backup.finished
    return {
        "id": backup.id,
        "finished": store.format_time(finished),
        "age": int((store.now() - finished).total_seconds()),
        "bytes": backup.bytes,
        "rows": sum(int(table["rows"]) for table in backup.manifest["tables"]),
        "seconds": round((finished - store.parse_time(str(backup.manifest["started"]))).total_seconds(), 1),
        "suspicious": backup.suspicious,
    }


def _drill(request: Request) -> dict[str, Any] | None:
    success = (_noted(request).get("drill") or {}).get("success")
    if not success:
        return None
    finished = str(success["finished"])
    return {"finished": finished, "age": int((store.now() - store.parse_time(finished)).total_seconds())}


def _noted(request: Request) -> status.Document:
    folder = store.folder(request.dest, request.database)
    return status.judged(folder, status.load(folder))


def _certificate(request: Request) -> dict[str, Any] | None:
    site = expiry.look(request.instance)
    if not site or not site.has_tls:
        return None
    return {
        "name": site.server_name,
        "days_left": round(site.shown.days_left, 1) if site.shown else None,
        "complaint": "" if site.shown else site.complaint(0),
    }


def _disks(request: Request) -> list[dict[str, Any]]:
    folders = {"instance": request.root, "backups": request.dest}
    with request.server.connect(request.database, settings=host.READING) as connection:
        room = databases.room(connection, request.server)
    if room:
        folders = {"data": room[0], **folders}
    return [_disk(name, path) for name, path in folders.items()]


def _disk(name: str, path: str) -> dict[str, Any]:
    there = path
    while not os.path.exists(there):
        there = os.path.dirname(there) or "/"
    usage = shutil.disk_usage(there)
    return {"name": name, "path": path, "device": os.stat(there).st_dev, "free": usage.free, "total": usage.total}


def _units(request: Request) -> dict[str, Any]:
    listed = units.systemctl("list-units", "--state=failed", "--plain", "--no-legend", "--full", ok=None)
    own = {units.unit(name) for name in request.services}
    failed = [line.split()[0] for line in listed.splitlines() if line.split()]
    return {
        "failed": [name for name in failed if name not in own],
        "stopped": [name for name in request.services if not units.is_active(name)],
    }


PARTS: dict[str, Callable[[Request], Any]] = {
    "code": _code,
    "database": _database,
    "migrations": _migrations,
    "materializations": _materializations,
    "backups": _backups,
    "drill": _drill,
    "certificate": _certificate,
    "disks": _disks,
    "units": _units,
}
