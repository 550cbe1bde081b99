# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a backup: one call from nothing to a verified directory under its final name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from .. import files, locks
from ..catmaid import facts
from ..errors import CatmaidError
from ..postgres import catalog, client, dump, identity
from ..postgres.server import program
from . import mounts, prune, selection, shrink, space, status, store, writing
from .request import Prepared, Request

__all__ = ["Prepared", "Request", "create", "prepare"]


def prepare(request: Request) -> Prepared:
    """Return what :func:`create` would do now, or raise what would stop it."""
    shrink.check_percent(request.shrink_percent)
    mounts.check(request.dest, f"backing up database {request.database}")
    found = store.listing(request.dest, request.database)
    source = request.source
    if request.project_path:
        source = facts.source(request.project_path, request.project_user)
    taken = _names(store.folder(request.dest, request.database))
    name = store.new_id(request.database, source.describe if source else "", store.now(), taken)
    with request.server.connect(request.database, settings=dump.lock_settings(request.lock_wait_timeout)) as connection:
        with dump.naming_blockers(connection, f"measuring the tables of {request.database}", request.lock_wait_timeout):
            tables = catalog.tables(connection)
        cluster = identity.cluster(connection)
        major = _major(client.version_of(program("pg_dump", connection.server_version)))
    plan = dump.Plan(
        format=request.format,
        jobs=_jobs(request),
        compression=dump.compression(request.compression, request.compression_level, major, request.format),
        **selection.select(request, tables),
    )
    size = sum(table.bytes for table in tables)
    own = store.of_cluster(found.backups, cluster)
    newest = next((backup for backup in own if backup.sound), None)
    reference = shrink.reference(own)
    young = None
    if newest and newest is reference and request.min_age is not None:
        age = (store.now() - newest.finished).total_seconds()
        young = newest if 0 <= age < store.seconds(request.min_age) else None
    room = None
    if not young:
        request.beside.check()
        room = _room(request, name, cluster, space.need(request, plan, tables, newest, request.beside.needed()))
    return Prepared(name, young, newest, reference, plan, source, size, _strange(found.backups, own), room)


def create(request: Request) -> tuple[Prepared, store.Backup]:
    """Make a backup, unless a young one is there; return it and what was found before."""
    doing = f"backing up database {request.database}"
    mounts.check(request.dest, doing)
    folder = store.folder(request.dest, request.database)
    with ExitStack() as stack:
        with status.noting_refusal(folder, "backup", request.requested_by):
            try:
                key = identity.database_key(request.server, request.database)
                stack.enter_context(locks.hold(key, doing, request.lock_wait, request.lock_token))
            except BaseException:
                with suppress(CatmaidError):
                    _make_folder(folder, doing)  # the first run of all is noted, too
                raise
            _make_folder(folder, doing)
            stack.enter_context(_private())
            stack.enter_context(files.lock(os.path.join(folder, store.LOCK), doing, request.lock_wait))
        noted = stack.enter_context(status.recording(folder, "backup", request.requested_by))
        return _create(request, folder, doing, noted)


def _create(request: Request, folder: str, doing: str, noted: dict[str, Any]) -> tuple[Prepared, store.Backup]:
    store.remove_partials(folder)
    prepared = prepare(request)
    if prepared.young:
        noted[status.UNCHANGED] = True
        return prepared, prepared.young
    prepared = _make_room(request, prepared)
    partial = os.path.join(folder, store.PARTIAL + prepared.id)
    final = os.path.join(folder, prepared.id)
    try:
        writing.write(request, prepared, partial)
        os.rename(partial, final)
        files.sync_folder(folder)
    except OSError as error:
        store.remove(partial)
        raise CatmaidError(doing, f"cannot write to {folder}: {error.strerror or error}") from error
    except BaseException:
        store.remove(partial)
        raise
    backup = store.look(final)
    noted.update(status.facts(backup))
    shrink.refuse(backup, doing)
    return prepared, backup


def _make_folder(folder: str, doing: str) -> None:
    try:
        with _private():
            os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise CatmaidError(doing, f"cannot make {folder}: {error.strerror}", "Name another dest.") from error


@contextmanager
def _private() -> Iterator[None]:
    """Let whatever we and our children create be readable for its owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _strange(found: Sequence[store.Backup], own: Sequence[store.Backup]) -> str:
    """Say that the newest backup is of another server's database with this name, if it is."""
    if not found or found[0] in own:
        return ""
    return (
        f"{found[0].path} is of another database server: it counts neither for min_age nor for shrink_percent. If the"
        " instance has moved, all is well. If two instances back up into this folder, give each one of its own"
        " (catmaid_backup_dir)."
    )


def _room(request: Request, name: str, cluster: str, wanted: space.Need) -> prune.Prepared | None:
    """Return what has to go for a backup, nothing where there is room enough; raise when there is none to be had."""
    lacking = space.lacking(request, wanted)
    if not lacking:
        return None
    room = prune.prepare_room(replace(request.room, cluster=cluster), name) if request.room else None
    if not room or room.bytes < lacking:
        space.refuse(request, wanted, room)
    return room


def _make_room(request: Request, prepared: Prepared) -> Prepared:
    """Let go what has to, and look again."""
    if not (request.room and prepared.room):
        return prepared
    prune.make_room(request.room, prepared.room)
    try:
        return replace(prepare(replace(request, room=None)), room=prepared.room)
    except CatmaidError as error:
        error.details.update(changed=bool(prepared.room.decision.gone), gone=prune.told_gone(prepared.room))
        raise


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
