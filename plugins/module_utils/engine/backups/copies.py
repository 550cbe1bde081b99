# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copying backups off this host: each target gets what it lacks and would keep, and loses what it would not."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .. import locks
from ..errors import CatmaidError
from ..progress import Report
from . import manifest, packing, retention, status, stock, store
from .encryption import Encryption
from .targets import Remote, Target

Say = Callable[[str], None]


@dataclass
class Outcome:
    """How it went with one target."""

    target: str
    ok: bool = True
    message: str = ""
    copied: list[dict[str, Any]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    backups: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything is different over there."""
        return bool(self.copied or self.removed or self.cleaned)


def copy_all(
    dest: str,
    database: str,
    targets: Sequence[Target],
    encryption: Encryption,
    *,
    check: bool = False,
    expected: str = "",
    wait: float = 0,
    say: Say | None = None,
    progress: Report | None = None,
    requested_by: str = "",
) -> list[Outcome]:
    """Bring each target up to date with the local backups; one that fails keeps none of the others from its turn.

    With ``check`` that is only told, as if the backup named ``expected`` were there already.
    """
    if not targets:
        return []
    encryption.check()
    for target in targets:
        if target.encrypt and not encryption:
            raise CatmaidError(
                f"copying backups to {target.name}",
                "it is told to encrypt, and there is nobody to encrypt to",
                "Give the public key of somebody, or set encrypt: false for a place that may read everything.",
            )
    updates = [
        _Update(dest, database, target, encryption if target.encrypt else Encryption(), check, expected, say, progress)
        for target in targets
    ]
    if check:
        return [update.run() for update in updates]
    folder = store.folder(dest, database)
    with ExitStack() as stack:
        with status.noting_refusal(folder, "copy", requested_by):
            stack.enter_context(
                locks.hold(lock_key(dest, database), f"copying backups of database {database}", wait)
            )  # fmt: skip
        return _noted(folder, updates, requested_by)


def _noted(folder: str, updates: Sequence[_Update], job: str) -> list[Outcome]:
    """Bring the targets up to date, and note in the status of the database how that went and when each last was."""
    if not os.path.isdir(folder):
        return [update.run() for update in updates]
    with status.recording(folder, "copy", job) as facts:
        outcomes = [update.run() for update in updates]
        before = (status.load(folder).get("copy") or {}).get("targets") or {}
        at = store.format_time(store.now())
        since = {outcome.target: at if outcome.ok else before.get(outcome.target) for outcome in outcomes}
        status.record(folder, "copy", {"targets": {name: time for name, time in since.items() if time}})
        facts["copied"] = sum(len(outcome.copied) for outcome in outcomes)
        facts[status.FAILED] = failure(outcomes)
    return outcomes


def lock_key(dest: str, database: str) -> str:
    """Return the key of the lock that whoever copies or fetches holds."""
    return f"copies:{os.path.join(os.path.realpath(dest), store.safe(database))}"


def failure(outcomes: Sequence[Outcome]) -> str:
    """Return what is to be said about targets that failed; nothing when none did."""
    return "; ".join(f"{outcome.target}: {outcome.message}" for outcome in outcomes if not outcome.ok)


def told(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain values, for results and reports."""
    return {key: value for key, value in asdict(outcome).items() if key != "before"}


@dataclass
class _Update:
    """Bringing one target up to date."""

    dest: str
    database: str
    target: Target
    encryption: Encryption
    check: bool
    expected: str
    say: Say | None
    progress: Report | None

    def __post_init__(self) -> None:
        self.outcome = Outcome(self.target.name)

    def run(self) -> Outcome:
        try:
            doing = f"copying backups of database {self.database} to {self.target.name}"
            self.remote = stock.connect(self.target, self.dest, self.database, doing)
            self.there = stock.look(self.remote, self.database)
            self.outcome.before = [record.id for record in self.there.whole()]
            try:
                self._work()
            finally:
                self.outcome.backups = [asdict(record) for record in self.there.whole()]
        except CatmaidError as error:
            self.outcome.ok = False
            self.outcome.message = str(error)
        return self.outcome

    def _work(self) -> None:
        there, outcome = self.there, self.outcome
        listing = store.listing(self.dest, self.database)
        local = [backup for backup in listing.backups if backup.sound]
        new = store.expected(listing, self.dest, self.database, self.expected) if self.check else None
        local = [new, *local] if new else local
        decision = _decide(there, local, self.target)
        missing = [b for b in local if b.id in decision.kept and (b.id not in there.records or b.id in there.damaged)]
        outcome.foreign = there.foreign
        outcome.warnings = list(filter(None, [*decision.warnings, decision.refused]))
        gone = [name for name in decision.gone if name in there.records]
        self._clean()
        for backup in missing:  # the newest first: it is worth the most
            self._copy(backup)
        # Last, and only when everything could be copied: what is old goes for the sake of what is new.
        for name in gone:
            self._remove(name)
            outcome.removed.append(name)
        outcome.damaged = dict(there.damaged)
        if outcome.damaged:
            names = ", ".join(f"{name} ({why})" for name, why in sorted(outcome.damaged.items()))
            raise CatmaidError(
                f"looking at the copies on {self.target.name}",
                f"damaged, and not here any more to be copied again: {names}",
                "Take another target's copy of them, and remove them from this one by hand.",
            )

    def _clean(self) -> None:
        """Remove leftovers: before anything is copied, because the target could be full of them."""
        if not self.check:
            self.remote.tidy()
            if self.there.leftovers:
                self.remote.remove(self.there.leftovers)
        self.outcome.cleaned = self.there.leftovers

    def _copy(self, backup: store.Backup) -> None:
        started = time.monotonic()
        record = planned(backup, self.target, self.encryption)
        if not self.check:
            if backup.id in self.there.records:
                self._remove(backup.id)
            try:
                with store.using(backup.path):
                    record = _write(self.remote, backup, record, self.encryption, self.target.name, self.progress)
            except CatmaidError:
                if os.path.exists(manifest.path(backup.path)):
                    raise
                self.outcome.warnings.append(f"{backup.id} was pruned here before its turn came")
                return
        self.there.records[backup.id] = record
        self.there.damaged.pop(backup.id, None)
        seconds = round(time.monotonic() - started, 3)
        about = {"id": backup.id, "object": record.object, "bytes": record.bytes, "seconds": seconds}
        self.outcome.copied.append(about)
        if self.say and not self.check:
            self.say(f"{self.target.name}: {backup.id} is copied and verified: {record.bytes} bytes, {seconds:.1f} s")

    def _remove(self, name: str) -> None:
        """Remove a copy, its mark first: at no moment a mark stands there for what is going."""
        record = self.there.records.pop(name)
        damage = self.there.damaged.pop(name, "")
        if not self.check:
            self.remote.remove([f"{name}{stock.MARK}"])
            if not damage.endswith(stock.MISSING):
                self.remote.remove([record.object])


def _decide(there: stock.Stock, local: Sequence[store.Backup], target: Target) -> retention.Decision:
    """Decide as if all that is here were there already: what would go at once is not copied."""
    held = {backup.id for backup in local if backup.held}
    items = {
        record.id: record.item(sound=record.id not in there.damaged, held=record.id in held)
        for record in there.records.values()
    }
    for backup in local:
        known = there.records.get(backup.id)
        size = known.bytes if known else packing.size(backup)
        items[backup.id] = retention.Item(
            backup.id, backup.finished, size, True, backup.suspicious, backup.id in held, backup.cluster
        )
    if target.policy:
        return retention.decide(list(items.values()), target.policy)
    return retention.Decision(kept={name: ["nothing goes from here"] for name in items})


def planned(backup: store.Backup, target: Target, encryption: Encryption) -> stock.Record:
    """Return the record of a copy that is not made yet: its size is an estimate, its checksum unknown."""
    return stock.Record(
        id=backup.id,
        database=str(backup.manifest["database"]),
        object=f"{backup.id}.tar{encryption.suffix}",
        finished=str(backup.manifest["finished"]),
        bytes=packing.size(backup),
        sha256="",
        encryption=encryption.method,
        suspicious=backup.suspicious,
        host=socket.gethostname(),
        copied=store.format_time(store.now()),
        checked=target.check,
        backup_bytes=int(backup.manifest.get("bytes", 0)),
        cluster=backup.cluster,
    )


def _write(
    remote: Remote,
    backup: store.Backup,
    plan: stock.Record,
    encryption: Encryption,
    name: str,
    report: Report | None,
) -> stock.Record:
    doing = f"copying {backup.id} to {name}"

    def fill(out: Any) -> None:
        if encryption:
            encryption.encrypt(lambda plain: packing.pack(backup, plain), out, doing)
        else:
            packing.pack(backup, out)

    remote.report = report
    written = remote.write(plan.object, fill, plan.bytes)
    remote.check(plan.object, written)
    remote.report = None  # nobody wants to hear of the single line that follows
    made = replace(plan, bytes=written.bytes, sha256=written.sha256, copied=store.format_time(store.now()))
    mark = (json.dumps(asdict(made), sort_keys=True) + "\n").encode()
    remote.write(f"{backup.id}{stock.MARK}", lambda out: out.write(mark), len(mark))
    return made
