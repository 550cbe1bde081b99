# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What toc.dat of a dump in a folder says, also while pg_dump still writes it: which rows come in which file.

The format is that of pg_dump 10 to 15: a byte for the sign before each number, and before each text its length.
"""

from __future__ import annotations

from dataclasses import dataclass

MAGIC = b"PGDMP"
NEWEST = 14  # the second number of the format's version
FIRST_WITH_ACCESS_METHOD = 14
TIME_PARTS = 7
FORMAT_AT = 10
CUSTOM = 1
POSITION_UNKNOWN, NO_DATA = 1, 3


class _ShortError(Exception):
    """The rest has not come yet."""


@dataclass(frozen=True)
class Entry:
    """An object of the archive. ``file`` holds its data, empty for none; ``raw`` is all but that."""

    dump_id: int
    oid: int
    kind: str
    file: str
    raw: bytes


class Entries:
    """Reads a table of contents piece by piece. What it does not understand it does not tell."""

    def __init__(self) -> None:
        self.head = b""
        self.understood = True
        self.int_size = 0
        self.offset_size = 0
        self._buffer = b""
        self._at = 0
        self._version = 0
        self._left: int | None = None

    def feed(self, block: bytes) -> list[Entry]:
        """Return the entries that another piece completes."""
        self._buffer += block
        self._at = start = 0
        found = []
        try:
            if self._left is None:
                self._read_head()
                self.head = self._buffer[: self._at]
                start = self._at
            while self._left:
                found.append(self._read_entry())
                self._left -= 1
                start = self._at
        except _ShortError:
            pass
        except ValueError:
            self.understood, self._left = False, 0
        self._buffer = self._buffer[start:] if self._left != 0 else b""
        return found

    @property
    def complete(self) -> bool:
        """Whether the last entry was read."""
        return self.understood and self._left == 0

    def _read_head(self) -> None:
        if self._take(len(MAGIC)) != MAGIC:
            raise ValueError
        _major, self._version, _revision, self.int_size, self.offset_size, _format = self._take(6)
        if self._version > NEWEST:
            raise ValueError
        for _number in range(1 + TIME_PARTS):  # the compression comes first
            self._int()
        for _name in ("database", "server", "pg_dump"):
            self._text()
        self._left = self._int()

    def _read_entry(self) -> Entry:
        start = self._at
        dump_id, has_data = self._int(), self._int()
        self._text()
        oid, _tag, kind = self._text(), self._text(), self._text()
        self._int()
        for _name in ("definition", "drop", "copy", "schema", "tablespace"):
            self._text()
        if self._version >= FIRST_WITH_ACCESS_METHOD:
            self._text()
        for _name in ("owner", "with oids"):
            self._text()
        while self._text() is not None:
            pass  # what it depends on
        end = self._at
        file = self._text() or ""
        return Entry(dump_id, int(oid or 0), kind or "", file if has_data else "", self._buffer[start:end])

    def _take(self, size: int) -> bytes:
        if size < 0:
            raise ValueError
        if self._at + size > len(self._buffer):
            raise _ShortError
        self._at += size
        return self._buffer[self._at - size : self._at]

    def _int(self) -> int:
        raw = self._take(1 + self.int_size)
        number = int.from_bytes(raw[1:], "little")
        return -number if raw[0] else number

    def _text(self) -> str | None:
        size = self._int()
        return None if size < 0 else self._take(size).decode("utf-8", "surrogateescape")


def number(value: int, int_size: int) -> bytes:
    """Return a number as archives write it."""
    return b"\0" + value.to_bytes(int_size, "little")


def as_custom(head: bytes, entries: list[Entry], offset_size: int) -> bytes:
    """Return the beginning of an archive in format custom, for a reader that cannot seek, up to the first rows."""
    start = head[:FORMAT_AT] + bytes([CUSTOM]) + head[FORMAT_AT + 1 :]
    nowhere = bytes(offset_size)
    return start + b"".join(
        entry.raw + bytes([POSITION_UNKNOWN if entry.file else NO_DATA]) + nowhere for entry in entries
    )
