# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive of pg_dump, as a file or folder: what wrote it, what it lists, whether every byte of it can be read."""

from __future__ import annotations

import os
import re
import tarfile
from dataclasses import dataclass, replace
from typing import IO

from ..errors import CatmaidError
from . import client, decompress, frames

# The first major version whose pg_restore reads archives of this format version (the second number of 1.x).
READERS = {16: 17, 15: 16}
OLDEST_READER = 10

_ENTRY = re.compile(r"^(?P<id>\d+); (?P<catalog>\d+) (?P<oid>\d+) (?P<text>.*)$")
_DEPENDS = ";\tdepends on:"
# Longer names first: "TABLE DATA" before "TABLE".
_KINDS = (
    "SEQUENCE OWNED BY",
    "MATERIALIZED VIEW DATA",
    "MATERIALIZED VIEW",
    "SEQUENCE SET",
    "TABLE DATA",
    "EVENT TRIGGER",
    "DEFAULT ACL",
    "FK CONSTRAINT",
    "COMMENT",
    "EXTENSION",
    "CONSTRAINT",
    "FUNCTION",
    "SEQUENCE",
    "TRIGGER",
    "SCHEMA",
    "DEFAULT",
    "INDEX",
    "TABLE",
    "TYPE",
    "VIEW",
    "ACL",
)


@dataclass(frozen=True)
class Entry:
    """A line of an archive's table of contents. ``text`` is the rest of the line behind the kind."""

    line: str
    oid: int
    kind: str
    text: str
    depends: tuple[int, ...] = ()

    @property
    def dump_id(self) -> int:
        """The number by which other entries depend on it."""
        return int(self.line.partition(";")[0])

    @property
    def owner(self) -> str:
        """The last word of the role that will own the object; empty where there is none."""
        return self.text.rpartition(" ")[2]


@dataclass(frozen=True)
class Contents:
    """What ``pg_restore --list`` says, or a plain dump. ``roles`` are all that it needs, where that can be known."""

    format: str
    server_version: str
    pg_dump_version: str
    entries: list[Entry]
    roles: frozenset[str] | None = None

    @property
    def server_major(self) -> int:
        """The major version of the server that was dumped."""
        match = re.match(r"\d+", self.server_version)
        return int(match.group()) if match else 0

    def data_oids(self) -> set[int]:
        """Return the tables whose rows the archive holds, by the number they had in the dumped database."""
        return {entry.oid for entry in self.entries if entry.kind == "TABLE DATA"}

    def extensions(self) -> list[str]:
        """Return the extensions that the archive creates."""
        return [entry.text.removeprefix("- ").strip() for entry in self.entries if entry.kind == "EXTENSION"]


def needed_version(path: str) -> int:
    """Return the lowest version of pg_restore that reads the archive, as a number like that of a server."""
    doing = f"looking at {path}"
    head = os.path.join(path, "toc.dat") if os.path.isdir(path) else path
    try:
        with open(head, "rb") as file:
            start = file.read(262)
    except OSError as error:
        raise CatmaidError(doing, error.strerror or str(error), "Name an archive of pg_dump.") from error
    if start[257:262] == b"ustar":
        return OLDEST_READER * 10000  # its table of contents lies inside the tar: pg_restore will say
    if start[:5] != b"PGDMP":
        raise CatmaidError(
            doing,
            "it is no archive of pg_dump",
            "An archive is written by pg_dump with -Fc, -Fd or -Ft; a file of SQL is none.",
        )
    return READERS.get(start[6], OLDEST_READER if start[6] < 15 else max(READERS.values())) * 10000


def contents(path: str, version: int) -> Contents:
    """Return the table of contents of an archive."""
    result = client.local(
        "pg_restore",
        ["--list", "--verbose", path],  # verbose: with what depends on what
        version=version,
        doing=f"reading the table of contents of {path}",
        remedy="The archive is damaged, or not one of pg_dump: take another one.",
    )
    return parse(result.stdout)


def parse(text: str) -> Contents:
    """Return what the output of ``pg_restore --list`` says."""
    head: dict[str, str] = {}
    entries: list[Entry] = []
    for line in text.splitlines():
        if line.startswith(_DEPENDS) and entries:
            needed = tuple(int(number) for number in line[len(_DEPENDS) :].split())
            entries[-1] = replace(entries[-1], depends=needed)
        elif line.startswith(";"):
            name, colon, value = line.lstrip("; ").partition(":")
            if colon:
                head.setdefault(name.strip(), value.strip())
        else:
            match = _ENTRY.match(line)
            if match:
                kind = next((kind for kind in _KINDS if match["text"].startswith(f"{kind} ")), "")
                entries.append(Entry(line, int(match["oid"]), kind, match["text"][len(kind) :].lstrip()))
    return Contents(
        format=head.get("Format", "").lower(),
        server_version=head.get("Dumped from database version", "").split(" ")[0],
        pg_dump_version=head.get("Dumped by pg_dump version", "").split(" ")[0],
        entries=entries,
    )


def read_back(path: str, version: int, rows_to: IO[bytes] | None = None) -> float:
    """Read every byte of an archive as a restore would; return the seconds it took. ``rows_to`` gets its rows as SQL.

    Neither the table of contents nor the code of ``pg_restore --list`` would notice that a file is cut short.
    """
    _check_tar(path)
    if os.path.isdir(path):
        frames.check(path)
    with decompress.readable(path, version) as source:
        result = client.local(
            "pg_restore",
            [*(["--section=data", "--file=-"] if rows_to else ["--file", "/dev/null"]), *source.arguments],
            version=version,
            doing=f"reading back {path}",
            remedy="The archive is damaged: take another one.",
            stdin_from=source.stdin,
            stdout_to=rows_to,
            on_start=source.on_start,
        )
    return result.seconds


def _check_tar(path: str) -> None:
    """Refuse a tar that is cut short: pg_restore takes what is there for all there was, and reports success."""
    if os.path.isdir(path) or not tarfile.is_tarfile(path):
        return
    doing, remedy = f"reading back {path}", "The archive is damaged: take another one."
    try:
        with tarfile.open(path) as tar:
            last = tar.getmembers()[-1]
    except (tarfile.TarError, IndexError, OSError) as error:
        raise CatmaidError(doing, str(error), remedy) from error
    blocks = -(-last.size // tarfile.BLOCKSIZE)
    if os.path.getsize(path) < last.offset_data + blocks * tarfile.BLOCKSIZE:
        raise CatmaidError(doing, f"it ends in the middle of {last.name}", remedy)
