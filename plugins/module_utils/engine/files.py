# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there: atomic writes, checksums, locks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import CatmaidError

BLOCK = 1024 * 1024
LOCK_INTERVAL = 0.2


def sha256(path: str) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: str, text: str, mode: int = 0o600) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old file or the new one, never half of it."""
    write_bytes_atomically(path, text.encode(), mode)


def write_bytes_atomically(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write ``content`` to ``path`` in the same way."""
    folder = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def write_json(path: str, value: Any, mode: int = 0o600) -> None:
    """Write ``value`` as readable JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True) + "\n", mode)


def remove_if_empty(path: str) -> None:
    """Remove a folder in which nothing is kept any more."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def sync_folder(path: str) -> None:
    """Make names created or renamed in ``path`` survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: str) -> None:
    """Make every file and folder below ``path`` survive a power cut."""
    for folder, _folders, names in os.walk(path):
        for name in names:
            handle = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(folder)


def tree_size(path: str) -> int:
    """Return the bytes of all files below ``path`` (or of the file itself)."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    total = 0
    for folder, _folders, names in os.walk(path):
        total += sum(os.path.getsize(os.path.join(folder, name)) for name in names)
    return total


def free_bytes(path: str) -> int:
    """Return what a privileged process may still write where ``path`` is, or will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path) or "/"
    return shutil.disk_usage(path).free


@contextmanager
def lock(path: str, doing: str, wait: float = 0) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, or fail after ``wait`` seconds, saying who holds it.

    The kernel releases it with its holder, however that ends: there are no stale locks.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CatmaidError(doing, f"cannot open {path}: {error.strerror}", "Make its folder writable.") from error
    try:
        try:
            _flock(handle, wait)
        except OSError as error:
            holder = os.read(handle, 500).decode("utf-8", "replace").strip() or "another process"
            raise CatmaidError(
                doing, f"{path} is locked by {holder}", "Wait until that job has ended, then try again."
            ) from error
        note = f"{doing} (pid {os.getpid()}, since {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())})"
        with contextlib.suppress(OSError):  # on a full disk nobody can read who it is, and yet it is locked
            os.ftruncate(handle, 0)
            os.pwrite(handle, note.encode(), 0)
        yield
    finally:
        os.close(handle)


def _flock(handle: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(LOCK_INTERVAL)
