# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing old backups from their folder, so that a run that is killed leaves nothing that looks like a backup."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from .. import files, locks
from ..errors import CatmaidError
from ..postgres import identity
from . import holds, retention, status, store
from .retention import Decision, Item, Policy

GONE = f"{store.PARTIAL}gone-"
IN_USE = "somebody is reading it"


@dataclass(frozen=True)
class Request:
    """What somebody asks for. A cap of 0 is none.

    ``expected`` is the name of a backup that is about to be made, of this ``cluster`` if that is known; only what would
    happen then looks at it.
    """

    dest: str
    database: str
    policy: Policy
    max_bytes: int = 0
    min_free_bytes: int = 0
    lock_wait: float = 0
    lock_token: str = ""
    requested_by: str = ""
    expected: str = ""
    cluster: str = ""


@dataclass
class Prepared:
    """What a run would do now. ``leftovers`` are what killed runs have left."""

    decision: Decision
    backups: list[store.Backup] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """The size of what goes."""
        return sum(backup.bytes for backup in self.backups if backup.id in self.decision.why)


def prepare(request: Request) -> Prepared:
    """Return what :func:`run` would do now, without changing anything."""
    request.policy.check()
    folder = store.folder(request.dest, request.database)
    holds.check(folder)
    found = store.listing(request.dest, request.database)
    # A copy that somebody made by hand is theirs: it has a name of its own, and the manifest of another one.
    ours = [backup for backup in found.backups if backup.id == os.path.basename(backup.path)]
    new = store.expected(found, request.dest, request.database, request.expected, request.cluster)
    decision = retention.decide(
        [item(backup) for backup in ([new] if new else []) + ours],
        request.policy,
        max_bytes=request.max_bytes,
        min_free_bytes=request.min_free_bytes,
        free_bytes=files.free_bytes(folder) - (new.bytes if new else 0) if request.min_free_bytes else None,
    )
    for name in list(decision.gone):
        with store.unused(os.path.join(folder, name)) as free:
            if not free:
                _spare(decision, name, IN_USE)
    for backup in found.backups:
        if backup not in ours:
            decision.warnings.append(f"{backup.path} is a copy of {backup.id} under another name: it stays.")
    for path in found.foreign:
        decision.warnings.append(f"{path} is no backup of catmaid.admin: it stays.")
    left = [os.path.basename(path) for path in found.incomplete]
    for name in left:
        if not name.startswith(store.PARTIAL):
            decision.warnings.append(f"The manifest of {os.path.join(folder, name)} cannot be read: it stays.")
    return Prepared(decision, ours, [name for name in left if name.startswith(store.PARTIAL)])


def run(request: Request) -> Prepared:
    """Remove what the rules let go; return that. Raise when a cap could not be met, after having done the rest."""
    folder = store.folder(request.dest, request.database)
    doing = f"pruning the backups of {request.database}"
    request.policy.check()
    if not os.path.isdir(folder):
        return prepare(request)
    with ExitStack() as stack:
        for key in _keys(request):
            stack.enter_context(locks.hold(key, doing, request.lock_wait, request.lock_token))
        try:
            stack.enter_context(files.lock(os.path.join(folder, store.LOCK), doing, request.lock_wait))
        except OSError as error:
            raise CatmaidError(doing, f"cannot lock {folder}: {error.strerror or error}") from error
        noted = stack.enter_context(status.recording(folder, "prune", request.requested_by))
        prepared = prepare(request)
        store.remove_partials(folder)
        for name in list(prepared.decision.gone):
            _remove(folder, name, prepared.decision, doing)
        decision = prepared.decision
        noted.update(kept=len(decision.kept), gone=len(decision.gone), bytes=prepared.bytes, refused=decision.refused)
        if not decision.short and request.min_free_bytes and not decision.refused:
            free = files.free_bytes(folder)
            if free < request.min_free_bytes:
                decision.short = f"min_free_bytes {request.min_free_bytes} is not met: {free} bytes are free now"
        _check_caps(doing, prepared)
        return prepared


def prepare_room(request: Request, name: str) -> Prepared:
    """Return what can go before the backup ``name`` is made, because it would go after.

    Until that one is there, the newest verified one is the newest.
    """
    prepared = prepare(replace(request, expected=name))
    newest = next((backup for backup in prepared.backups if item(backup).verified), None)
    if newest and newest.id in prepared.decision.gone:
        _spare(prepared.decision, newest.id, "the newest verified one that is there")
    return prepared


def make_room(request: Request, prepared: Prepared) -> None:
    """Remove what :func:`prepare_room` has found. The caller holds the locks of the database and of its folder."""
    folder = store.folder(request.dest, request.database)
    for name in list(prepared.decision.gone):
        _remove(folder, name, prepared.decision, f"making room for a backup of {request.database}")


def check(request: Request) -> Prepared:
    """Return what :func:`run` would do now, or raise what it would raise."""
    prepared = prepare(request)
    _check_caps(f"pruning the backups of {request.database}", prepared)
    return prepared


def _check_caps(doing: str, prepared: Prepared) -> None:
    if prepared.decision.short:
        raise CatmaidError(
            doing,
            prepared.decision.short,
            "Hold fewer backups, raise the cap, or make room.",
            changed=bool(prepared.decision.gone or prepared.leftovers),
            gone=told_gone(prepared),
            kept=told_kept(prepared),
        )


def item(backup: store.Backup) -> Item:
    """Return what retention needs to know of a backup."""
    return Item(backup.id, backup.finished, backup.bytes, backup.sound, backup.suspicious, backup.held, backup.cluster)


def told_gone(prepared: Prepared) -> list[dict[str, object]]:
    """Return what goes and why, oldest first."""
    sizes = {backup.id: backup.bytes for backup in prepared.backups}
    return [
        {"id": name, "why": prepared.decision.why[name], "bytes": sizes[name]} for name in prepared.decision.gone
    ]  # fmt: skip


def told_kept(prepared: Prepared) -> list[dict[str, object]]:
    """Return what stays and why, newest first."""
    return [{"id": name, "reasons": reasons} for name, reasons in prepared.decision.kept.items()]


def _remove(folder: str, name: str, decision: Decision, doing: str) -> None:
    """Take a backup's name away, then its files: half of it never looks like a backup."""
    path, gone = os.path.join(folder, name), os.path.join(folder, GONE + name)
    try:
        # Nobody decides to keep it, or begins to read it, between our look and its end.
        with holds.turn(folder), store.unused(path) as free:
            notes = holds.check(folder)
            if notes.held(name) or not free:
                _spare(decision, name, IN_USE if not free else "held since a moment ago")
                return
            os.rename(path, gone)
            files.sync_folder(folder)
        if notes.accepted(name):
            holds.forget(folder, holds.ACCEPTED, name)
    except OSError as error:
        raise CatmaidError(doing, f"cannot remove {path}: {error.strerror or error}") from error
    store.remove(gone)


def _spare(decision: Decision, name: str, reason: str) -> None:
    decision.gone.remove(name)
    del decision.why[name]
    decision.kept[name] = [reason]


def _keys(request: Request) -> Sequence[str]:
    """Return the job locks of the databases that were backed up here: of one, unless two clusters share the folder."""
    found = store.listing(request.dest, request.database).backups
    clusters = {backup.cluster for backup in found}
    return [identity.key(number, request.database) for number in sorted(clusters - {""})]
