# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no rebuild of CATMAID's summary tables computes again: how to read it, and how to put it back.

Only triggers know how many nodes of a skeleton were imported, and who edited it last; a rebuild says 0, and names the
editor of the newest node. The imports of an hour are counted from the history of the nodes, which may have been pruned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from ..postgres.server import quoted

CSV = "(FORMAT csv, HEADER true, ENCODING 'UTF8')"


@dataclass(frozen=True)
class Keepsake:
    """Columns of a table, and the ``key`` by which each row is found again.

    ``of_lost`` are the columns of rows that a rebuild does not make at all, those for which ``lost`` is true.
    """

    key: tuple[str, ...]
    columns: tuple[str, ...]
    where: str = "true"
    of_lost: tuple[str, ...] = ()
    lost: str = "false"


KEEPSAKES = {
    "catmaid_skeleton_summary": Keepsake(
        key=("skeleton_id", "project_id"),
        columns=("last_summary_update", "last_editor_id", "num_imported_nodes"),
        # Triggers leave the row of a skeleton that has lost its nodes.
        of_lost=("original_creation_time", "last_edition_time"),
        lost="num_nodes = 0",
    ),
    "catmaid_stats_summary": Keepsake(
        key=("project_id", "user_id", "date"),
        columns=("n_imported_treenodes", "n_imported_connectors", "import_cable_length"),
        where="n_imported_treenodes <> 0 OR n_imported_connectors <> 0 OR import_cable_length <> 0",
    ),
}


@dataclass(frozen=True)
class Kept:
    """A file with a table's keepsakes: CSV, whose header line names ``columns``."""

    table: str
    columns: tuple[str, ...]
    path: str


def columns(connection: Any, oid: int, table: str) -> tuple[str, ...]:
    """Return the columns to keep of a table, none when it has others than we know."""
    keepsake = KEEPSAKES[table]
    wanted = (*keepsake.key, *keepsake.columns, *keepsake.of_lost)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped", [oid]
        )
        there = {str(row[0]) for row in cursor.fetchall()}
    return wanted if there.issuperset(wanted) else ()


def write(connection: Any, schema: str, table: str, to: IO[bytes]) -> int:
    """Write what is to be kept of a table; return the number of rows."""
    keepsake = KEEPSAKES[table]
    of_lost = [f"CASE WHEN {keepsake.lost} THEN {name} END AS {name}" for name in keepsake.of_lost]
    chosen = ", ".join([*keepsake.key, *keepsake.columns, *of_lost])
    name = f"{quoted(schema, connection)}.{quoted(table, connection)}"
    order = ", ".join(keepsake.key)
    query = f"SELECT {chosen} FROM ONLY {name} WHERE {keepsake.where} ORDER BY {order}"
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY ({query}) TO STDOUT WITH {CSV}", to)
        return int(cursor.rowcount)


def load(cursor: Any, kept: Kept) -> str:
    """Fill a temporary table with a file; return its name. It is gone at the end of the transaction."""
    name = f"kept_{kept.table}"
    chosen = ", ".join(kept.columns)
    cursor.execute(f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS SELECT {chosen} FROM {kept.table} LIMIT 0")
    with open(kept.path, "rb") as file:
        cursor.copy_expert(f"COPY {name} ({chosen}) FROM STDIN WITH {CSV}", file)
    return name


def put_back_skeletons(cursor: Any, kept: Kept, before: str) -> str:
    """Complete a skeleton summary that was made anew; return the temporary table with the file's rows.

    The table ``before`` tells what it held just before: what the database knew itself is younger and stays.
    """
    name = load(cursor, kept)
    cursor.execute(
        f"UPDATE catmaid_skeleton_summary s SET last_summary_update = k.last_summary_update,"
        f" last_editor_id = k.last_editor_id FROM {name} k WHERE k.skeleton_id = s.skeleton_id"
        f" AND NOT EXISTS (SELECT FROM {before} b WHERE b.skeleton_id = s.skeleton_id)"
    )
    cursor.execute(
        f"UPDATE catmaid_skeleton_summary s SET num_imported_nodes = k.num_imported_nodes FROM {name} k"
        f" WHERE k.skeleton_id = s.skeleton_id AND s.num_imported_nodes = 0 AND k.num_imported_nodes <> 0"
    )
    chosen = ", ".join(kept.columns)
    cursor.execute(
        f"INSERT INTO catmaid_skeleton_summary ({chosen}, num_nodes, cable_length) SELECT {chosen}, 0, 0 FROM {name}"
        f" WHERE original_creation_time IS NOT NULL ON CONFLICT (skeleton_id) DO NOTHING"
    )
    return name


def put_back_imports(cursor: Any, kept: Kept) -> None:
    """Complete statistics that were counted anew where the file knows of no fewer imports in an hour."""
    name = load(cursor, kept)
    chosen = ", ".join(kept.columns)
    counts: Sequence[str] = KEEPSAKES["catmaid_stats_summary"].columns
    cursor.execute(
        f"INSERT INTO catmaid_stats_summary AS s ({chosen}) SELECT {chosen} FROM {name}"
        f" ON CONFLICT (project_id, user_id, date) DO UPDATE SET"
        f" {', '.join(f'{count} = excluded.{count}' for count in counts)}"
        f" WHERE excluded.n_imported_treenodes >= s.n_imported_treenodes"
    )
