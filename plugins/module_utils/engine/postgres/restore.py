# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore by sections, stopping at the first error."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from . import client, decompress
from .server import Server
from .toc import Contents

SECTIONS = ("pre-data", "data", "post-data")
MEBIBYTE = 1024 * 1024

# An index is of its table's schema. Names in quotes are not worth the trouble: this is about how long it takes.
_INDEX = re.compile(
    r"^CREATE (?:UNIQUE )?INDEX (?P<name>\w+) ON (?:ONLY )?(?P<schema>\w+)\.\w+ USING (?P<how>.+)", re.M
)

_PUBLIC = ("SCHEMA - public postgres", "COMMENT - SCHEMA public postgres")

Settings = Mapping[str, str]


@dataclass(frozen=True)
class Archive:
    """What to restore, the version of pg_restore that can, and the lines of its contents to leave out."""

    path: str
    contents: Contents
    version: int
    skip: Collection[str] = ()


@dataclass(frozen=True)
class Part:
    """Entries of a section, by their lines, or all of it; ``share`` is how many such parts share the memory."""

    section: str
    lines: frozenset[str] | None
    jobs: int = 1
    share: int = 0


def noise(contents: Contents, *, superuser: bool, in_place: bool) -> dict[str, str]:
    """Return the entries to leave out, each with the reason: all that is known to fail and to do no harm by it.

    pg_restore stops at the first error, so what would be a harmless one is not tried, rather than excused afterwards.
    """
    out = {}
    for entry in contents.entries:
        if entry.kind == "COMMENT" and entry.text.startswith("- EXTENSION ") and (in_place or not superuser):
            out[entry.line] = "the extension has its comment already, and only its owner may change it"
        elif entry.kind == "EXTENSION" and (in_place or not superuser):
            out[entry.line] = "the extension exists already"
        elif entry.kind == "TABLE DATA" and entry.text.startswith("public spatial_ref_sys ") and not superuser:
            out[entry.line] = "the table belongs to PostGIS; reference systems of your own need a superuser"
        elif f"{entry.kind} {entry.text}" in _PUBLIC and not superuser:
            out[entry.line] = "the schema is there already, and keeps its owner and comment"
    return out


def missing_roles(contents: Contents, existing: Collection[str]) -> list[str]:
    """Return the owners that the archive names and the cluster lacks; of a name with blanks its last word."""
    if contents.roles is not None:
        return sorted(contents.roles - set(existing))
    endings = tuple(f" {role}" for role in existing)
    lacking = {e.owner for e in contents.entries if e.owner and not f" {e.text}".endswith(endings)}
    return sorted(lacking)


def run_part(
    server: Server,
    database: str,
    archive: Archive,
    part: Part,
    on_start: Callable[[subprocess.Popen[Any]], None] | None = None,
) -> float:
    """Restore some entries of one section; return the seconds it took."""
    skip = set(archive.skip)
    only = None
    if part.lines is not None:
        skip |= {entry.line for entry in archive.contents.entries if entry.line not in part.lines}
        only = {entry.dump_id for entry in archive.contents.entries if entry.line not in skip}
    extra = [f"--section={part.section}", *([f"--jobs={part.jobs}"] if part.jobs > 1 else [])]
    doing = f"restoring {part.section} of {archive.path} into {database}"
    chosen = replace(archive, skip=skip)
    return _run(server, database, chosen, doing, extra, load_settings(part.share or part.jobs), only, on_start)


def index_definitions(archive: Archive) -> dict[str, str]:
    """Return how each index that the archive makes is defined, by schema and name as its contents have them."""
    said = client.local(
        "pg_restore",
        ["--section=post-data", "--file=-", archive.path],
        version=archive.version,
        doing=f"reading the indexes of {archive.path}",
    )
    found = {}
    for match in _INDEX.finditer(said.stdout):
        found[f"{match['schema']} {match['name']}"] = match["how"]
    return found


def load_settings(jobs: int) -> dict[str, str]:
    """Return the settings of a session that loads or builds, one of so many at the same time."""
    # Nothing is there to be lost by a crash yet, and the commit that ends the whole restore waits for the disk again.
    return {"synchronous_commit": "off", "maintenance_work_mem": f"{_maintenance_memory(jobs)}MB"}


def run_in_place(server: Server, database: str, archive: Archive) -> float:
    """Put the archive's objects in the place of those there, in one transaction: all of it, or none."""
    extra = ["--clean", "--if-exists", "--single-transaction"]
    return _run(server, database, archive, f"restoring {archive.path} in place of what {database} holds", extra, {})


def analyze(server: Server, database: str, jobs: int, version: int) -> float:
    """Let the planner know the new rows; return the seconds it took."""
    args = ["--analyze-only", f"--jobs={jobs}", "--no-password", "--quiet", f"--dbname={client.conninfo(database)}"]
    doing = f"analyzing {database}"
    return client.run(server, "vacuumdb", args, database, version=version, doing=doing).seconds


def _run(
    server: Server,
    database: str,
    archive: Archive,
    doing: str,
    extra: Sequence[str],
    settings: Settings,
    only: Collection[int] | None = None,
    on_start: Callable[[subprocess.Popen[Any]], None] | None = None,
) -> float:
    def started(process: subprocess.Popen[Any]) -> None:
        for listener in (source.on_start, on_start):
            if listener:
                listener(process)

    args = ["--exit-on-error", "--no-password", f"--dbname={client.conninfo(database)}", *extra]
    with _use_list(archive) as chosen, _source(archive, extra, only) as source:
        result = client.run(
            server,
            "pg_restore",
            [*args, *chosen, *source.arguments],
            database,
            version=archive.version,
            doing=doing,
            files=True,
            settings=settings,
            stdin_from=source.stdin,
            on_start=started,
        )
    return result.seconds


@contextmanager
def _source(archive: Archive, extra: Sequence[str], only: Collection[int] | None) -> Iterator[decompress.Readable]:
    """Yield what to read; only the section of the rows, or a restore of all sections, opens their files."""
    if {"--section=pre-data", "--section=post-data"} & set(extra):
        yield decompress.Readable(archive.path)
        return
    with decompress.readable(archive.path, archive.version, only) as source:
        yield source


@contextmanager
def _use_list(archive: Archive) -> Iterator[list[str]]:
    """Yield the arguments that leave out the entries to skip."""
    if not archive.skip:
        yield []
        return
    with tempfile.NamedTemporaryFile("w", prefix="catmaid-admin-", suffix=".list", encoding="utf-8") as file:
        file.writelines(f"{entry.line}\n" for entry in archive.contents.entries if entry.line not in archive.skip)
        file.flush()
        yield [f"--use-list={file.name}"]


def _maintenance_memory(jobs: int) -> int:
    """Return megabytes for each index build: an eighth of the host's memory, shared among the jobs, within reason."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(64, min(1024, total // 8 // max(jobs, 1) // MEBIBYTE))
