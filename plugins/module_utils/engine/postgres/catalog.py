# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database holds: tables with their rows, objects by kind, and the properties of the database itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .server import quoted

# What users made: not the system's, not part of an extension, not temporary. Partitioned parents hold no rows.
_TABLES = """
    SELECT c.oid, n.nspname, c.relname, CASE WHEN %(sizes)s THEN pg_table_size(c.oid) ELSE 0 END,
           pg_table_is_visible(c.oid)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence <> 't'
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')
     ORDER BY n.nspname, c.relname
"""

_OBJECTS = """
    WITH ours AS (
        SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                              AND d.deptype = 'e'))
    SELECT (SELECT count(*) FROM ours WHERE relkind IN ('r', 'p')) AS tables,
           (SELECT count(*) FROM ours WHERE relkind IN ('v', 'm')) AS views,
           (SELECT count(*) FROM ours WHERE relkind = 'S') AS sequences,
           (SELECT count(*) FROM pg_index i JOIN ours o ON o.oid = i.indrelid) AS indexes,
           (SELECT count(*) FROM pg_constraint k JOIN ours o ON o.oid = k.conrelid
             WHERE k.contype <> 'n') AS constraints,
           (SELECT count(*) FROM pg_constraint k JOIN ours o ON o.oid = k.conrelid
             WHERE NOT k.convalidated AND k.contype <> 'n') AS constraints_not_validated,
           (SELECT count(*) FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid WHERE NOT t.tgisinternal) AS triggers,
           (SELECT count(*) FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid
             WHERE NOT t.tgisinternal AND t.tgenabled = 'D') AS triggers_disabled,
           (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                                  AND d.deptype = 'e')) AS functions
"""

# The exceptions among those objects, by name: what a count alone could take for something else.
_EXCEPTIONS = """
    SELECT n.nspname, c.relname, t.tgname, CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'for replicas'
           ELSE 'always' END
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT t.tgisinternal AND t.tgenabled <> 'O' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     UNION ALL
    SELECT n.nspname, c.relname, k.conname, 'not validated'
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT k.convalidated AND k.contype <> 'n' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     ORDER BY 1, 2, 3, 4
"""


@dataclass(frozen=True)
class Table:
    """A table that users made. ``bytes`` is what its rows take on disk, without indexes."""

    oid: int
    schema: str
    name: str
    bytes: int
    visible: bool

    @property
    def label(self) -> str:
        """Its name for people: in quotes only where needed to tell schema and name apart."""
        parts = [f'"{part}"' if "." in part or '"' in part else part for part in (self.schema, self.name)]
        return ".".join(parts)


def tables(connection: Any, *, sizes: bool = True) -> list[Table]:
    """Return all tables that users made, by schema and name.

    Asking for a size waits for whoever has locked the table exclusively; without ``sizes`` nothing waits.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TABLES, {"sizes": sizes})
        return [Table(*row) for row in cursor.fetchall()]


def rows(connection: Any, table: Table) -> int:
    """Return the number of rows of a table itself, without those of tables that inherit from it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ONLY {quoted(table.schema, connection)}.{quoted(table.name, connection)}")
        return int(cursor.fetchone()[0])


def objects(connection: Any) -> dict[str, int]:
    """Return how many objects of each kind there are, those of extensions apart."""
    with connection.cursor() as cursor:
        cursor.execute(_OBJECTS)
        return dict(zip((column[0] for column in cursor.description), (int(n) for n in cursor.fetchone())))


def exceptions(connection: Any) -> list[str]:
    """Return the triggers that do not fire as usual and the constraints that were never validated, one line each."""
    with connection.cursor() as cursor:
        cursor.execute(_EXCEPTIONS)
        return [f"{schema}.{table}: {name} {state}" for schema, table, name, state in cursor.fetchall()]


def extensions(connection: Any) -> list[dict[str, str]]:
    """Return the installed extensions with version and schema."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.extname, e.extversion, n.nspname FROM pg_extension e JOIN pg_namespace n"
            " ON n.oid = e.extnamespace ORDER BY e.extname"
        )
        return [{"name": name, "version": version, "schema": schema} for name, version, schema in cursor.fetchall()]


def configuration_tables(connection: Any) -> set[int]:
    """Return the tables that belong to extensions and whose rows a dump nevertheless holds (spatial_ref_sys)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT unnest(extconfig)::bigint FROM pg_extension WHERE extconfig IS NOT NULL")
        return {int(row[0]) for row in cursor.fetchall()}


def is_superuser(connection: Any) -> bool:
    """Return whether the role that is logged in is a superuser."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        return bool(cursor.fetchone()[0])


def out_of_reach(connection: Any) -> list[str]:
    """Return what pg_dump leaves out without failing, because the role that is logged in is no superuser."""
    if is_superuser(connection):
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.subname, current_user FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
            " WHERE d.datname = current_database() ORDER BY s.subname"
        )
        return [f'the subscription "{name}": {user} is no superuser' for name, user in cursor.fetchall()]


def roles(connection: Any) -> set[str]:
    """Return the names of all roles of the cluster."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles")
        return {str(row[0]) for row in cursor.fetchall()}


def find(name: str, among: Sequence[Table]) -> list[Table]:
    """Return the tables that ``name`` can mean: it is a literal name, with its schema before a dot or without.

    Nothing in it is a pattern, and capitals count, because the name comes from a person's list of tables and not from
    SQL. Written as SQL would write it, in double quotes, it is understood too.
    """
    plain = [table for table in among if table.name == name]
    qualified = [table for table in among if f"{table.schema}.{table.name}" == name]
    in_sql = [table for table in among if _in_sql(name) in ((table.name,), (table.schema, table.name))]
    found = {table.oid: table for table in [*plain, *qualified, *in_sql]}
    # As SQL itself does: of tables of one name, the one on the search path is meant when no schema is said.
    visible = [table for table in found.values() if table.visible]
    return visible if len(found) > 1 and len(visible) == 1 and not qualified else list(found.values())


def _in_sql(text: str) -> tuple[str, ...]:
    """Return the parts of an SQL name such as ``"My schema".edges``, () when it is none."""
    parts: list[str] = []
    rest = text
    while rest:
        if rest.startswith('"'):
            end = 1
            while end < len(rest):
                if rest[end] == '"':
                    if rest[end + 1 : end + 2] != '"':
                        break
                    end += 1
                end += 1
            if end >= len(rest):
                return ()
            parts.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :]
        else:
            part, dot, after = rest.partition(".")
            parts.append(part)
            rest = dot + after
        if rest:
            if not rest.startswith(".") or rest == ".":
                return ()
            rest = rest[1:]
    return tuple(parts)
