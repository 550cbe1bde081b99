# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether CATMAID's derived tables say what their source tables say: compared row by row, in SQL that only reads.

``FROM ONLY`` everywhere: treenode and connector have relatives by inheritance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .geometry import DERIVATIONS

READING = {"default_transaction_read_only": "on", "TimeZone": "UTC", "work_mem": "128MB", "statement_timeout": "0"}


@dataclass(frozen=True)
class Finding:
    """How a table differs from what it should hold."""

    materialization: str
    table: str
    reason: str


# Each counts the rows that are missing, that are too many, and that say something else.
EDGES = {
    table: f"""
        SELECT count(*) FILTER (WHERE have.id IS NULL), {extra},
               count(*) FILTER (WHERE have.id = should.id AND ({
        " OR ".join(f"have.{column} IS DISTINCT FROM should.{column}" for column in DERIVATIONS[table].columns[1:])
    }))
          FROM ({DERIVATIONS[table].select}) should FULL JOIN {table} have ON have.id = should.id"""
    for table, extra in (
        ("treenode_edge", "count(*) FILTER (WHERE should.id IS NULL)"),
        ("treenode_connector_edge", "count(*) FILTER (WHERE should.id IS NULL)"),
        # This table has no primary key: the same connector twice is one row too many.
        ("connector_geom", "count(*) FILTER (WHERE should.id IS NULL) + count(have.id) - count(DISTINCT have.id)"),
    )
}

# Triggers may leave a row that says "no nodes" for a skeleton that has lost them: that is true, and not too many.
SKELETON_SUMMARY = """
    SELECT count(*) FILTER (WHERE s.skeleton_id IS NULL),
           count(*) FILTER (WHERE t.skeleton_id IS NULL AND s.num_nodes > 0),
           count(*) FILTER (WHERE s.num_nodes <> t.nodes)
      FROM (SELECT skeleton_id, count(*) AS nodes FROM ONLY treenode GROUP BY skeleton_id) t
      FULL JOIN catmaid_skeleton_summary s ON s.skeleton_id = t.skeleton_id"""

# CATMAID adds up the table's hours and then counts what is younger than the newest of them. So each hour before the
# newest must be there, with no fewer nodes than exist now (nodes that were deleted since may still be counted). A
# project without any hour is counted afresh on each request: right but slow, so it is stale once it has a full hour.
NODE_STATISTICS = """
    WITH newest AS (
        SELECT project_id, date_trunc('hour', max(date)) AS hour FROM catmaid_stats_summary GROUP BY project_id
    ), work AS (
        SELECT t.project_id, t.user_id, date_trunc('hour', t.creation_time) AS hour, count(*) AS nodes
          FROM ONLY treenode t LEFT JOIN newest n ON n.project_id = t.project_id
         WHERE t.creation_time < coalesce(n.hour, %(until)s)
         GROUP BY 1, 2, 3
    )
    SELECT count(*) FILTER (WHERE s.id IS NULL), 0, count(*) FILTER (WHERE s.n_treenodes < w.nodes)
      FROM work w
      LEFT JOIN catmaid_stats_summary s
             ON s.project_id = w.project_id AND s.user_id = w.user_id AND s.date = w.hour"""

NODE_QUERY_CACHE = """
    SELECT count(*), 0, 0
      FROM (SELECT DISTINCT project_id FROM ONLY treenode) t
     WHERE NOT EXISTS (SELECT FROM node_query_cache c WHERE c.project_id = t.project_id)
       AND (%(projects)s IS NULL OR t.project_id = ANY(%(projects)s::int[]))"""


def full_hours_until(cursor: Any) -> Any:
    """Return the beginning of the server's current hour."""
    cursor.execute("SELECT date_trunc('hour', now())")
    return cursor.fetchone()[0]


def findings(
    cursor: Any, materializations: Sequence[str], until: Any, cached_projects: Sequence[int] | None = None
) -> list[Finding]:
    """Return how the tables of ``materializations`` differ; ``until`` is what :func:`full_hours_until` said."""
    found: list[Finding] = []

    def compare(
        materialization: str, table: str, query: str, unit: str, values: Mapping[str, Any] | None = None
    ) -> None:
        cursor.execute(query, values)
        reason = describe(unit, *cursor.fetchone())
        if reason:
            found.append(Finding(materialization, table, reason))

    if "edges" in materializations:
        for table, query in EDGES.items():
            compare("edges", table, query, "rows")
    if "node_statistics" in materializations:
        compare("node_statistics", "catmaid_stats_summary", NODE_STATISTICS, "hours", {"until": until})
    if "skeleton_summary" in materializations:
        compare("skeleton_summary", "catmaid_skeleton_summary", SKELETON_SUMMARY, "skeletons")
    if "node_query_cache" in materializations:
        projects = list(cached_projects) if cached_projects is not None else None
        compare("node_query_cache", "node_query_cache", NODE_QUERY_CACHE, "projects", {"projects": projects})
    return found


def describe(unit: str, missing: int, extra: int, different: int) -> str:
    """Return in words how many rows are wrong; nothing when none is."""
    counts = ((missing, "missing"), (extra, "too many"), (different, "different"))
    parts = [f"{count} {unit} {what}" for count, what in counts if count]
    return ", ".join(parts)
