# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting a copy back from a target: it becomes a backup like any other, or nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import threading
from dataclasses import dataclass
from typing import Any

from .. import files, locks
from ..errors import CatmaidError
from . import copies, manifest, packing, stock, store
from .encryption import Identity
from .pipeline import Digest, program
from .targets import Remote, Target

RESERVE = 64 * 1024 * 1024
FETCHING = "fetching"
ANOTHER = "Take another copy, or another target's."
WRONG_KEY = "Is it the private key that belongs to this copy?"


@dataclass(frozen=True)
class Found:
    """Which copy is meant, all that are there, and the backup if it is here already."""

    record: stock.Record
    there: list[stock.Record]
    here: store.Backup | None


def find(dest: str, database: str, target: Target, wanted: str = "") -> Found:
    """Return the copy named ``wanted``, or the newest that is not suspicious, without writing anything."""
    doing = f"looking for a copy of database {database} on {target.name}"
    remote = stock.connect(target, dest, database, doing)
    found = stock.look(remote, database)
    there = found.whole()
    if wanted in found.damaged:
        raise CatmaidError(doing, f"{wanted} is damaged: {found.damaged[wanted]}", "Take another one.")
    meant = [record for record in there if (record.id == wanted if wanted else not record.suspicious)]
    if not meant:
        cause = f"{wanted} is not there" if wanted else "there is none that could be trusted"
        names = ", ".join(record.id for record in there) or "nothing"
        raise CatmaidError(doing, cause, f"There is {names}.")
    path = os.path.join(store.folder(dest, database), meant[0].id)
    here = None
    if os.path.lexists(path):
        here = store.look(path, checksums=True)
        if not here.sound:
            problems = "; ".join(here.problems)
            raise CatmaidError(doing, f"{path} is in the way, and damaged: {problems}", "Move it away.")
    return Found(meant[0], there, here)


def fetch(
    dest: str, database: str, target: Target, identity: Identity, wanted: str = "", wait: float = 0
) -> tuple[Found, store.Backup]:
    """Bring a copy back to where backups are, unless it is there; return what was found, and the backup."""
    with locks.hold(copies.lock_key(dest, database), f"fetching a backup of database {database}", wait):
        found = find(dest, database, target, wanted)
        if found.here:
            return found, found.here
        record = found.record
        doing = f"fetching {record.id} from {target.name}"
        parent = store.folder(dest, database)
        # Not among the backups, where the next pg_dump would take it for what a run that was killed has left.
        staging = os.path.join(dest, stock.STAGING, f"{FETCHING}-{store.safe(database)}")
        try:
            os.makedirs(parent, mode=0o700, exist_ok=True)
            _make_room(staging, record, doing)
            remote = stock.connect(target, dest, database, doing)
            folder = os.path.join(staging, record.id)
            _receive(remote, record, identity, folder, doing)
            _verify(folder, record, doing)
            files.sync_tree(folder)
            os.rename(folder, os.path.join(parent, record.id))
            files.sync_folder(parent)
        except OSError as error:
            raise CatmaidError(doing, f"cannot write to {dest}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(staging))
        return found, store.look(os.path.join(parent, record.id))


def _make_room(staging: str, record: stock.Record, doing: str) -> None:
    shutil.rmtree(staging, ignore_errors=True)
    free = files.free_bytes(staging)
    if free < record.bytes + RESERVE:
        cause = f"{record.bytes} bytes are needed, {free} are free where it is to be"
        raise CatmaidError(doing, cause, "Make room, or name another dest.")
    os.makedirs(staging, mode=0o700)


def _receive(remote: Remote, record: stock.Record, identity: Identity, folder: str, doing: str) -> None:
    """Unpack the copy while it comes, decrypted on the way, so that the disk needs room for nothing else.

    It is in a folder that nobody takes for a backup, so whether it is what was written may turn out at the end.
    """
    with contextlib.ExitStack() as stack:
        unpacker = _Unpacker(folder, record.id, doing)
        source: Any
        sink: Any
        stack.callback(unpacker.join)
        coder = None
        if record.encryption == "none":
            out, into = os.pipe()
            source, sink = os.fdopen(out, "rb", 0), stack.enter_context(open(into, "wb", 0))
        else:
            argv, handles = stack.enter_context(identity.decrypting(record.encryption, doing))
            coder = stack.enter_context(program(argv, doing, pass_fds=handles, pipe_in=True, remedy=WRONG_KEY))
            source, sink = coder.output, coder.input
        unpacker.start(source)
        arrived = Digest(sink)
        complete = True
        try:
            remote.read(record.object, arrived)
        except BrokenPipeError:
            complete = False  # whoever was to take it has stopped, and says below why
        sink.close()
        unpacker.join()
        if complete and arrived.sha256 != record.sha256:
            raise CatmaidError(doing, f"{record.object} is not what was written there (SHA-256)", ANOTHER)
        if unpacker.error and not isinstance(unpacker.error, tarfile.TarError):
            raise unpacker.error
        if coder:
            coder.finish()
        if unpacker.error or not complete:
            raise CatmaidError(doing, f"{record.object} is no archive of it ({unpacker.error})", ANOTHER)


class _Unpacker:
    """A thread that unpacks what comes out of a pipe."""

    def __init__(self, folder: str, name: str, doing: str) -> None:
        self.error: BaseException | None = None
        self._about = (folder, name, doing)
        self._thread: threading.Thread | None = None

    def start(self, source: Any) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, args=(source,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the pipe."""
        if self._thread:
            self._thread.join()

    def _run(self, source: Any) -> None:
        try:
            packing.unpack(source, *self._about)
        except BaseException as error:  # noqa: BLE001 (it is looked at when the pipe is at its end)
            self.error = error
        finally:
            source.close()  # or whoever writes to it would wait for ever


def _verify(folder: str, record: stock.Record, doing: str) -> None:
    found = manifest.load(folder)
    if found["id"] != record.id or found["database"] != record.database:
        raise CatmaidError(doing, f"it holds {found['id']}", "Somebody has exchanged it.")
    problems = manifest.file_problems(folder, found, checksums=True)
    if problems:
        raise CatmaidError(doing, "; ".join(problems), ANOTHER)
