# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a database as one transaction sees them, counted, so that those of before can be told from new ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..catmaid import integrity, staleness
from ..postgres import soundness
from ..postgres.catalog import Table

# Each row is a fault: what, and of which row. Limited to skeletons, as others were not touched.
TREES = (
    (
        "skeleton {} has not one root, but {}",
        """SELECT s.id::text, (SELECT count(*) FROM ONLY treenode t WHERE t.skeleton_id = s.id AND t.parent_id IS NULL)
             FROM unnest(%(skeletons)s::bigint[]) s(id)
            WHERE EXISTS (SELECT FROM ONLY treenode t WHERE t.skeleton_id = s.id)
              AND (SELECT count(*) FROM ONLY treenode t WHERE t.skeleton_id = s.id AND t.parent_id IS NULL) <> 1""",
    ),
    (
        "treenode {} has a parent in another skeleton or project ({})",
        """SELECT t.id::text, p.id FROM ONLY treenode t JOIN ONLY treenode p ON p.id = t.parent_id
            WHERE t.skeleton_id = ANY(%(skeletons)s)
              AND (p.skeleton_id <> t.skeleton_id OR p.project_id <> t.project_id)
           UNION
           SELECT t.id::text, p.id FROM ONLY treenode p JOIN ONLY treenode t ON t.parent_id = p.id
            WHERE p.skeleton_id = ANY(%(skeletons)s)
              AND (p.skeleton_id <> t.skeleton_id OR p.project_id <> t.project_id)""",
    ),
    (
        "skeleton {} has {} nodes that lead to no root",
        """WITH RECURSIVE reached AS (
               SELECT id, skeleton_id FROM ONLY treenode
                WHERE skeleton_id = ANY(%(skeletons)s) AND parent_id IS NULL
               UNION
               SELECT t.id, t.skeleton_id FROM reached r JOIN ONLY treenode t ON t.parent_id = r.id)
           SELECT t.skeleton_id::text, count(*) FROM ONLY treenode t
            WHERE t.skeleton_id = ANY(%(skeletons)s) AND NOT EXISTS (SELECT FROM reached r WHERE r.id = t.id)
            GROUP BY 1""",
    ),
)
MESHES = (
    "mesh {} has {} faces that are no triangles",
    """SELECT v.id::text, count(*) FROM catmaid_volume v CROSS JOIN LATERAL ST_Dump(v.geometry) face
        WHERE ST_GeometryType(face.geom) IN ('ST_Polygon', 'ST_Triangle') AND ST_NPoints(face.geom) <> 4 GROUP BY 1""",
)


@dataclass(frozen=True)
class Fault:
    """What is wrong, in words; how often; and what tells it from others."""

    key: str
    times: int
    text: str


def look(
    connection: Any, tables: Sequence[Table], skeletons: Collection[int], materializations: Sequence[str]
) -> list[Fault]:
    """Return the faults that have to do with these tables and skeletons."""
    names = {table.name for table in tables if table.visible}
    found = [*_keys(connection, {table.oid for table in tables}), *_of_the_schema(connection)]
    if "treenode" in names:
        for words, query in TREES:
            found += _counted(connection, words, query, {"skeletons": sorted(skeletons)})
    if "catmaid_volume" in names:
        found += _counted(connection, *MESHES)
    if "treenode_connector" in names:
        found += [Fault("connector_links", int(text.split()[0]), text) for text in integrity.twice(connection)]
    for table in integrity.BESIDE_NODES:
        if names & {"treenode", table}:
            found += [Fault(f"skeletons of {table}", rows, text) for text, rows in integrity.strayed(connection, table)]
    with connection.cursor() as cursor:
        until = staleness.full_hours_until(cursor)
        for finding in staleness.findings(cursor, materializations, until):
            found.append(Fault(f"materialization {finding.table}", 1, f"{finding.table}: {finding.reason}"))
    return found


def new(before: Sequence[Fault], after: Sequence[Fault]) -> list[str]:
    """Return those that were not there, or not so often."""
    known = {fault.key: fault.times for fault in before}
    return [fault.text for fault in after if fault.times > known.get(fault.key, 0)]


def _keys(connection: Any, oids: Collection[int]) -> Iterator[Fault]:
    """Look at foreign keys from these tables and to them; each value that leads to nothing is a fault of its own."""
    for key in soundness.foreign_keys(connection):
        if not set(key.oids) & set(oids):
            continue
        with connection.cursor() as cursor:
            cursor.execute(key.query)
            for example, rows in cursor.fetchall():
                yield Fault(f"{key.table} {key.name} {example}", rows, soundness.lost(key, rows, example))


def _of_the_schema(connection: Any) -> Iterator[Fault]:
    for told in (soundness.not_validated(connection), soundness.disabled(connection)):
        for text in told:
            yield Fault(text, 1, text)
    for name, table in soundness.unfinished(connection):
        yield Fault(f"index {name}", 1, f"index {name} of {table} is not used")


def _counted(connection: Any, words: str, query: str, values: dict[str, Any] | None = None) -> Iterator[Fault]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        for name, count in cursor.fetchall():
            yield Fault(f"{words} {name}", int(count), words.format(name, count))
