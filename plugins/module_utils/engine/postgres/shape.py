# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database is made of, each thing with its definition, to be compared with another moment; and small tables.

Names have their schema before them, unless it is public. What belongs to an extension is not told: only the extension's
version is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .server import quoted

PUBLIC = "public."
SMALL = 1024 * 1024  # bytes of a table whose rows are worth being compared one by one

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Thing:
    """A definition, and the columns of its table that it is about. ``strict`` if it can be met by who writes."""

    definition: str
    columns: tuple[str, ...] = ()
    strict: bool = False


@dataclass
class Shape:
    """Things by kind, by the object that they are part of, and by name.

    ``relations`` are the names of tables and views by their numbers; ``files`` tells which file holds a table or index.
    """

    things: dict[Key, Thing] = field(default_factory=dict)
    relations: dict[int, str] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)

    def columns(self, table: str) -> set[str]:
        """Return the columns of a table or view."""
        return {part for kind, of, part in self.things if kind == "column" and of == table}


# Whatever has an owner or rights has them in its definition. A constraint about no column is about all of them.
_THINGS = r"""
WITH ours AS (
    SELECT c.*, c.oid::regclass::text AS label FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e'))
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                    WHEN 'c' THEN 'type' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
       label, '', concat_ws(' ', relowner::regrole, relacl::text, reloptions::text, relpersistence, relrowsecurity,
                            relforcerowsecurity, relispartition, s.seqtypid::regtype, s.seqincrement, s.seqmin,
                            s.seqmax, s.seqcycle), '{}'::text[], false
  FROM ours LEFT JOIN pg_sequence s ON s.seqrelid = ours.oid WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'c', 'f')
UNION ALL
SELECT 'definition', label, '', pg_get_viewdef(oid, true), '{}', false FROM ours WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'column', label, a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attcollation NOT IN (0, 'pg_catalog."default"'::regcollation)
            THEN 'COLLATE ' || a.attcollation::regcollation END, nullif(a.attidentity::text, ''),
       nullif(a.attgenerated::text, ''), pg_get_expr(d.adbin, d.adrelid), a.attacl::text,
       CASE WHEN a.attnotnull THEN 'NOT NULL' END), '{}',
       a.attnotnull AND d.adbin IS NULL AND a.attidentity = ''
  FROM ours JOIN pg_attribute a ON a.attrelid = ours.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE relkind IN ('r', 'p', 'v', 'm', 'c', 'f')
UNION ALL
SELECT 'constraint', label, k.conname, concat_ws(' ', pg_get_constraintdef(k.oid),
       CASE WHEN NOT k.convalidated THEN 'not validated' END),
       ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)), true
  FROM ours JOIN pg_constraint k ON k.conrelid = ours.oid WHERE k.contype NOT IN ('n', 't')
UNION ALL
SELECT 'index', label, x.relname, concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid, x.reloptions::text),
       CASE WHEN 0 = ANY(i.indkey::int2[]) THEN '{}' ELSE
           ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = i.indrelid
                    AND a.attnum = ANY(i.indkey::int2[])) END, i.indisunique
  FROM ours JOIN pg_index i ON i.indrelid = ours.oid JOIN pg_class x ON x.oid = i.indexrelid
UNION ALL
SELECT 'trigger', label, t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled::text), '{}', true
  FROM ours JOIN pg_trigger t ON t.tgrelid = ours.oid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'rule', label, r.rulename, pg_get_ruledef(r.oid) || r.ev_enabled::text, '{}', true
  FROM ours JOIN pg_rewrite r ON r.ev_class = ours.oid WHERE r.rulename <> '_RETURN'
UNION ALL
SELECT 'policy', label, p.polname, concat_ws(' ', p.polcmd::text, p.polpermissive, p.polroles::text,
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), '{}', true
  FROM ours JOIN pg_policy p ON p.polrelid = ours.oid
UNION ALL
SELECT 'inheritance', h.inhparent::regclass::text, label, h.inhseqno::text, '{}', true
  FROM ours JOIN pg_inherits h ON h.inhrelid = ours.oid WHERE relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'function', p.oid::regprocedure::text, '', concat_ws(' ', p.proowner::regrole, p.proacl::text,
       CASE WHEN p.prokind = 'a' THEN to_jsonb(g)::text ELSE md5(pg_get_functiondef(p.oid)) END), '{}', false
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate g ON g.aggfnoid = p.oid
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                      AND d.deptype = 'e')
UNION ALL
SELECT 'type', t.oid::regtype::text, '', concat_ws(' ', t.typowner::regrole, t.typacl::text, t.typtype::text,
       format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
       (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
       (SELECT string_agg(pg_get_constraintdef(k.oid), ', ' ORDER BY k.conname) FROM pg_constraint k
         WHERE k.contypid = t.oid), (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid)),
       '{}', false
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE t.typtype IN ('d', 'e', 'r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid
                      AND d.deptype = 'e')
UNION ALL
SELECT 'schema', nspname, '', concat_ws(' ', nspowner::regrole, nspacl::text), '{}', false FROM pg_namespace
 WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT 'extension', extname, '', extversion, '{}', false FROM pg_extension
UNION ALL
SELECT 'event trigger', evtname, '', concat_ws(' ', evtevent, evtfoid::regprocedure, evtenabled::text, evttags::text),
       '{}', true FROM pg_event_trigger e
 WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid
                      AND d.deptype = 'e')
"""

_RELATIONS = """
SELECT c.oid::bigint, c.oid::regclass::text, pg_relation_filenode(c.oid), c.relkind FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'i')
   AND c.relpersistence <> 't'
"""

_SMALL = """
SELECT n.nspname, c.relname, c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
   AND pg_table_size(c.oid) <= %s
"""

Contents = dict[str, "Counter[str]"]


def read(connection: Any) -> Shape:
    """Return what there is."""
    shape = Shape()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path = pg_catalog")
        cursor.execute(_THINGS)
        for kind, of, part, definition, columns, strict in cursor.fetchall():
            shape.things[kind, _short(of), _short(part)] = Thing(definition, tuple(columns), bool(strict))
        cursor.execute(_RELATIONS)
        for number, name, file, kind in cursor.fetchall():
            if kind != "i":
                shape.relations[int(number)] = _short(name)
            if file:
                shape.files[_short(name)] = int(file)
    return shape


def contents(connection: Any, columns: Mapping[str, Sequence[str]] | None = None) -> Contents:
    """Return a checksum of each row of each small table.

    ``columns`` says which tables to read, whatever their size, and by which columns; without it, it is all of these.
    """
    found: Contents = {}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path = pg_catalog")
        cursor.execute(_SMALL, [SMALL if columns is None else 2**62])
        for schema, table, full in cursor.fetchall():
            label = _short(full)
            if columns is not None and label not in columns:
                continue
            names = columns[label] if columns is not None else _columns(cursor, full)
            row = ", ".join(f"x.{quoted(name, connection)}" for name in sorted(names))
            name = f"{quoted(schema, connection)}.{quoted(table, connection)}"
            cursor.execute(f"SELECT md5(ROW({row})::text) FROM ONLY {name} x")
            found[label] = Counter(str(line[0]) for line in cursor.fetchall())
    return found


def _short(name: str) -> str:
    return name[len(PUBLIC) :] if name.startswith(PUBLIC) else name


def _columns(cursor: Any, label: str) -> list[str]:
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", [label]
    )
    return [str(row[0]) for row in cursor.fetchall()]
