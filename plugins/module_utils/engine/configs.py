# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files that people wrote by hand: systemd, supervisor, uWSGI, nginx. Texts in, plain values out."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

LARGEST = 1024 * 1024  # a larger file is no configuration
SECTION = re.compile(r"^\[([^\]]+)\]\s*$")
# Of nginx: a comment, a quoted word, a mark, or a bare word, in which a backslash takes the meaning of what follows
TOKEN = re.compile(r"""#[^\n]*|"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([{};])|((?:\\.|\$\{[^}]*\}|[^\s{};"'\\])+)""")

ESCAPED = re.compile(r"""\\(["'\\])""")  # what nginx takes a backslash away from; others have a meaning in patterns


@dataclass(frozen=True)
class Section:
    """A named part of a file, with its options in their order; uWSGI and systemd repeat some."""

    name: str
    entries: tuple[tuple[str, str], ...]

    def last(self, *names: str) -> str:
        """Return the last value of an option that has one of these names."""
        return next((value for key, value in reversed(self.entries) if key in names), "")

    def all(self, *names: str) -> list[str]:
        """Return all values of an option."""
        return [value for key, value in self.entries if key in names]


@dataclass(frozen=True)
class Directive:
    """What nginx is told: words, and for a block what is in it."""

    words: tuple[str, ...]
    block: tuple[Directive, ...] = field(default=())

    @property
    def name(self) -> str:
        """Its first word."""
        return self.words[0] if self.words else ""

    def inside(self, *names: str) -> Iterator[Directive]:
        """Yield the directives of these names, however deep."""
        for directive in self.block:
            if directive.name in names:
                yield directive
            yield from directive.inside(*names)


def read(*patterns: str) -> dict[str, str]:
    """Return the texts of the files that match, by path. What cannot be read is left out."""
    found: dict[str, str] = {}
    for path in sorted(path for pattern in patterns for path in glob.glob(pattern)):
        try:
            if os.path.isfile(path) and os.path.getsize(path) <= LARGEST:
                with open(path, encoding="utf-8", errors="replace") as file:
                    found[path] = file.read()
        except OSError:
            continue
    return found


def systemd(text: str) -> list[Section]:
    """Return the sections of a unit; a backslash at the end of a line goes on in the next one."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
    return _sections("\n".join(lines).replace("\\\n", " ").splitlines())


def supervisor(text: str) -> list[Section]:
    """Return the sections of a file of supervisor: indented lines go on, and a semicolon after a blank is a remark."""
    joined: list[str] = []
    for line in text.splitlines():
        bare = re.split(r"(?:^|\s);", line, maxsplit=1)[0].rstrip()
        if line.lstrip().startswith("#") or not bare.strip():
            continue
        if line[0] in " \t" and joined and not SECTION.match(joined[-1]):
            joined[-1] += f"\n{bare.strip()}"
        else:
            joined.append(bare.strip())
    return _sections(joined)


def uwsgi(text: str, path: str) -> Section:
    """Return what is in the section uwsgi, with the values of other options of the file, and its own folder, put in."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
    entries = [
        (key.replace("_", "-"), value)
        for section in _sections(lines)
        if section.name == "uwsgi"
        for key, value in section.entries
    ]
    known = dict(entries)
    own = {"%d": f"{os.path.dirname(path)}/", "%p": path, "%n": os.path.splitext(os.path.basename(path))[0]}

    def put_in(value: str, depth: int = 5) -> str:
        for mark, meant in own.items():
            value = re.sub(f"{mark}(?![A-Za-z(])", meant.replace("\\", r"\\"), value)
        named = re.sub(r"%\(([^)]+)\)", lambda match: known.get(match.group(1), match.group()), value)
        return put_in(named, depth - 1) if named != value and depth else named

    return Section("uwsgi", tuple((key, put_in(value)) for key, value in entries))


def nginx(text: str) -> tuple[Directive, ...]:
    """Return the directives of a file of nginx. What is not closed ends with the file."""
    return _block(
        (
            match.group(3) or "",
            ESCAPED.sub(r"\1", next((part for part in match.group(1, 2, 4) if part is not None), "")),
        )
        for match in TOKEN.finditer(text)
        if not match.group().startswith("#")
    )


def _block(tokens: Iterator[tuple[str, str]]) -> tuple[Directive, ...]:
    found: list[Directive] = []
    words: list[str] = []
    for mark, word in tokens:
        if not mark:
            words.append(word)
        elif mark == "}":
            break
        else:
            block = _block(tokens) if mark == "{" else ()
            if words:
                found.append(Directive(tuple(words), block))
            words = []
    return tuple(found)


def _sections(lines: Iterable[str]) -> list[Section]:
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for line in lines:
        match = SECTION.match(line.strip())
        if match:
            found.append((match.group(1).strip(), []))
        elif found and line.strip():
            key, _equals, value = line.partition("=")
            found[-1][1].append((key.strip(), value.strip()))
    return [Section(name, tuple(entries)) for name, entries in found]
