# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup as one stream, which standard tar reads, and back.

Every file is compared with the manifest on its way: a backup that has rotted on the disk never becomes a copy.
"""

from __future__ import annotations

import os
import stat
import tarfile
from typing import Any

from ..errors import CatmaidError
from . import manifest, store
from .pipeline import BLOCK, Digest, write_all

TAR_BLOCK = 512
TAR_RECORD = 10240
DAMAGED = "Look at it with catmaid.admin.backup_info and verify: true; it is not copied."


class _Unreadable(Exception):
    """What is wrong with a file of the backup."""


class _Hashed:
    """A file to read from that hashes what is read, and tells its own errors from those of whoever takes it."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._left = size
        self.digest = Digest()

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._file.read(size)
        except OSError as error:
            raise _Unreadable(error.strerror or str(error)) from error
        self._left -= len(data)
        if not data and self._left > 0:
            raise _Unreadable(f"{self._left} bytes are missing at its end")
        self.digest.write(data)
        return data


def pack(backup: store.Backup, out: Any) -> None:
    """Write the backup to ``out`` as a tar archive of one folder, which has the backup's name."""
    doing = f"reading the backup {backup.path}"
    wanted = {str(file["path"]): str(file["sha256"]) for file in backup.manifest["files"]}
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT, bufsize=BLOCK) as tar:
        _add_folder(tar, backup, "")
        folders = {""}
        # The manifest comes first, so that a look at the stream's beginning tells what it is.
        for name in [manifest.NAME, *sorted(wanted)]:
            above = os.path.dirname(name)
            parts = above.split("/") if above else []
            for depth in range(len(parts)):
                folder = "/".join(parts[: depth + 1])
                if folder not in folders:
                    folders.add(folder)
                    _add_folder(tar, backup, folder)
            try:
                found = _add_file(tar, backup, name)
            except _Unreadable as error:
                raise CatmaidError(doing, f"{name}: {error}", DAMAGED) from error
            if wanted.get(name, found) != found:
                raise CatmaidError(doing, f"{name}: its contents have changed (SHA-256)", DAMAGED)


def size(backup: store.Backup) -> int:
    """Return an upper bound of the bytes of its archive."""
    listed = backup.manifest["files"]
    about = manifest.path(backup.path)
    payload = sum(int(file["bytes"]) for file in listed) + (os.path.getsize(about) if os.path.exists(about) else 0)
    return payload + (4 * len(listed) + 8) * TAR_BLOCK + 2 * TAR_RECORD


def unpack(source: Any, folder: str, name: str, doing: str) -> None:
    """Write the one folder of the archive ``source``, which has to be named ``name``, as ``folder``.

    Only folders and plain files are taken, readable for us alone: nothing in an archive can reach beyond the folder.
    A stream that is no archive raises tarfile.TarError: that can be the consequence of something else.
    """
    with tarfile.open(fileobj=source, mode="r|", bufsize=BLOCK) as tar:
        for member in tar:
            _take(tar, member, folder, name, doing)
    for _rest in iter(lambda: source.read(BLOCK), b""):
        pass  # zeros that tar does not want, but whoever writes them wants to be read to the end


def _add_folder(tar: tarfile.TarFile, backup: store.Backup, name: str) -> None:
    info = tarfile.TarInfo(f"{backup.id}/{name}".rstrip("/"))
    info.type = tarfile.DIRTYPE
    info.mode = 0o700
    info.mtime = int(backup.finished.timestamp())
    tar.addfile(info)


def _add_file(tar: tarfile.TarFile, backup: store.Backup, name: str) -> str:
    try:
        handle = os.open(os.path.join(backup.path, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _Unreadable(error.strerror or str(error)) from error
    with open(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise _Unreadable("it is no plain file")
        info = tarfile.TarInfo(f"{backup.id}/{name}")
        info.size = about.st_size
        info.mode = 0o600
        info.mtime = int(about.st_mtime)
        hashed = _Hashed(file, about.st_size)
        tar.addfile(info, hashed)
    return hashed.digest.sha256


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: str, name: str, doing: str) -> None:
    parts = member.name.split("/")
    if parts[0] != name or ".." in parts or not (member.isreg() or member.isdir()):
        raise CatmaidError(doing, f"{member.name} does not belong into a copy of {name}", "Somebody has exchanged it.")
    path = os.path.join(folder, *parts[1:])
    if member.isdir():
        os.makedirs(path, mode=0o700, exist_ok=True)
        return
    source = tar.extractfile(member)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for block in iter(lambda: source.read(BLOCK), b"") if source else ():
            write_all(file, block)
        file.flush()
        os.fsync(file.fileno())
