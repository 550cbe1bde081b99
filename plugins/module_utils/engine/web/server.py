# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of nginx.conf that no site can set: edited in place, with a note of what was there before."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .. import files
from ..errors import CatmaidError, of_system
from . import nginx

# Comments, quoted words, other words, and what ends a statement
TOKEN = re.compile(r"""\#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|(?:\$\{[^}]*\}|[^\s{};])+""", re.DOTALL)
NOTE = "# catmaid.admin instead of: "
NOTHING = "nothing"
ADDED = re.compile(rf"^[ \t]*\w+ [^;{{}}\n]+; {re.escape(NOTE)}{NOTHING}\n", re.MULTILINE)
CHANGED = re.compile(rf"\w+ [^;{{}}\n]+; {re.escape(NOTE)}(.*)")
EVENTS = "events"
# A directive and the block that it belongs to; the file itself is "".
BLOCKS = {"worker_processes": "", "worker_rlimit_nofile": "", "worker_connections": EVENTS, "multi_accept": EVENTS}


@dataclass(frozen=True)
class Statement:
    """A directive, or the beginning of a block, and where it stands in the text, its semicolon or brace included."""

    block: str
    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Outcome:
    """Whether something changed, or would, and from what to what."""

    changed: bool
    path: str
    before: str
    after: str


def statements(text: str) -> Iterator[Statement]:
    """Return the statements of a configuration; those of blocks within blocks are named a/b."""
    blocks: list[str] = []
    words: list[re.Match[str]] = []
    for found in TOKEN.finditer(text):
        part = found.group()
        if part.startswith("#"):
            continue
        if part not in ("{", "}", ";"):
            words.append(found)
            continue
        if words:
            yield Statement("/".join(blocks), words[0].group(), words[0].start(), found.end())
        if part == "{":
            blocks.append(words[0].group() if words else "")
        elif part == "}" and blocks:
            blocks.pop()
        words = []


def without_numbers(text: str) -> str:
    """Return the configuration as it was before :func:`with_numbers`, with whatever else has changed since."""
    return CHANGED.sub(lambda found: found.group(1), ADDED.sub("", text))


def with_numbers(text: str, wanted: Mapping[str, str]) -> str:
    """Return the configuration with the directives that are ``wanted``, and with notes of what was there instead."""
    text = without_numbers(text)
    for name, value in wanted.items():
        text = _with(text, name, value)
    return text


def _with(text: str, name: str, value: str) -> str:
    found = list(statements(text))
    new = f"{name} {value};"
    for one in found:
        if (one.block, one.name) == (BLOCKS[name], name):
            old = text[one.start : one.end]
            if old.split() == new.split():
                return text
            line, rest = _split_line(text[one.end :])
            return f"{text[: one.start]}{new} {NOTE}{' '.join(old.split()) if chr(10) in old else old}{line}{rest}"
    events = next((one for one in found if (one.block, one.name) == ("", EVENTS)), None)
    if events is None:
        raise CatmaidError("setting the numbers of nginx", "nginx.conf has no block events", "Look what it includes.")
    if BLOCKS[name] == "":
        begin = text.rfind("\n", 0, events.start) + 1
        return f"{text[:begin]}{new} {NOTE}{NOTHING}\n{text[begin:]}"
    line, rest = _split_line(text[events.end :])
    return f"{text[: events.end]}{line}\n\t{new} {NOTE}{NOTHING}{rest or chr(10)}"


def _split_line(text: str) -> tuple[str, str]:
    """Divide what follows a statement: the rest of its line if it may stand in a comment, and all that may not."""
    line, newline, rest = text.partition("\n")
    if not line.strip() or line.lstrip().startswith("#"):
        return line, newline + rest
    return "", f"\n{text}"


def activate(config_dir: str, wanted: Mapping[str, str] | None, *, check: bool = False) -> Outcome:
    """Let nginx work by the wanted numbers, or by those from before us. What it does not take is undone."""
    path = os.path.realpath(os.path.join(config_dir, "nginx.conf"))
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            before = file.read()
    except OSError as error:
        raise of_system("reading the numbers of nginx", error) from error
    after = with_numbers(before, wanted) if wanted else without_numbers(before)
    open_files = int((wanted or {}).get("worker_rlimit_nofile", 0))
    least = nginx.least_open_files()
    if before == after and (least is None or least >= open_files):
        return Outcome(False, path, before, after)
    nginx.rehearse(config_dir, {"nginx.conf": after}, "testing nginx's configuration with other numbers")
    if not check:
        nginx.change(
            config_dir,
            do=lambda: _write(path, after, mode),
            undo=lambda: _write(path, before, mode),
            prove=lambda: _prove(open_files),
            what="nginx.conf",
        )
    return Outcome(True, path, before, after)


def _write(path: str, text: str, mode: int) -> None:
    try:
        files.write_bytes_atomically(path, text.encode("utf-8", "surrogateescape"), mode)
    except OSError as error:
        raise of_system("writing the numbers of nginx", error) from error


def _prove(open_files: int) -> None:
    """Look whether the kernel has let nginx's processes open as many files as they should."""
    deadline = time.monotonic() + nginx.RELOADED_WITHIN
    while (least := nginx.least_open_files()) is None and time.monotonic() < deadline:
        time.sleep(nginx.PAUSE)
    if least is not None and least < open_files:
        raise CatmaidError(
            "setting the numbers of nginx",
            f"its processes may open {least} files at once, not {open_files}",
            "Raise LimitNOFILE of nginx.service, or want fewer.",
        )
