# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a compressed file ends where zstd or lz4 ended it.

pg_restore 16 and later take the end of a file that was cut short for the end of the table, and report success. The
formats tell the length of each block, so the end is found without decompressing anything.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import IO

from ..errors import CatmaidError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
REPEATED_BYTE = 1  # the kind of a zstd block that is one byte long, whatever length it tells


class _CutShortError(Exception):
    """The file ends before its last block."""


def check(folder: str) -> None:
    """Refuse a folder in which a file of zstd or lz4 is cut short, or has something behind its end."""
    for name in sorted(os.listdir(folder)):
        walk = _WALKS.get(os.path.splitext(name)[1])
        if walk is None:
            continue
        path = os.path.join(folder, name)
        try:
            with open(path, "rb") as file:
                walk(file)
                while file.tell() < os.fstat(file.fileno()).st_size:
                    walk(file)
        except _CutShortError as error:
            remedy = "The archive is damaged: take another one."
            raise CatmaidError(f"reading back {path}", "it is cut short, or not what its name says", remedy) from error


def _walk_zstd(file: IO[bytes]) -> None:
    if _take(file, 4) != ZSTD_MAGIC:
        raise _CutShortError
    descriptor = _take(file, 1)[0]
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    size_of_size = (single, 2, 4, 8)[descriptor >> 6]
    size_of_dictionary = (0, 1, 2, 4)[descriptor & 3]
    _skip(file, (0 if single else 1) + size_of_dictionary + size_of_size)
    last = 0
    while not last:
        block = int.from_bytes(_take(file, 3), "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        _skip(file, 1 if kind == REPEATED_BYTE else size)
    _skip(file, 4 * checksum)


def _walk_lz4(file: IO[bytes]) -> None:
    if _take(file, 4) != LZ4_MAGIC:
        raise _CutShortError
    flags = _take(file, 2)[0]
    block_checksums, has_size, checksum, dictionary = (flags >> bit & 1 for bit in (4, 3, 2, 0))
    _skip(file, 8 * has_size + 4 * dictionary + 1)
    while True:
        (size,) = struct.unpack("<I", _take(file, 4))
        if size == 0:
            break
        _skip(file, (size & 0x7FFFFFFF) + 4 * block_checksums)
    _skip(file, 4 * checksum)


def _take(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _CutShortError
    return data


def _skip(file: IO[bytes], size: int) -> None:
    """Go on, but not behind the end."""
    if file.seek(size, os.SEEK_CUR) > os.fstat(file.fileno()).st_size:
        raise _CutShortError


_WALKS: dict[str, Callable[[IO[bytes]], None]] = {".zst": _walk_zstd, ".lz4": _walk_lz4}
