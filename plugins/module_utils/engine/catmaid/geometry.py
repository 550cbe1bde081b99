# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What CATMAID's three geometry tables hold, in SQL of our own: the lines and points of what tracers have drawn.

It gives what CATMAID's own command gives, but it can fill a table that has no index yet, several tables at a time. That
was compared by fingerprints for the releases from 2019.06.20 to the development branch of 2024; of a database with
another layout or newer migrations we know nothing, and leave it to the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .materializations import GEOMETRY

# The last of CATMAID's migrations with which the results were compared: 0120, of March 2024.
NEWEST_PROVEN = 120


@dataclass(frozen=True)
class Derivation:
    """How a table comes about: the columns of ``select``, which reads the rows of ``sources`` alone."""

    columns: tuple[str, ...]
    sources: tuple[str, ...]
    select: str


DERIVATIONS: Mapping[str, Derivation] = {
    # A root's line goes from itself to itself.
    "treenode_edge": Derivation(
        ("id", "parent_id", "project_id", "edge"),
        ("treenode",),
        """SELECT child.id, child.parent_id, child.project_id,
                  ST_MakeLine(ST_MakePoint(child.location_x, child.location_y, child.location_z),
                              ST_MakePoint(parent.location_x, parent.location_y, parent.location_z)) AS edge
             FROM ONLY public.treenode child
             JOIN ONLY public.treenode parent ON parent.id = coalesce(child.parent_id, child.id)""",
    ),
    "treenode_connector_edge": Derivation(
        ("id", "project_id", "edge"),
        ("treenode_connector", "treenode", "connector"),
        """SELECT link.id, link.project_id,
                  ST_MakeLine(ST_MakePoint(t.location_x, t.location_y, t.location_z),
                              ST_MakePoint(c.location_x, c.location_y, c.location_z)) AS edge
             FROM ONLY public.treenode_connector link
             JOIN ONLY public.treenode t ON t.id = link.treenode_id
             JOIN ONLY public.connector c ON c.id = link.connector_id""",
    ),
    "connector_geom": Derivation(
        ("id", "project_id", "geom"),
        ("connector",),
        """SELECT c.id, c.project_id, ST_MakePoint(c.location_x, c.location_y, c.location_z) AS geom
             FROM ONLY public.connector c""",
    ),
}

# The types of the columns that the derivations read and write. No derived table has another column.
_LAYOUT = {
    ("treenode_edge", "id"): "bigint",
    ("treenode_edge", "parent_id"): "bigint",
    ("treenode_edge", "project_id"): "integer",
    ("treenode_edge", "edge"): "geometry(LineStringZ)",
    ("treenode_connector_edge", "id"): "bigint",
    ("treenode_connector_edge", "project_id"): "integer",
    ("treenode_connector_edge", "edge"): "geometry(LineStringZ)",
    ("connector_geom", "id"): "bigint",
    ("connector_geom", "project_id"): "integer",
    ("connector_geom", "geom"): "geometry(PointZ)",
    ("treenode", "id"): "bigint",
    ("treenode", "parent_id"): "bigint",
    ("treenode", "project_id"): "integer",
    **{(table, f"location_{axis}"): "real" for table in ("treenode", "connector") for axis in "xyz"},
    ("connector", "id"): "bigint",
    ("connector", "project_id"): "integer",
    ("treenode_connector", "id"): "bigint",
    ("treenode_connector", "project_id"): "integer",
    ("treenode_connector", "treenode_id"): "bigint",
    ("treenode_connector", "connector_id"): "bigint",
}


def known(cursor: Any) -> bool:
    """Tell whether this database is of a release for which the derivations are proven."""
    cursor.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace"
        " AND c.relname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped",
        [sorted({table for table, _column in _LAYOUT})],
    )
    found = {(table, column): kind.replace("public.", "") for table, column, kind in cursor.fetchall()}
    derived = {key: kind for key, kind in found.items() if key[0] in GEOMETRY}
    if any(found.get(key) != kind for key, kind in _LAYOUT.items()) or not derived.keys() <= _LAYOUT.keys():
        return False
    newest = newest_migration(cursor)
    return newest is not None and newest <= NEWEST_PROVEN


def newest_migration(cursor: Any) -> int | None:
    """Return the number of the newest of CATMAID's own migrations; None where none is recorded."""
    cursor.execute("SELECT to_regclass('public.django_migrations')")
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute(
        "SELECT max(substring(name FROM '^[0-9]+')::int) FROM public.django_migrations WHERE app = 'catmaid'"
    )
    number = cursor.fetchone()[0]
    return None if number is None else int(number)


def fill(cursor: Any, table: str, into: str = "") -> int:
    """Insert all rows of ``table``, or of the table of like columns that ``into`` names in SQL; return how many."""
    derivation = DERIVATIONS[table]
    columns = ", ".join(derivation.columns)
    cursor.execute(f"INSERT INTO {into or f'public.{table}'} ({columns}) {derivation.select}")
    return int(cursor.rowcount)
