# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is derived from rows that were edited, brought to what they say now, in the transaction of the edit.

Triggers do that in everyday life, and they do not fire in replica mode. It is done by what differs, so where triggers
did their work, nothing is left to be done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..catmaid import geometry, staleness
from ..catmaid.materializations import GRID_CACHE, NODE_QUERY_CACHE, SUMMARIES

SKELETONS, STATISTICS = "catmaid_skeleton_summary", "catmaid_stats_summary"
# Kept by the skeleton's nodes, for later comparison: skeleton -> rows and the sum of their hashes
_NOTE = """
    CREATE TEMPORARY TABLE skeletons_before_edit ON COMMIT DROP AS
    SELECT skeleton_id, count(*) AS nodes, sum(hashtextextended(t::text, 0)) AS hash
      FROM ONLY public.treenode t GROUP BY skeleton_id"""
_TOUCHED = """
    SELECT coalesce(was.skeleton_id, now.skeleton_id)
      FROM pg_temp.skeletons_before_edit was
      FULL JOIN (SELECT skeleton_id, count(*) AS nodes, sum(hashtextextended(t::text, 0)) AS hash
                   FROM ONLY public.treenode t GROUP BY skeleton_id) now ON now.skeleton_id = was.skeleton_id
     WHERE (was.nodes, was.hash) IS DISTINCT FROM (now.nodes, now.hash)"""
# What a refresh of CATMAID's says of a skeleton; the number of imported nodes cannot be known from the nodes.
_SUMMARY = """
    INSERT INTO public.catmaid_skeleton_summary AS s (skeleton_id, project_id, last_summary_update,
           original_creation_time, last_edition_time, last_editor_id, num_nodes, cable_length)
    SELECT t.skeleton_id, min(t.project_id), now(), min(t.creation_time), max(t.edition_time),
           (array_agg(t.editor_id ORDER BY t.edition_time DESC, t.id DESC))[1], count(*),
           coalesce(sum(ST_3DDistance(ST_MakePoint(t.location_x, t.location_y, t.location_z),
                                      ST_MakePoint(p.location_x, p.location_y, p.location_z))), 0)
      FROM ONLY public.treenode t LEFT JOIN ONLY public.treenode p ON p.id = t.parent_id
     WHERE t.skeleton_id = ANY(%(skeletons)s)
       AND EXISTS (SELECT FROM ONLY public.class_instance c WHERE c.id = t.skeleton_id)
     GROUP BY t.skeleton_id
    ON CONFLICT (skeleton_id) DO UPDATE SET
           project_id = excluded.project_id, last_summary_update = excluded.last_summary_update,
           original_creation_time = excluded.original_creation_time, last_edition_time = excluded.last_edition_time,
           last_editor_id = excluded.last_editor_id, num_nodes = excluded.num_nodes,
           cable_length = excluded.cable_length
     WHERE (s.project_id, s.original_creation_time, s.last_edition_time, s.num_nodes)
           IS DISTINCT FROM (excluded.project_id, excluded.original_creation_time, excluded.last_edition_time,
                             excluded.num_nodes)
        OR abs(s.cable_length - excluded.cable_length) > 0.001"""
_EMPTIED = """
    UPDATE public.catmaid_skeleton_summary s SET num_nodes = 0, cable_length = 0, last_summary_update = now()
     WHERE s.skeleton_id = ANY(%(skeletons)s) AND s.num_nodes > 0
       AND NOT EXISTS (SELECT FROM ONLY public.treenode t WHERE t.skeleton_id = s.skeleton_id)"""
_GONE = """
    DELETE FROM public.catmaid_skeleton_summary s
     WHERE NOT EXISTS (SELECT FROM ONLY public.class_instance c WHERE c.id = s.skeleton_id)"""


def of(touched: Collection[str]) -> list[str]:
    """Return the derived tables whose sources are among these, or that are so themselves."""
    geometries = [
        name for name, how in geometry.DERIVATIONS.items() if name in touched or set(how.sources) & set(touched)
    ]
    nodes = {"treenode", "class_instance"} & set(touched)
    return geometries + [name for name in SUMMARIES if nodes or name in touched]


def note_skeletons(cursor: Any) -> None:
    """Remember what the nodes of each skeleton are."""
    cursor.execute(_NOTE)


def touched_skeletons(cursor: Any) -> list[int]:
    """Return the skeletons whose nodes are others than they were."""
    cursor.execute(_TOUCHED)
    return [int(row[0]) for row in cursor.fetchall() if row[0] is not None]


def mend(cursor: Any, tables: Sequence[str], skeletons: Sequence[int]) -> dict[str, int]:
    """Let these derived tables say what their sources say; return the rows that were changed for that, by table."""
    done = {}
    for table in tables:
        if table in geometry.DERIVATIONS and geometry.known(cursor):
            done[table] = _geometry(cursor, table)
        elif table == SKELETONS:
            done[table] = sum(_executed(cursor, query, skeletons) for query in (_SUMMARY, _EMPTIED, _GONE))
    return {table: rows for table, rows in done.items() if rows}


def stale_statistics(cursor: Any, tables: Collection[str]) -> list[str]:
    """Return the table of statistics if it has to be rebuilt once all is committed; CATMAID's command does that."""
    if STATISTICS not in tables:
        return []
    found = staleness.findings(cursor, ["node_statistics"], staleness.full_hours_until(cursor))
    return [finding.table for finding in found]


def outdated_caches(cursor: Any, touched: Collection[str]) -> list[str]:
    """Say which caches go on showing what was there before, if nodes or connectors have changed."""
    if not set(touched) & {"treenode", "connector", "treenode_connector"}:
        return []
    told = []
    for table in (*NODE_QUERY_CACHE, GRID_CACHE[0]):
        cursor.execute("SELECT to_regclass(%s)", [f"public.{table}"])
        if cursor.fetchone()[0]:
            cursor.execute(f"SELECT EXISTS (SELECT FROM public.{table})")
            if cursor.fetchone()[0]:
                told.append(f"The cache {table} shows what was there before: manage.py catmaid_update_cache_tables.")
    return told


def _executed(cursor: Any, query: str, skeletons: Sequence[int]) -> int:
    cursor.execute(query, {"skeletons": list(skeletons)})
    return int(cursor.rowcount)


def _geometry(cursor: Any, table: str) -> int:
    """Replace the rows that are not what they should be. connector_geom has no key, so nothing is updated in place."""
    how = geometry.DERIVATIONS[table]
    columns = ", ".join(how.columns)
    differs = " OR ".join(f"have.{column} IS DISTINCT FROM should.{column}" for column in how.columns[1:])
    cursor.execute(
        f"CREATE TEMPORARY TABLE wrong ON COMMIT DROP AS SELECT coalesce(should.id, have.id) AS id"
        f" FROM ({how.select}) should FULL JOIN public.{table} have ON have.id = should.id"
        f" WHERE have.id IS NULL OR should.id IS NULL OR {differs}"
        f" UNION SELECT id FROM public.{table} GROUP BY id HAVING count(*) > 1"
    )
    cursor.execute(f"DELETE FROM public.{table} WHERE id IN (SELECT id FROM pg_temp.wrong)")
    gone = int(cursor.rowcount)
    cursor.execute(
        f"INSERT INTO public.{table} ({columns}) SELECT {columns} FROM ({how.select}) should"
        " WHERE id IN (SELECT id FROM pg_temp.wrong)"
    )
    come = int(cursor.rowcount)
    cursor.execute("DROP TABLE pg_temp.wrong")
    return max(gone, come)
