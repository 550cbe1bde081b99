# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CATMAID's derived tables, by what brings them back."""

from __future__ import annotations

from ..errors import CatmaidError

# A rebuild brings these back exactly.
GEOMETRY = ("treenode_edge", "treenode_connector_edge", "connector_geom")
# A rebuild alone does not bring these back exactly: keepsakes.py has what it lacks.
SUMMARIES = ("catmaid_stats_summary", "catmaid_skeleton_summary")
# Caches of what the server answers; filled again by its cache commands and workers.
NODE_QUERY_CACHE = ("node_query_cache",)
GRID_CACHE = ("node_grid_cache_cell", "dirty_node_grid_cache_cell")
EXACT = GEOMETRY + NODE_QUERY_CACHE + GRID_CACHE

# What can be asked for by name, in the order of a rebuild.
TABLES = {
    "edges": GEOMETRY,
    "node_statistics": ("catmaid_stats_summary",),
    "skeleton_summary": ("catmaid_skeleton_summary",),
    "node_query_cache": NODE_QUERY_CACHE,
}

_LEVELS: dict[str, tuple[str, ...]] = {
    "include": (),
    "safe": EXACT,
    "exclude": EXACT + SUMMARIES,
}


def excluded(level: str) -> tuple[str, ...]:
    """Return the tables whose rows a backup of ``level`` (safe, include, exclude) leaves out."""
    try:
        return _LEVELS[level]
    except KeyError as error:
        raise CatmaidError(
            "choosing the tables to leave out", f"there is no level {level!r}", f"Levels: {', '.join(sorted(_LEVELS))}."
        ) from error
