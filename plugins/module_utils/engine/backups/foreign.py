# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files make up a foreign backup, and what it lacks: known by their contents, and by the names CATMAID gives.

CATMAID's script for small backups writes two files for each database, its tables without rows as plain SQL and an
archive with the rows, and one with all roles beside them. In the archive the derived tables are missing altogether.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..catmaid import materializations
from ..errors import CatmaidError
from ..postgres import client, packed, plain
from ..postgres.toc import Contents
from .selection import REBUILD, RETURNS

ARCHIVE, SCRIPT = "archive", "script"
DERIVED = (*materializations.EXACT, *materializations.SUMMARIES)
# Not worth a question: a cluster has it whether somebody uses it or not.
MAINTENANCE = "postgres"

_PART = re.compile(r"(?P<database>.+)\.(?P<part>schema|all)(?:\.\w+)*")
_GLOBALS = re.compile(r"globals(?:\.\w+)*")


@dataclass(frozen=True)
class Files:
    """The files of a backup: an archive or a plain dump, and the tables beside an archive that only has rows."""

    main: str
    kind: str
    schema: str = ""


def find(path: str, source_db: str, database: str) -> Files:
    """Return the files that ``path`` means, a file or a folder with two-file sets.

    Of several sets that of ``source_db`` is meant, else that of ``database``, else the only one.
    """
    if os.path.isdir(path):
        if os.path.exists(os.path.join(path, "toc.dat")):
            return Files(path, ARCHIVE)
        return _pair(path, _choose(path, source_db, database))
    match = _PART.fullmatch(os.path.basename(path))
    folder = os.path.dirname(path)
    if match and match["database"] in _sets(folder):
        return _pair(folder, match["database"])
    return Files(path, kind(path))


def kind(path: str) -> str:
    """Return whether a file is an archive or a plain dump."""
    doing = f"looking at {path}"
    try:
        with open(path, "rb") as file:
            start = file.read(262)
    except OSError as error:
        raise CatmaidError(doing, error.strerror or str(error), "Name an archive of pg_dump.") from error
    if _is_archive(start):
        return ARCHIVE
    if plain.recognized(path):
        return SCRIPT
    if _is_archive(packed.beginning(path, 262)):
        raise CatmaidError(doing, "it is an archive of pg_dump that was compressed once more", "Decompress it first.")
    packed.check(path)
    raise CatmaidError(
        doing,
        "it is no archive of pg_dump, and no file of SQL that pg_dump wrote",
        "Name what pg_dump wrote, in any of its formats; SQL may be compressed.",
    )


def globals_file(path: str) -> str:
    """Return the file with the roles beside a foreign backup, "" if there is none."""
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    return next((os.path.join(folder, name) for name in _listed(folder) if _GLOBALS.fullmatch(name)), "")


def check_whole(path: str, contents: Contents, mentioned: Callable[[], Collection[str]]) -> None:
    """Refuse what lacks tables that its own functions use: restored alone, it would be no database to work with.

    ``mentioned`` gives the derived tables that its statements name.
    """
    made = tables(contents, "TABLE")
    lacking = [name for name in DERIVED if not has(made, name)]
    if not has(made, "treenode") or not lacking:
        return
    there = mentioned()
    used = [name for name in lacking if name in there]
    if used:
        raise CatmaidError(
            f"checking {path}",
            f"it lacks the tables {', '.join(used)}, which its own functions and triggers use",
            "It is one half of a backup in two files: put the other one, <database>.schema.gz.dump, beside it, and call"
            " this one <database>.all.gz.dump.",
            tables=used,
        )


def mentioned(path: str, version: int) -> set[str]:
    """Return the derived tables that the statements of an archive name."""
    doing = f"looking for tables that {path} lacks"
    said = client.local("pg_restore", ["--schema-only", "--file=-", path], version=version, doing=doing).stdout
    return {name for name in DERIVED if re.search(rf"\b{name}\b", said)}


def check_fit(files: Files, schema: Contents, rows: Contents) -> None:
    """Refuse two files of which one has rows for tables that the other does not make; those of extensions apart."""
    made = set(tables(schema, "TABLE"))
    full = [name for name in tables(rows, "TABLE DATA") if name.startswith("public ")]
    strange = [name for name in full if name not in made and not name.startswith("public spatial_ref_sys ")]
    if strange:
        cause = f"{files.schema} does not make {', '.join(strange[:5])}, whose rows are in {files.main}"
        raise CatmaidError(f"checking {files.main}", cause, "Both must be of one backup.")


def left_out(contents: Contents, rows: Contents | None = None) -> list[dict[str, Any]]:
    """Return the derived tables of a foreign backup whose rows it does not hold, in the form of a manifest."""
    full = tables(rows or contents, "TABLE DATA")
    made = tables(contents, "TABLE")
    return [
        {
            "schema": "public",
            "name": name,
            "what": "rows",
            "rows": None,
            "returns_by": REBUILD if name in materializations.SUMMARIES else RETURNS[name],
        }
        for name in DERIVED
        if has(made, name) and not has(full, name)
    ]


def tables(contents: Contents, what: str) -> list[str]:
    """Return schema, name and owner of the tables that are made, or have rows."""
    return [entry.text for entry in contents.entries if entry.kind == what]


def has(listed: Sequence[str], name: str) -> bool:
    """Return whether one of CATMAID's own tables is among them."""
    return any(table.startswith(f"public {name} ") for table in listed)


def _choose(folder: str, source_db: str, database: str) -> str:
    doing = f"checking {folder}"
    there = _sets(folder)
    if not there:
        cause = "it holds neither a manifest nor an archive of pg_dump, nor a backup in two files"
        raise CatmaidError(doing, cause, "Name one backup itself.")
    names = [name for name in there if name != MAINTENANCE] or list(there)
    for wanted in filter(None, (source_db, database)):
        if wanted in there:
            return wanted
        if wanted == source_db:
            raise CatmaidError(doing, f"there is no backup of {source_db}", f"There are: {', '.join(there)}.")
    if len(names) > 1:
        raise CatmaidError(doing, f"it holds several databases: {', '.join(names)}", "Say which by source_db.")
    return names[0]


def _pair(folder: str, name: str) -> Files:
    parts = _sets(folder)[name]
    lacking = [part for part in ("schema", "all") if part not in parts]
    if lacking:
        # An archive of that name may be whole, which its contents will tell.
        if lacking == ["schema"]:
            path = os.path.join(folder, parts["all"])
            return Files(path, kind(path))
        cause = f"{parts['schema']} has no rows, and {name}.all.gz.dump, which has them, is not there"
        raise CatmaidError(f"checking {os.path.join(folder, parts['schema'])}", cause, "Put it beside.")
    found = Files(os.path.join(folder, parts["all"]), ARCHIVE, os.path.join(folder, parts["schema"]))
    for path, wanted in ((found.schema, SCRIPT), (found.main, ARCHIVE)):
        if kind(path) != wanted:
            raise CatmaidError(f"looking at {path}", f"by its name it should be a {wanted} of pg_dump, and is none")
    return found


def _sets(folder: str) -> dict[str, dict[str, str]]:
    """Return the names of the files of each database, by what they are."""
    found: dict[str, dict[str, str]] = {}
    for name in _listed(folder):
        match = _PART.fullmatch(name)
        if match:
            found.setdefault(match["database"], {})[match["part"]] = name
    return found


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder or "."))
    except OSError as error:
        raise CatmaidError(f"looking into {folder}", error.strerror or str(error)) from error


def _is_archive(start: bytes) -> bool:
    return start.startswith(b"PGDMP") or start[257:262] == b"ustar"
