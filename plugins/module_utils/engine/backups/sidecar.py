# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder beside a dump with what a rebuild of the tables that it lacks would not bring back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .. import files
from ..catmaid import keepsakes
from ..catmaid.keepsakes import Kept
from ..errors import CatmaidError
from ..postgres.catalog import Table
from . import manifest

FOLDER = "sidecar"


def write(connection: Any, left_out: Sequence[Table], folder: str) -> list[dict[str, Any]]:
    """Write what the transaction of ``connection`` sees of the tables ``left_out``; return it for the manifest."""
    entries = []
    for table in left_out:
        # A table of that name elsewhere is somebody's copy.
        if table.name not in keepsakes.KEEPSAKES or not table.visible:
            continue
        columns = keepsakes.columns(connection, table.oid, table.name)
        if not columns:
            continue
        name = f"{FOLDER}/{table.name}.csv"
        os.makedirs(os.path.join(folder, FOLDER), mode=0o700, exist_ok=True)
        with open(os.path.join(folder, name), "wb") as file:
            rows = keepsakes.write(connection, table.schema, table.name, file)
        entries.append(
            {"schema": table.schema, "table": table.name, "columns": list(columns), "rows": rows, "file": name}
        )
    return entries


def read(folder: str) -> dict[str, Kept]:
    """Return the files of a backup's sidecar by their tables, after every byte of them was checked."""
    doing = f"reading the sidecar of {folder}"
    found = manifest.load(folder)
    sums = {str(file["path"]): file["sha256"] for file in found["files"]}
    kept = {}
    for entry in found.get("sidecar", []):
        table, columns, name = str(entry["table"]), tuple(entry["columns"]), f"{FOLDER}/{entry['table']}.csv"
        keepsake = keepsakes.KEEPSAKES.get(table)
        if not keepsake or set(columns) != {*keepsake.key, *keepsake.columns, *keepsake.of_lost}:
            raise CatmaidError(doing, f"it keeps {', '.join(columns)} of {table}", "Use a newer catmaid.admin.")
        path = os.path.join(folder, name)
        if not os.path.isfile(path) or files.sha256(path) != sums.get(name):
            raise CatmaidError(doing, f"{name} is missing or has changed", "It is damaged: take another backup.")
        kept[table] = Kept(table, columns, path)
    return kept
