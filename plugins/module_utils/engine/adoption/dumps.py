# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old dumps: the lines of cron that make them, and what has become of the files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..backups import foreign
from ..errors import CatmaidError
from ..postgres import plain, toc
from .hidden import without_passwords

MAKERS = re.compile(r"\b(pg_dump|pg_dumpall|backup-min-database\.sh|backup-database\.py)\b")
# Where a command writes: an option of pg_dump, or what the shell does with its output
TARGETS = (
    re.compile(r"(?:\s-f\s*|\s--file[= ]\s*)(?:\"([^\"]+)\"|'([^']+)'|(\S+))"),
    re.compile(r">\s*(?:\"([^\"]+)\"|'([^']+)'|([^\s;&|]+))"),
)
BASE_DIR = re.compile(r"\bBASE_DIR=[\"']?([^\s\"';]+)")
COMPUTED = re.compile(r"\$\([^)]*\)|`[^`]*`|\$\{[^}]*\}|\$\w+")
LINE = re.compile(r"^\s*(?!#)(?:@\w+|(?:\S+\s+){4}\S+)\s+\S")
# Read through are the newest, unless they are large: to read the dumps of years would take hours.
LOOKED_AT = 5
LARGEST = 1024 * 1024 * 1024


@dataclass(frozen=True)
class Old:
    """A line of cron, without passwords, and its files: how many, how large, the newest, how many were read, what is
    wrong with these."""

    file: str
    line: str
    pattern: str = ""
    count: int = 0
    bytes: int = 0
    newest: str = ""
    newest_at: float = 0.0
    looked_at: int = 0
    broken: tuple[str, ...] = ()


def find(tables: Mapping[str, str], database: str) -> list[Old]:
    """Return the lines that dump this database, or all of them."""
    found = []
    for path, text in tables.items():
        for line in text.splitlines():
            if LINE.match(line) and MAKERS.search(line) and _means(line, database):
                found.append(_with_files(path, line))
    return found


def target(line: str) -> str:
    """Return the files that a line writes, with an asterisk for what is worked out each time; nothing if unknown."""
    command = line.replace("\\%", "%")
    folder = BASE_DIR.search(command)
    if folder and "backup-min-database" in command:
        return os.path.join(folder.group(1), "*")
    for pattern in TARGETS:
        for match in pattern.finditer(command):
            path = COMPUTED.sub("*", next(part for part in match.groups() if part))
            if path.startswith("/") and not path.startswith("/dev/"):
                return re.sub(r"\*+", "*", path)
    return ""


def _means(line: str, database: str) -> bool:
    if re.search(r"pg_dumpall|backup-min-database|backup-database", line):
        return True
    # Behind a slash it is a file, or the database in an address
    return bool(re.search(rf"(?:(?<![\w/.-])|://\S*/){re.escape(database)}(?![\w/.-])", line))


def _with_files(path: str, line: str) -> Old:
    pattern, line = target(line), without_passwords(line)
    files = sorted((name for name in glob.glob(pattern) if os.path.isfile(name)), key=os.path.getmtime)
    if not files:
        return Old(path, line, pattern)
    looked = [(name, _problem(name)) for name in files[-LOOKED_AT:] if os.path.getsize(name) <= LARGEST]
    return Old(
        file=path,
        line=line,
        pattern=pattern,
        count=len(files),
        bytes=sum(map(os.path.getsize, files)),
        newest=files[-1],
        newest_at=os.path.getmtime(files[-1]),
        looked_at=len(looked),
        broken=tuple(f"{os.path.basename(name)}: {problem}" for name, problem in looked if problem),
    )


def _problem(path: str) -> str:
    """Return what is wrong with a dump, after reading all of it; nothing if it is whole."""
    try:
        if os.path.getsize(path) == 0:
            return "it is empty"
        if foreign.kind(path) == foreign.ARCHIVE:
            toc.read_back(path, toc.needed_version(path))
        else:
            plain.survey(path)
    except CatmaidError as error:
        return error.cause
    except OSError as error:
        return str(error.strerror or error)
    return ""
