# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump whose files the program zstd has compressed, for a pg_restore that does not know zstd, without a second copy.

pg_restore takes neither links nor pipes for the files of a folder, but an archive of format custom it reads from its
standard input: the same table of contents, then the data of each table in pieces with their lengths, and a zero at the
end. We write that while zstd decompresses. Of a damaged file the zero never comes, so pg_restore cannot take a part for
the whole. What it does not ask for it skips.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from ..errors import CatmaidError
from . import compress
from .entries import Entries, Entry, as_custom, number

FIRST_WITH_ZSTD = 160000
DATA, LARGE_OBJECTS = b"\1", b"\3"  # kinds of blocks in the format custom
PIECE = 65536
SUFFIXES = (compress.SUFFIX, ".gz", ".lz4")
REMEDY = "The archive is damaged: take another one."


@dataclass(frozen=True)
class Readable:
    """How to let pg_restore read an archive: by name, or else from its standard input."""

    path: str | None
    stdin: IO[bytes] | None = None
    on_start: Callable[[subprocess.Popen[Any]], None] | None = None

    @property
    def arguments(self) -> list[str]:
        """What to name to pg_restore."""
        return [self.path] if self.path else ["--format=custom"]


def needed(archive: str, version: int) -> bool:
    """Return whether a pg_restore of this version needs our help with the archive."""
    if version >= FIRST_WITH_ZSTD or not os.path.isdir(archive):
        return False
    return any(name.endswith(compress.SUFFIX) for name in os.listdir(archive))


@contextmanager
def readable(archive: str, version: int, only: Collection[int] | None = None) -> Iterator[Readable]:
    """Yield how the pg_restore that the body runs, once, reads the archive; ``only`` these entries' data are there."""
    if not needed(archive, version):
        yield Readable(archive)
        return
    if not compress.available():
        raise CatmaidError(
            f"reading {archive}",
            "it is compressed with zstd, which this pg_restore does not know, and there is no program zstd",
            "Install the package zstd, or the programs of PostgreSQL 16 or newer.",
        )
    writer = _Writer(archive, only)
    source, sink = os.pipe()
    compress.resize(sink, compress.PIPE_SIZE)
    thread = threading.Thread(target=writer.run, args=(sink,), daemon=True)
    with os.fdopen(source, "rb") as stdin:
        thread.start()
        try:
            # Once pg_restore has its end of the pipe we give ours away, so that our writing ends when it does.
            yield Readable(None, stdin, lambda _process: stdin.close())
        except CatmaidError as error:
            stdin.close()
            thread.join()
            if writer.error:
                raise writer.error from error  # pg_restore only knows that something is missing
            raise
        finally:
            stdin.close()
            thread.join()
    if writer.error:
        raise writer.error


def file_size(archive: str, name: str) -> int:
    """Return the bytes of a file of an archive, however it is compressed; 0 when it has none of that name."""
    for suffix in ("", *SUFFIXES):
        with suppress(FileNotFoundError):
            return os.path.getsize(os.path.join(archive, name) + suffix)
    return 0


class _Writer:
    """The thread that writes what pg_restore reads."""

    def __init__(self, archive: str, only: Collection[int] | None) -> None:
        self.error: CatmaidError | None = None
        self._archive = archive
        self._only = only
        self._int_size = 4

    def run(self, sink: int) -> None:
        """Write all of it, or until nobody reads any more."""
        # The end of the pipe says nothing: an archive that lacks something is an error for whoever reads it.
        try:
            with os.fdopen(sink, "wb", buffering=4 * PIECE) as out:
                self._write(out)
        except BrokenPipeError:
            pass  # it has what it wanted, or will say why it has not
        except CatmaidError as error:
            self.error = error
        except OSError as error:
            self.error = CatmaidError(f"reading {self._archive}", error.strerror or str(error), REMEDY)

    def _write(self, out: IO[bytes]) -> None:
        contents, entries = _contents(self._archive)
        self._int_size = contents.int_size
        out.write(as_custom(contents.head, entries, contents.offset_size))
        for entry in entries:
            if entry.file and (self._only is None or entry.dump_id in self._only):
                self._write_entry(out, entry)

    def _write_entry(self, out: IO[bytes], entry: Entry) -> None:
        if entry.kind != "BLOBS":
            out.write(DATA + number(entry.dump_id, self._int_size))
            self._write_file(out, entry.file)
            return
        out.write(LARGE_OBJECTS + number(entry.dump_id, self._int_size))
        with open(os.path.join(self._archive, entry.file), encoding="ascii") as listed:
            for line in listed:
                oid, _blank, name = line.rstrip("\n").partition(" ")
                out.write(number(int(oid), self._int_size))
                self._write_file(out, name)
        out.write(number(0, self._int_size))

    def _write_file(self, out: IO[bytes], name: str) -> None:
        plain = os.path.join(self._archive, name)
        if os.path.exists(plain):
            with open(plain, "rb") as file:
                self._write_pieces(out, file)
        else:
            with open(plain + compress.SUFFIX, "rb") as packed, _decompressed(packed) as file:
                self._write_pieces(out, file)
        out.write(number(0, self._int_size))  # only now: zstd was content

    def _write_pieces(self, out: IO[bytes], file: IO[bytes]) -> None:
        for piece in iter(lambda: file.read(PIECE), b""):
            out.write(number(len(piece), self._int_size))
            out.write(piece)


@contextmanager
def _decompressed(packed: IO[bytes]) -> Iterator[IO[bytes]]:
    child = compress.spawn(["--decompress"], packed.fileno(), subprocess.PIPE)
    if child.stdout is None or child.stderr is None:
        raise OSError("no pipes")
    with child.stdout, child.stderr:
        try:
            compress.resize(child.stdout.fileno(), compress.PIPE_SIZE)
            yield child.stdout
        except BaseException:
            child.kill()
            child.wait()
            raise
        words = compress.said(child)
        if child.wait():
            raise CatmaidError(f"decompressing {packed.name}", f"zstd ended with {child.returncode}: {words}", REMEDY)


def _contents(archive: str) -> tuple[Entries, list[Entry]]:
    contents = Entries()
    with open(os.path.join(archive, compress.TOC), "rb") as file:
        entries = contents.feed(file.read())
    if not contents.complete:
        raise CatmaidError(f"reading the table of contents of {archive}", "it is damaged, or too new", REMEDY)
    return contents, entries
