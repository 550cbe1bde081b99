# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an archive is whole: one of ours by its manifest, a foreign one by reading all of it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from ..errors import CatmaidError
from ..postgres import counting, plain, toc
from . import foreign, manifest, status, store


@dataclass(frozen=True)
class Source:
    """Something to restore from that has been found whole. ``folder`` and ``manifest`` are those of our backups.

    ``script`` is what the plain dump ``schema`` holds. It makes the tables; their rows are in ``archive``, which can be
    the same file. ``roles`` is a file with the roles of the cluster. ``counted`` are the rows of each table in what is
    no backup of ours, by schema and name; None if they could not be counted.
    """

    archive: str
    contents: toc.Contents
    version: int
    folder: str = ""
    manifest: dict[str, Any] | None = None
    roles: str = ""
    schema: str = ""
    script: plain.Survey | None = None
    rows: toc.Contents | None = None
    counted: Mapping[tuple[str, str], int] | None = None

    @property
    def server_major(self) -> int:
        """The major version of the server that was dumped."""
        return self.contents.server_major

    @property
    def properties(self) -> dict[str, Any]:
        """What is known of the database that was dumped: all of it with a manifest, some of it from a plain dump."""
        return (self.manifest or {}).get("properties") or (self.script.properties if self.script else {})


def source(path: str, server_version: int, source_db: str = "", database: str = "") -> Source:
    """Return what ``path`` holds, after every byte of it was checked.

    ``server_version`` is that of the target: the program that reads must fit both it and the archive. ``source_db``, or
    else ``database``, chooses among the databases of a folder.
    """
    if not os.path.exists(path):
        raise CatmaidError(f"checking {path}", "there is no such file or folder")
    if os.path.isdir(path) and os.path.exists(manifest.path(path)):
        return _ours(path, server_version)
    files = foreign.find(path, source_db, database)
    roles = foreign.globals_file(path)
    if files.kind == foreign.SCRIPT:
        found = _plain(files.main, server_version, roles)
        if found.script and found.script.schema_only:
            raise CatmaidError(f"checking {path}", "it makes tables, and has no rows for them", "Name a whole backup.")
        foreign.check_whole(path, found.contents, lambda: found.script.mentioned if found.script else ())
        return found
    version = max(server_version, toc.needed_version(files.main))
    counted = counting.read_back(files.main, version)
    rows = toc.contents(files.main, version)
    if not files.schema:
        foreign.check_whole(path, rows, lambda: foreign.mentioned(files.main, version))
        return _fit(Source(files.main, rows, version, roles=roles, counted=counted), server_version)
    found = _plain(files.schema, server_version, roles)
    found = replace(found, archive=files.main, version=version, rows=rows, counted=counted)
    foreign.check_fit(files, found.contents, rows)
    return _fit(found, server_version)


def _plain(path: str, server_version: int, roles: str) -> Source:
    script = plain.survey(path, foreign.DERIVED)
    found = Source(path, script.contents, server_version, roles=roles, schema=path, script=script)
    return _fit(replace(found, counted=script.counted), server_version)


def check(folder: str) -> dict[str, Any]:
    """Return the manifest of a backup of ours, or raise what is wrong with it; every file is read."""
    found = manifest.load(folder)
    problems = manifest.file_problems(folder, found, checksums=True)
    if problems:
        raise CatmaidError(
            f"checking the backup {folder}",
            "; ".join(problems[:10]),
            "It is damaged: take another one.",
            problems=problems,
        )
    return found


def _ours(folder: str, server_version: int) -> Source:
    found = check(folder)
    archive = os.path.join(folder, str(found["dump"]["path"]))
    version = max(server_version, toc.needed_version(archive))
    roles = os.path.join(folder, str(found["globals"])) if found.get("globals") else ""
    return _fit(Source(archive, toc.contents(archive, version), version, folder, found, roles), server_version)


def _fit(found: Source, server_version: int) -> Source:
    if found.server_major > server_version // 10000:
        raise CatmaidError(
            f"checking {found.archive}",
            f"it comes from PostgreSQL {found.server_major}, this server is {server_version // 10000}",
            "An archive goes into the same or a newer major version only.",
        )
    return found


@dataclass(frozen=True)
class Read:
    """A backup that was read again, and what is wrong with it."""

    id: str
    path: str
    problems: list[str]


def again(found: store.Listing, name: str | None, by: str, *, note: bool = True) -> list[Read]:
    """Read all backups of a listing, or the one of that name, to the last byte; note it in each database's status."""
    read: list[Read] = []
    lost = [path for path in found.incomplete if not os.path.basename(path).startswith(store.PARTIAL)]
    paths = sorted({*lost, *(backup.path for backup in found.backups)}, reverse=True)
    for folder, group in itertools.groupby(paths, os.path.dirname):
        chosen = [path for path in group if name in (None, os.path.basename(path))]
        if not chosen:
            continue
        turn: AbstractContextManager[dict[str, Any]] = nullcontext({})
        if note:
            turn = status.recording(folder, "verify", by)
        try:
            with turn as facts:
                results = [_read(path) for path in chosen]
                read += results
                facts["backups"] = len(results)
                facts["id"] = results[0].id
                damaged = [f"{one.path}: {'; '.join(one.problems[:3])}" for one in results if one.problems]
                if damaged:
                    raise _DamagedError("verifying backups", ". ".join(damaged))
        except _DamagedError:
            pass  # noted; who asked tells it
    return read


class _DamagedError(CatmaidError):
    """Lets a status be that of a failure."""


def _read(path: str) -> Read:
    try:
        with store.using(path):
            problems = manifest.file_problems(path, manifest.load(path), checksums=True)
    except CatmaidError as error:
        problems = [error.cause]
    except (ValueError, TypeError, KeyError) as error:
        problems = [f"its manifest is damaged ({type(error).__name__}: {error})"]
    return Read(os.path.basename(path), path, problems)
