# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some tables of an archive, to look up what they held: all that is made without rows, and the rows of those alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import CatmaidError
from ..postgres.toc import Contents

NOT_ASKED_FOR = "its table is not asked for"


def others(contents: Contents, tables: Sequence[str], doing: str) -> dict[str, str]:
    """Return the entries with rows of other tables than ``tables``, with the reason; refuse a table without rows."""
    rows = [entry for entry in contents.entries if entry.kind == "TABLE DATA"]
    beginnings = {name: _beginnings(name) for name in tables}
    lacking = [
        name for name, starts in beginnings.items() if not any(entry.text.startswith(starts) for entry in rows)
    ]  # fmt: skip
    if lacking:
        raise CatmaidError(
            doing,
            f"the archive has no rows of {', '.join(lacking)}",
            "Name tables as they are, those outside of public with their schema. What a backup leaves out is derived.",
        )
    wanted = tuple(start for starts in beginnings.values() for start in starts)
    return {entry.line: NOT_ASKED_FOR for entry in rows if not entry.text.startswith(wanted)}


def narrowed(manifest: dict[str, Any], tables: Sequence[str]) -> dict[str, Any]:
    """Return a manifest that tells of ``tables`` alone."""
    starts = tuple(start for name in tables for start in _beginnings(name))
    told = [entry for entry in manifest["tables"] if f"{entry['schema']} {entry['name']} ".startswith(starts)]
    return {**manifest, "tables": told}


def _beginnings(name: str) -> tuple[str, ...]:
    """Return how lines of an archive's contents begin for a table, whose name can have its schema before some dot."""
    dots = [place for place, letter in enumerate(name) if letter == "."]
    return (f"public {name} ", *(f"{name[:dot]} {name[dot + 1 :]} " for dot in dots))
