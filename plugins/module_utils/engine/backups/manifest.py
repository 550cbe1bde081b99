# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup's manifest: the file in it that says what it holds and proves that it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import files
from ..errors import CatmaidError
from ..postgres.catalog import Table
from ..postgres.fingerprint import Content

NAME = "manifest.json"
FORMAT = 1
REQUIRED = ("id", "database", "started", "finished", "dump", "files", "tables", "left_out", "verified")


def path(folder: str) -> str:
    """Return where the manifest of the backup in ``folder`` is."""
    return os.path.join(folder, NAME)


def load(folder: str) -> dict[str, Any]:
    """Return the manifest of the backup in ``folder``; raise when it has none that we understand."""
    doing = f"reading the manifest of {folder}"
    try:
        with open(path(folder), encoding="utf-8") as file:
            manifest = json.load(file)
    except FileNotFoundError as error:
        raise CatmaidError(
            doing, "there is none", "This is no backup of catmaid.admin, or not a complete one."
        ) from error
    except OSError as error:
        raise CatmaidError(doing, error.strerror or str(error)) from error
    except ValueError as error:
        raise CatmaidError(doing, f"it is damaged ({error})", "Take another backup.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CatmaidError(doing, "it is of a format that this version does not know", "Use a newer catmaid.admin.")
    lacking = [key for key in REQUIRED if key not in manifest]
    if lacking:
        raise CatmaidError(doing, f"it lacks {', '.join(lacking)}", "Take another backup.")
    return manifest


def tables(dumped: Sequence[Table], contents: Mapping[int, Content]) -> list[dict[str, Any]]:
    """Return the tables of a dump with what they held."""
    listed = []
    for table in dumped:
        content = contents[table.oid]
        entry = {
            "schema": table.schema,
            "name": table.name,
            "rows": content.rows,
            "bytes": table.bytes,
            "fingerprint": content.fingerprint,
        }
        listed.append({**entry, "no_fingerprint": content.problem} if content.problem else entry)
    return listed


def describe_files(folder: str) -> list[dict[str, Any]]:
    """Return every file below ``folder`` with its size and checksum."""
    found = []
    for parent, _folders, names in os.walk(folder):
        for name in names:
            full = os.path.join(parent, name)
            found.append(
                {"path": os.path.relpath(full, folder), "bytes": os.path.getsize(full), "sha256": files.sha256(full)}
            )
    return sorted(found, key=lambda file: str(file["path"]))


def file_problems(folder: str, manifest: dict[str, Any], *, checksums: bool) -> list[str]:
    """Return what is wrong with the files of a backup: by their sizes, and by every byte when ``checksums``."""
    problems = []
    for file in manifest["files"]:
        name = str(file["path"])
        full = os.path.normpath(os.path.join(folder, name))
        if os.path.isabs(name) or not full.startswith(os.path.normpath(folder) + os.sep):
            problems.append(f"{name}: outside of the backup")
        elif not os.path.isfile(full):
            problems.append(f"{name}: missing")
        elif os.path.getsize(full) != file["bytes"]:
            problems.append(f"{name}: {os.path.getsize(full)} bytes instead of {file['bytes']}")
        elif checksums and files.sha256(full) != file["sha256"]:
            problems.append(f"{name}: its contents have changed (SHA-256)")
    if manifest["verified"] is not True:
        problems.append("it was never verified")
    if not any(str(file["path"]).split("/", maxsplit=1)[0] == manifest["dump"]["path"] for file in manifest["files"]):
        problems.append("it lists no file of the dump")
    return problems
