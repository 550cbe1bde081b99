# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One project's rows of all tables that have projects, as views in a schema of their own."""

from __future__ import annotations

from typing import Any

from ..errors import CatmaidError
from ..postgres.server import quoted

# Tables whose rows belong to a project, the log of their former states included; of projects themselves the one.
_TABLES = """
    SELECT c.relname, CASE WHEN c.relname = 'project' THEN 'id' ELSE 'project_id' END
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
       AND a.attname = CASE WHEN c.relname = 'project' THEN 'id' ELSE 'project_id' END
     WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY c.relname
"""
_VIEWS = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relkind = 'v'
"""


def schema(project: int) -> str:
    """Return the name of the schema with the views of a project."""
    return f"project_{project}" if project >= 0 else f"project_minus_{-project}"


def missing(connection: Any, project: int) -> dict[str, str]:
    """Return the tables that have no view yet, with the column that tells the project; refuse one that is not there."""
    doing = f"making views of project {project}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.project') IS NOT NULL")
        if not cursor.fetchone()[0]:
            raise CatmaidError(doing, "the database has no table project", "It is none of CATMAID.")
        cursor.execute("SELECT id, title FROM public.project ORDER BY id")
        there = dict(cursor.fetchall())
        if project not in there:
            known = ", ".join(f"{number} ({title})" for number, title in list(there.items())[:20]) or "none"
            raise CatmaidError(doing, "there is no such project", f"There are: {known}.")
        cursor.execute(_VIEWS, (schema(project),))
        done = {str(name) for (name,) in cursor.fetchall()}
        cursor.execute(_TABLES)
        return {str(table): str(column) for table, column in cursor.fetchall() if table not in done}


def make(connection: Any, project: int, tables: dict[str, str]) -> None:
    """Make views of these tables, each with the rows of that table itself."""
    there = quoted(schema(project), connection)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {there}")
        for table, column in tables.items():
            name = quoted(table, connection)
            cursor.execute(
                f"CREATE VIEW {there}.{name} AS SELECT * FROM ONLY public.{name}"
                f" WHERE {quoted(column, connection)} = {int(project)}"
            )


def rows(connection: Any, project: int) -> dict[str, int]:
    """Return the number of rows in each view, those without any left out."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(_VIEWS, (schema(project),))
        for name in sorted(str(row[0]) for row in cursor.fetchall()):
            cursor.execute(f"SELECT count(*) FROM {quoted(schema(project), connection)}.{quoted(name, connection)}")
            if number := int(cursor.fetchone()[0]):
                found[name] = number
    return found
