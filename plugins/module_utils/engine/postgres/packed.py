# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that may be compressed, known by how it begins and never by its name, read as a stream."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from ..errors import CatmaidError
from . import compress

BLOCK = 1024 * 1024
REMEDY = "It is damaged: take another one."
ZSTD = b"\x28\xb5\x2f\xfd"
LZ4 = b"\x04\x22\x4d\x18"

_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


class Stream:
    """The decompressed bytes of a file. Whatever is wrong with them is a :class:`CatmaidError`."""

    def __init__(self, path: str, file: IO[bytes], packed: bool = True) -> None:
        self.packed = packed
        self._path = path
        self._file = file

    def read(self) -> bytes:
        """Return the next block, nothing at the end."""
        try:
            return self._file.read(BLOCK)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise CatmaidError(f"reading {self._path}", f"it cannot be decompressed ({error})", REMEDY) from error


@contextmanager
def opened(path: str) -> Iterator[Stream]:
    """Yield the decompressed contents of ``path``; a file that is not compressed is its own contents."""
    with _file(path) as file:
        start = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
        if start.startswith(LZ4):
            raise CatmaidError(f"reading {path}", "it is compressed with lz4", "Decompress it first: lz4 -d.")
        if start.startswith(ZSTD):
            with _zstd(path, file) as stream:
                yield stream
        elif opener:
            with opener(file) as unpacked:
                yield Stream(path, unpacked)
        else:
            yield Stream(path, file, packed=False)


def _file(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise CatmaidError(f"reading {path}", error.strerror or str(error)) from error


def beginning(path: str, size: int) -> bytes:
    """Return the first bytes of the decompressed contents."""
    with opened(path) as stream:
        found = b""
        while len(found) < size:
            block = stream.read()
            if not block:
                break
            found += block
    return found[:size]


def check(path: str) -> None:
    """Read all of a compressed file: one that is damaged may give something else before it tells so."""
    with opened(path) as stream:
        while stream.packed and stream.read():
            pass


def text(path: str) -> str:
    """Return all of a file that is known to be small."""
    with opened(path) as stream:
        return b"".join(iter(stream.read, b"")).decode("utf-8", "replace")


class _Zstd(Stream):
    """What the program zstd writes; at the end its code tells whether that was all."""

    def __init__(self, path: str, child: subprocess.Popen[bytes], file: IO[bytes]) -> None:
        super().__init__(path, file)
        self._child = child

    def read(self) -> bytes:
        """Return the next block."""
        block = super().read()
        if not block and self._child.wait():
            words = compress.said(self._child)
            raise CatmaidError(f"reading {self._path}", f"it cannot be decompressed ({words})", REMEDY)
        return block


@contextmanager
def _zstd(path: str, file: IO[bytes]) -> Iterator[Stream]:
    if not compress.available():
        cause = "it is compressed with zstd, and there is no program zstd"
        raise CatmaidError(f"reading {path}", cause, "Install the package zstd.")
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # the file that Python has looked into is not where its buffer is
    child = compress.spawn(["--decompress"], file.fileno(), subprocess.PIPE)
    if child.stdout is None or child.stderr is None:
        raise OSError("no pipes")
    with child.stdout, child.stderr:
        try:
            yield _Zstd(path, child, child.stdout)
        finally:
            child.kill()  # it has ended, unless nobody wants the rest
            child.wait()
