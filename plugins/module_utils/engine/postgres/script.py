# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain dump of pg_dump, followed as the server would read it: statement by statement, and the rows of each COPY.

Nothing here runs anything. What psql would do by itself, its commands that begin with a backslash, is found and told
apart, because a file that one was given could do anything by them. Only as much is in memory as the longest statement.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ..errors import CatmaidError
from .toc import Entry

HEADER = b"-- PostgreSQL database"
FOOTER = b"-- PostgreSQL database dump complete"
CLUSTER = b"-- PostgreSQL database cluster dump"
CUT_SHORT = "Take another one: nothing of it was restored."
SECTIONS = ("pre-data", "data", "post-data")
DATA = ("TABLE DATA", "SEQUENCE SET", "BLOBS", "BLOB")
# With the first of these begins what pg_dump restores last: it writes the sections in their order.
POST_DATA = (
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "STATISTICS",
    "RULE",
    "TRIGGER",
    "EVENT TRIGGER",
    "POLICY",
    "ROW SECURITY",
    "MATERIALIZED VIEW DATA",
    "DEFAULT ACL",
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SUBSCRIPTION",
)

_NAMED = re.compile(
    r"^-- (?:Data for )?Name: (?P<name>.*); Type: (?P<kind>[A-Z ]+); Schema: (?P<schema>.*); Owner:(?: (?P<owner>.*))?$"
)
_FACT = re.compile(rb"^-- Dumped (from database version|by pg_dump version) (\S+)")
_TABLESPACE = re.compile(r"; Tablespace: .*$")
# Words first: a dollar or a quote in or behind a name begins no string.
_TOKEN = re.compile(
    rb"(?P<escaped>[eE]')|(?P<word>[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)|(?P<quote>['\"])"
    rb"|(?P<dollar>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$)|(?P<line>--)|(?P<open>/\*)|(?P<mark>[();\\])"
)
_ENDS = {b"'": re.compile(rb"''|'"), b'"': re.compile(rb'""|"'), b"E": re.compile(rb"\\.|''|'", re.DOTALL)}
_COMMENT = re.compile(rb"/\*|\*/")
_COPY = re.compile(rb"\s*COPY\s.*\sFROM\s+stdin\s*;\s*$", re.DOTALL | re.IGNORECASE)
_INTO = re.compile(rb'\s*(?:COPY|INSERT\s+INTO)\s+(?:("(?:[^"]|"")+"|[^\s";.(]+)\.)?("(?:[^"]|"")+"|[^\s";.(]+)[\s(]')
_BODIES = {"FUNCTION", "PROCEDURE"}
WORDS = 24
# Words that somebody may have to know of wherever they stand
MENTIONED = {"SESSION_REPLICATION_ROLE", "SET_CONFIG", "SETVAL", "PROGRAM"}


class Blocks(Protocol):
    """Something that gives its bytes block by block, nothing at the end."""

    def read(self) -> bytes:
        """Return the next block."""


@dataclass(frozen=True)
class Item:
    """A statement, or a command of psql. ``words`` are its first ones outside of quotes, in capitals.

    ``entry`` is what pg_dump's comment before it says; it is None in front of the first such comment.
    ``rows`` tells that the rows of a COPY follow, ``groups`` how many rows in parentheses the statement itself has.
    ``mentions`` are the words of MENTIONED that stand anywhere outside of quotes.
    """

    text: bytes
    words: tuple[str, ...]
    line: int
    section: str
    entry: Entry | None
    command: bool = False
    rows: bool = False
    groups: int = 0
    mentions: frozenset[str] = frozenset()


class Script:
    """A dump that is being read. ``complete`` is known at its end: whether pg_dump has written its last line.

    ``cluster`` says that pg_dumpall wrote it. ``counted`` are the rows of each table, by schema and name, of those that
    were passed over.
    """

    def __init__(self, path: str, source: Blocks) -> None:
        self.path = path
        self.line = 0
        self.complete = False
        self.cluster = False
        self.versions: dict[str, str] = {}
        self.entries: list[Entry] = []
        self.counted: Counter[tuple[str, str]] = Counter()
        self._source = source
        self._buffer = b""
        self._start = 0
        self._section = 0
        self._rows = False

    def items(self) -> Iterator[Item]:
        """Yield everything in its order. The rows of a COPY are passed over unless :meth:`rows` was read to its end."""
        statement = _Statement()
        for line in iter(self._read_line, b""):
            self.line += 1
            if statement.blank:
                statement = _Statement(self.line)
                if line.startswith(b"--"):
                    self._remark(line)
                    continue
            at = 0
            while at < len(line):
                at = statement.feed(line, at)
                if not (statement.ended or statement.command):
                    break
                item = self._item(statement, line[at:].strip())
                if item.command or item.rows:
                    at = len(line)
                yield item
                passed = self.line
                for _block in self.rows():
                    pass
                self._count(item, self.line - passed - 1)
                statement = _Statement(self.line)
        if not statement.blank:
            raise self.error(f"it ends in the middle of the statement in line {statement.line}", CUT_SHORT)

    def rows(self) -> Iterator[bytes]:
        """Yield what follows the COPY that was the last item, up to the line that ends it."""
        while self._rows:
            found = self._end_of_rows()
            if found is None:
                # The last line stays, as it may be a part of the end.
                cut = self._buffer.rfind(b"\n", self._start) + 1
                if cut > self._start:
                    yield self._take(cut)
                if not self._fill():
                    raise self.error("it ends in the middle of the rows of a table", CUT_SHORT)
                continue
            end, after = found
            self._rows = False
            if end > self._start:
                yield self._take(end)
            self._start = after
            self.line += 1

    def error(self, cause: str, remedy: str = "") -> CatmaidError:
        """Return an error about the line that was read last."""
        return CatmaidError(f"reading {self.path}", f"line {self.line}: {cause}", remedy)

    def _item(self, statement: _Statement, rest: bytes) -> Item:
        text = bytes(statement.text)
        self.complete = self.complete and statement.command  # there is more of it
        self._rows = statement.words[:1] == ["COPY"] and statement.tail == ("FROM", "STDIN") and bool(_COPY.match(text))
        if self._rows and rest:
            raise self.error("something stands behind COPY in its line", "pg_dump does not write that.")
        return Item(
            rest if statement.command else text,
            tuple(statement.words),
            statement.line,
            SECTIONS[self._section],
            self.entries[-1] if self.entries else None,
            statement.command,
            self._rows,
            statement.groups,
            frozenset(statement.mentions),
        )

    def _count(self, item: Item, lines: int) -> None:
        """Add up the rows of a statement, to those of its table; ``lines`` are those between COPY and its end."""
        match = _INTO.match(item.text) if item.rows or item.words[:2] == ("INSERT", "INTO") else None
        if not match:
            return
        schema, name = (plain_name(part.decode("utf-8", "surrogateescape")) if part else "" for part in match.groups())
        if not schema and item.entry:  # until 2018 pg_dump left it to the search path
            schema = item.entry.text.partition(f" {name} ")[0]
        self.counted[schema, name] += lines if item.rows else max(item.groups, 1)

    def _remark(self, line: bytes) -> None:
        self.complete = self.complete or line.rstrip() == FOOTER
        self.cluster = self.cluster or line.rstrip() == CLUSTER
        fact = _FACT.match(line)
        if fact:
            self.versions.setdefault(fact[1].decode(), fact[2].decode("utf-8", "replace"))
        named = _NAMED.match(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))
        if named:
            owner = _TABLESPACE.sub("", named["owner"] or "")
            owner = "" if owner == "-" else owner  # as the table of contents of an archive has it
            text = f"{named['schema']} {named['name']} {owner}"
            self.entries.append(Entry(f"{named['kind']} {text}", 0, named["kind"], text))
            if named["kind"] in POST_DATA:
                self._section = 2
            elif named["kind"] in DATA:
                self._section = max(self._section, 1)

    def _read_line(self) -> bytes:
        searched = self._start
        while True:
            end = self._buffer.find(b"\n", searched)
            if end >= 0:
                return self._take(end + 1, count=False)
            searched = len(self._buffer) - self._start
            if not self._fill():
                return self._take(len(self._buffer), count=False)

    def _end_of_rows(self) -> tuple[int, int] | None:
        """Return where the rows end and where the line behind them begins, None if that is not in the buffer."""
        at = self._start
        while True:
            if not self._buffer.startswith(b"\\.", at):
                at = self._buffer.find(b"\n\\.", at) + 1
                if not at:
                    return None
            end = self._buffer.find(b"\n", at)
            if end < 0:
                return None
            if self._buffer[at + 2 : end] in (b"", b"\r"):
                return at, end + 1
            at = end

    def _take(self, end: int, *, count: bool = True) -> bytes:
        taken = self._buffer[self._start : end]
        self._start = end
        if count:
            self.line += taken.count(b"\n")
        return taken

    def _fill(self) -> bool:
        block = self._source.read()
        self._buffer = self._buffer[self._start :] + block
        self._start = 0
        return bool(block)


def plain_name(name: str) -> str:
    """Return an identifier without its quotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


class _Statement:
    """What was read of a statement, and in what kind of quotes or comment its last line has ended."""

    def __init__(self, line: int = 0) -> None:
        self.text = bytearray()
        self.words: list[str] = []
        self.mentions: set[str] = set()
        self.tail = ("", "")
        self.line = line
        self.ended = False
        self.command = False
        self.groups = 0
        self._begun = False
        self._inside = b""  # what ends it: a quote, E for one with escapes, a dollar tag, * for a comment
        self._comments = 0
        self._parentheses = 0
        self._bodies = 0
        self._escapes = False  # a string with escapes has just ended, and goes on in another line

    @property
    def blank(self) -> bool:
        """Whether there is nothing of it yet but comments."""
        return not self._begun and not self._inside

    def feed(self, line: bytes, at: int) -> int:
        """Read ``line`` from ``at`` on; return where the statement ends in it, its length if it does not."""
        start = at
        while at < len(line):
            at = self._close(line, at) if self._inside else self._next(line, at)
            if self.ended or self.command:
                break
        self.text += line[start:at]
        return at

    def _close(self, line: bytes, at: int) -> int:
        """Return where that what we are in ends, or the line."""
        if self._inside == b"*":
            found = _COMMENT.search(line, at)
            if not found:
                return len(line)
            self._comments += 1 if found[0] == b"/*" else -1
            if not self._comments:
                self._inside = b""
            return found.end()
        if self._inside.startswith(b"$"):
            end = line.find(self._inside, at)
            if end < 0:
                return len(line)
            end += len(self._inside)
            self._inside = b""
            return end
        found = _ENDS[self._inside].search(line, at)
        if not found:
            return len(line)
        if len(found[0]) == 1 and found[0] in b"'\"":
            self._escapes = self._inside == b"E"
            self._inside = b""
        return found.end()

    def _next(self, line: bytes, at: int) -> int:
        """Read up to the end of the next token that matters."""
        found = _TOKEN.search(line, at)
        if (line[at : found.start()] if found else line[at:]).strip():
            self._begun, self._escapes = True, False
        if not found or found.lastgroup == "line":
            return len(line)
        kind, token = found.lastgroup, found[0]
        if kind == "open":
            self._inside, self._comments = b"*", 1
            return found.end()
        self._begun = True
        if kind == "quote":
            self._inside = b"E" if token == b"'" and self._escapes else token
        elif kind == "escaped":
            self._inside = b"E"
        elif kind == "dollar":
            self._inside = token
        elif kind == "word":
            self._word(token.decode("utf-8", "replace").upper())
        else:
            self._mark(token)
        self._escapes = False
        return found.end()

    def _word(self, word: str) -> None:
        if len(self.words) < WORDS:
            self.words.append(word)
        if word in MENTIONED:
            self.mentions.add(word)
        self.tail = (self.tail[1], word)
        if word == "VALUES" and not self._parentheses:
            self.groups = 0  # what was in parentheses before are the columns
        # A body in SQL itself has semicolons that do not end the statement.
        if self.words[0] == "CREATE" and _BODIES & set(self.words[1:4]):
            if word == "BEGIN" or (word == "CASE" and self._bodies):
                self._bodies += 1
            elif word == "END" and self._bodies:
                self._bodies -= 1

    def _mark(self, token: bytes) -> None:
        if token == b"\\":
            self.command = True
        elif token == b";":
            self.ended = self._parentheses <= 0 and not self._bodies
        else:
            self._parentheses += 1 if token == b"(" else -1
            self.groups += token == b")" and not self._parentheses
