# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to an instance and is not in its database: uploaded media, and files with its settings.

Media are kept like the dump. Settings hold passwords and keys, so they are kept encrypted or not at all.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import CatmaidError
from .encryption import Encryption
from .pipeline import BLOCK, Pump, Whole, program

MEDIA = "media.tar.zst"
FILES = "files.tar"
# Folders directly below MEDIA_ROOT that CATMAID fills again by itself.
WITHOUT = ("cache", "tmp")


@dataclass(frozen=True)
class Wanted:
    """What to add to a backup."""

    media: str = ""
    files: Sequence[str] = ()
    encryption: Encryption = field(default_factory=Encryption)

    def check(self) -> None:
        """Refuse what cannot be done, before anything is written."""
        doing = "choosing what to add to the backup"
        if self.files and not self.encryption:
            raise CatmaidError(
                doing,
                "files with settings hold secrets, and there is nobody to encrypt them to",
                "Give the public key of somebody, or leave out the files.",
            )
        if self.files:
            self.encryption.check()
        for path in [*([self.media] if self.media else []), *self.files]:
            if not os.path.isabs(path):
                raise CatmaidError(doing, f"{path} is no absolute path", "Give the absolute path.")
            if not os.access(path, os.R_OK):
                raise CatmaidError(doing, f"{path} is not there, or not readable", "Name what exists.")
        if self.media and not os.path.isdir(self.media):
            raise CatmaidError(doing, f"{self.media} is no folder", "Name CATMAID's MEDIA_ROOT.")

    def needed(self) -> int:
        """Return how many bytes they may take."""
        media = _listed(self.media, WITHOUT) if self.media else ()
        paths = (path for top in self.files for path in [top, *_listed(top, ())])
        return sum(_size(path) for path in [*media, *paths])


def write(wanted: Wanted, folder: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Write them into the backup in ``folder``; return the manifest's entries, and what could not be kept."""
    entries: list[dict[str, Any]] = []
    lost: list[str] = []
    if wanted.media:
        path = os.path.join(folder, MEDIA)
        doing = f"keeping the media in {wanted.media}"
        with _created(path) as out:
            members = [(one, os.path.relpath(one, wanted.media)) for one in _listed(wanted.media, WITHOUT)]
            with program(["zstd", "-q", "-c"], doing, pipe_in=True) as packer:
                pump = Pump(packer.output, out)
                try:
                    lost += _tar(members, packer.input)
                    packer.input.close()
                except BrokenPipeError:
                    pump.finish()
                    packer.finish()
                    raise
                pump.finish()
                packer.finish()
        entries.append(_entry("media", folder, MEDIA, "none"))
    if wanted.files:
        name = FILES + wanted.encryption.suffix
        doing = "keeping files with settings"
        with _created(os.path.join(folder, name)) as out:
            members = [(one, one.lstrip("/")) for top in wanted.files for one in [top, *_listed(top, ())]]
            wanted.encryption.encrypt(lambda plain: lost.extend(_tar(members, plain)), out, doing)
        entries.append(_entry("files", folder, name, wanted.encryption.method))
    return entries, lost


def _created(path: str) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _entry(kind: str, folder: str, name: str, encrypted: str) -> dict[str, Any]:
    return {"kind": kind, "path": name, "bytes": os.path.getsize(os.path.join(folder, name)), "encrypted": encrypted}


def _listed(top: str, without: Sequence[str]) -> Iterator[str]:
    """Return everything below ``top``, links as links, in a fixed order."""
    if os.path.islink(top) or not os.path.isdir(top):
        return
    for parent, folders, names in os.walk(top):
        if parent == top:
            folders[:] = [name for name in folders if name not in without]
        folders.sort()
        for name in sorted([*folders, *names]):
            yield os.path.join(parent, name)


def _size(path: str) -> int:
    try:
        about = os.lstat(path)
    except OSError:
        return 0
    return about.st_size + 1024 if stat.S_ISREG(about.st_mode) else 1024


class _Unreadable(Exception):
    """Why something could not be kept."""


class _Padded:
    """A file to read ``size`` bytes from: one that shrinks meanwhile is filled up, one that grows is cut."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._left = size
        self.short = False

    def read(self, size: int) -> bytes:
        size = min(size, self._left)
        data: bytes = b"" if self.short else self._file.read(size)
        if len(data) < size:
            self.short = True
            data += bytes(size - len(data))
        self._left -= len(data)
        return data


def _tar(members: Iterable[tuple[str, str]], out: Any) -> list[str]:
    """Write an archive, and return what could not be kept: CATMAID goes on while we read."""
    lost = []
    whole: Any = Whole(out)
    with tarfile.open(fileobj=whole, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK) as tar:
        for path, name in members:
            try:
                if not _add(tar, path, name):
                    lost.append(f"{path}: it became shorter while it was read")
            except _Unreadable as error:
                lost.append(f"{path}: {error}")
    return lost


def _add(tar: tarfile.TarFile, path: str, name: str) -> bool:
    """Add a file, folder or link; sockets and the like mean nothing later and are passed over."""
    try:
        info = tar.gettarinfo(path, arcname=name)
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) if info and info.isreg() else None
    except OSError as error:
        raise _Unreadable(error.strerror or str(error)) from error
    if handle is not None:
        with os.fdopen(handle, "rb") as file:
            padded: Any = _Padded(file, info.size)
            tar.addfile(info, padded)
        return not padded.short
    if info and (info.isdir() or info.issym() or info.islnk()):
        tar.addfile(info)
    return True
