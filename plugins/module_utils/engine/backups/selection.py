# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tables a backup leaves out, and what brings each back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..catmaid import materializations
from ..errors import CatmaidError
from ..postgres import catalog, dump
from ..postgres.catalog import Table
from .request import Request

REBUILD = "catmaid.admin.rebuild_materializations"
RETURNS = {
    **dict.fromkeys((*materializations.GEOMETRY, *materializations.NODE_QUERY_CACHE), REBUILD),
    **dict.fromkeys(materializations.SUMMARIES, f"{REBUILD} with its option sidecar"),
    **dict.fromkeys(materializations.GRID_CACHE, "manage.py catmaid_update_cache_tables"),
}


def select(request: Request, tables: Sequence[Table]) -> dict[str, list[Table]]:
    """Return the tables to leave out, after a look at every name."""
    without = [_one(name, tables, "exclude_tables") for name in request.exclude_tables]
    named = [_one(name, tables, "exclude_table_data") for name in request.exclude_table_data]
    levelled = set(materializations.excluded(request.materializations))
    # The application's own tables are those on its search path: a table of that name elsewhere is somebody's copy.
    derived = [table for table in tables if table.visible and table.name in levelled]
    lost = [table.label for table in without]
    lost += [table.label for table in named if not (table.visible and table.name in RETURNS)]
    if lost and not request.allow_incomplete:
        raise CatmaidError(
            "choosing the tables to leave out",
            f"nothing can bring back {', '.join(lost)}",
            "Leave out the rows of derived tables only, or set allow_incomplete.",
        )
    gone = {table.oid for table in without}
    rows = {table.oid: table for table in [*derived, *named] if table.oid not in gone}
    return {"without": without, "without_rows": list(rows.values())}


def left_out(plan: dump.Plan, rows: Mapping[int, int] | None = None) -> list[dict[str, Any]]:
    """Return the tables that are left out: how many rows each had in the dump's snapshot, and what brings them back."""
    listed = []
    for what, tables in (("table", plan.without), ("rows", plan.without_rows)):
        for table in tables:
            derived = what == "rows" and table.visible
            listed.append(
                {
                    "schema": table.schema,
                    "name": table.name,
                    "what": what,
                    "rows": (rows or {}).get(table.oid),
                    "returns_by": RETURNS.get(table.name, "") if derived else "",
                }
            )
    return listed


def dumped(plan: dump.Plan, tables: Sequence[Table]) -> set[int]:
    """Return the numbers of the tables whose rows are in the dump."""
    return {table.oid for table in tables} - {table.oid for table in [*plan.without, *plan.without_rows]}


def precious(plan: dump.Plan, tables: Sequence[Table]) -> set[int]:
    """Return the numbers of the dumped tables that nothing brings back exactly."""
    exactly = {table.oid for table in tables if table.visible and table.name in materializations.EXACT}
    return dumped(plan, tables) - exactly


def _one(name: str, tables: Sequence[Table], option: str) -> Table:
    found = catalog.find(name, tables)
    if len(found) == 1:
        return found[0]
    cause = f'there is no table "{name}"'
    if found:
        cause = f"{name} can mean {' or '.join(table.label for table in found)}"
    raise CatmaidError(f"reading {option}", cause, "Name a table of this database, with its schema where needed.")
