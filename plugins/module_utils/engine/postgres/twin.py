# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second table like one that is in use, to be filled beside it and put in its place.

A twin has the same names, in a schema of its own. Whether it is like the original in all respects is not assumed but
compared before it takes its place: who finds a difference says :class:`UnlikeError`, and nothing has happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .server import quoted

try:
    import psycopg2
    import psycopg2.errors
except ImportError:
    pass  # Server.connect, which comes first, says so

SCHEMA = "catmaid_admin_twin"
# Who finds the schema later knows by its comment that it may go.
MARK = "catmaid.admin: tables that are being made, left by a job if none is running"
HOME = "public"
FIRST_WITH_COMPRESSION = 140000


class UnlikeError(Exception):
    """Something about the original cannot be made again, or hangs on it."""


@dataclass(frozen=True)
class Index:
    """An index to build on a twin; ``method`` is its access method."""

    name: str
    method: str
    statement: str


# What makes a table what it is, one line for each property. The texts are those of an empty search_path.
_DEFINITION = r"""
WITH t AS (SELECT c.*, to_jsonb(c) AS all_of_it FROM pg_class c WHERE c.oid = %(table)s::regclass)
SELECT format('table: owner %%s, rights %%s, options %%s, toast %%s, persistence %%s, identity %%s, security %%s %%s, '
              'tablespace %%s, method %%s, comment %%s', relowner::regrole,
              (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(relacl) x), reloptions,
              (SELECT o.reloptions FROM pg_class o WHERE o.oid = t.reltoastrelid), relpersistence, relreplident,
              relrowsecurity, relforcerowsecurity, reltablespace, relam, obj_description(oid, 'pg_class')) FROM t
UNION ALL
SELECT format('column %%s: %%s', row_number() OVER (ORDER BY a.attnum),
              (to_jsonb(a) - '{attrelid,attnum,attcacheoff,attmissingval,atthasmissing,attoptions}'::text[])
              || jsonb_build_object('type', format_type(a.atttypid, a.atttypmod),
                                    -- Newer minor releases keep a number for each table among its columns' options.
                                    'options', ARRAY(SELECT o FROM unnest(a.attoptions) o
                                                      WHERE o NOT LIKE 'pg\_attver=%%' ORDER BY o),
                                    'comment', col_description(a.attrelid, a.attnum),
                                    'default', pg_get_expr(d.adbin, d.adrelid)))
  FROM t JOIN pg_attribute a ON a.attrelid = t.oid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT format('index: %%s, valid %%s, clustered %%s, identity %%s, primary %%s, statistics %%s, comment %%s',
              pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisclustered, i.indisreplident, i.indisprimary,
              (SELECT string_agg(a.attstattarget::text, ' ' ORDER BY a.attnum) FROM pg_attribute a
                WHERE a.attrelid = i.indexrelid), obj_description(i.indexrelid, 'pg_class'))
  FROM t JOIN pg_index i ON i.indrelid = t.oid
UNION ALL
SELECT format('constraint %%s: %%s, comment %%s', k.conname, pg_get_constraintdef(k.oid),
              obj_description(k.oid, 'pg_constraint')) FROM t JOIN pg_constraint k ON k.conrelid = t.oid
UNION ALL
SELECT format('trigger: %%s %%s', pg_get_triggerdef(g.oid), g.tgenabled)
  FROM t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal
UNION ALL SELECT format('rule %%s', r.rulename) FROM t JOIN pg_rewrite r ON r.ev_class = t.oid
UNION ALL SELECT format('policy %%s', p.polname) FROM t JOIN pg_policy p ON p.polrelid = t.oid
UNION ALL SELECT format('publication %%s', p.prpubid) FROM t JOIN pg_publication_rel p ON p.prrelid = t.oid
UNION ALL SELECT format('statistics %%s', s.stxname) FROM t JOIN pg_statistic_ext s ON s.stxrelid = t.oid
UNION ALL SELECT format('inherits %%s', h.inhparent::regclass) FROM t JOIN pg_inherits h ON h.inhrelid = t.oid
ORDER BY 1
"""

_INDEXES = """
SELECT c.relname, m.amname, i.indisunique, pg_get_indexdef(i.indexrelid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
 WHERE i.indrelid = %s::regclass ORDER BY 1
"""

# LIKE brings checks along. Keys refer to indexes and to other tables; a key on the table itself is one on the twin.
_KEYS = """
SELECT k.conname, k.contype, k.confrelid = k.conrelid, pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred
  FROM pg_constraint k WHERE k.conrelid = %s::regclass AND k.contype NOT IN ('c', 'n') ORDER BY k.contype DESC, 1
"""
_VIEWS = """
SELECT string_agg(DISTINCT r.ev_class::regclass::text, ', ') FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
 WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = ANY(%s::regclass[])
"""
_REFERRED = """
SELECT DISTINCT k.confrelid::regclass::text FROM pg_constraint k
 WHERE k.conrelid = ANY(%s::regclass[]) AND k.contype = 'f' AND k.confrelid <> k.conrelid
"""
_RIGHTS = """
SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, x.privilege_type,
       x.is_grantable FROM pg_class c, aclexplode(c.relacl) x WHERE c.oid = %s::regclass
"""
_LOOKS = """
SELECT quote_ident(pg_get_userbyid(c.relowner)), array_to_string(c.reloptions, ', '),
       obj_description(c.oid, 'pg_class'),
       ARRAY(SELECT format('ALTER COLUMN %%I SET STATISTICS %%s', a.attname, a.attstattarget) FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attstattarget >= 0 AND NOT a.attisdropped)
  FROM pg_class c WHERE c.oid = %s::regclass
"""


def original(cursor: Any, table: str) -> str:
    """Return the full name of the table in use, for SQL."""
    return f"{HOME}.{quoted(table, cursor.connection)}"


def name(cursor: Any, table: str) -> str:
    """Return the full name of its twin, for SQL."""
    return f"{SCHEMA}.{quoted(table, cursor.connection)}"


def check(cursor: Any, tables: Sequence[str]) -> None:
    """Raise :class:`UnlikeError` for what would otherwise be found in the end only, or by a subscriber."""
    cursor.execute("SELECT string_agg(quote_ident(pubname), ', ') FROM pg_publication")
    published = cursor.fetchone()[0]
    if published:
        raise UnlikeError(f"the database is published ({published}), and subscribers do not know a second table")
    cursor.execute(_VIEWS, [[original(cursor, table) for table in tables]])
    views = cursor.fetchone()[0]
    if views:
        raise UnlikeError(f"the view {views} depends on them")


def left_over(cursor: Any) -> bool:
    """Tell whether there are twins, of a job that was killed if none is running."""
    cursor.execute("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [SCHEMA])
    found = cursor.fetchone()
    return bool(found) and found[0] == MARK


def remove(cursor: Any) -> None:
    """Take away all twins, also those that a killed job has left."""
    cursor.execute("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [SCHEMA])
    found = cursor.fetchone()
    if found and found[0] != MARK:
        raise UnlikeError(f"there is a schema {SCHEMA} that is somebody else's")
    if found:
        cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def create(cursor: Any, tables: Sequence[str]) -> None:
    """Make empty twins, without indexes and keys."""
    remove(cursor)
    cursor.execute(f"CREATE SCHEMA {SCHEMA}")
    cursor.execute(f"COMMENT ON SCHEMA {SCHEMA} IS %s", [MARK])
    like = ["DEFAULTS", "CONSTRAINTS", "STORAGE", "COMMENTS", "GENERATED", "IDENTITY"]
    if cursor.connection.server_version >= FIRST_WITH_COMPRESSION:
        like.append("COMPRESSION")
    including = " ".join(f"INCLUDING {what}" for what in like)
    for table in tables:
        cursor.execute(f"CREATE TABLE {name(cursor, table)} (LIKE {original(cursor, table)} {including})")


def indexes(cursor: Any, table: str) -> list[Index]:
    """Return the indexes that the twin is to have."""
    found = []
    with _plain_names(cursor):
        cursor.execute(_INDEXES, [original(cursor, table)])
        for index, method, unique, definition in cursor.fetchall():
            unique_word = "UNIQUE " if unique else ""
            start = f"CREATE {unique_word}INDEX {_identifier(cursor, index)} ON {HOME}.{_identifier(cursor, table)} "
            if not definition.startswith(start):
                raise UnlikeError(f"index {index} cannot be made again from its definition {definition}")
            there = f"CREATE {unique_word}INDEX {quoted(index, cursor.connection)} ON {name(cursor, table)} "
            found.append(Index(index, method, there + definition[len(start) :]))
    return found


def referred(cursor: Any, tables: Sequence[str]) -> list[str]:
    """Return the other tables that keys of these refer to, as full names for SQL."""
    with _plain_names(cursor):
        cursor.execute(_REFERRED, [[original(cursor, table) for table in tables]])
        return [row[0] for row in cursor.fetchall()]


def complete(cursor: Any, table: str) -> None:
    """Give a filled twin with its indexes all that the original has besides."""
    twin = name(cursor, table)
    for statement in _keys(cursor, table):
        cursor.execute(f"ALTER TABLE {twin} ADD {statement}")
    cursor.execute(_LOOKS, [original(cursor, table)])
    owner, options, comment, columns = cursor.fetchone()
    for change in [*columns, *([f"SET ({options})"] if options else []), f"OWNER TO {owner}"]:
        cursor.execute(f"ALTER TABLE {twin} {change}")
    if comment:
        cursor.execute(f"COMMENT ON TABLE {twin} IS %s", [comment])
    cursor.execute(_RIGHTS, [original(cursor, table)])
    for grantee, privilege, grantable in cursor.fetchall():
        option = " WITH GRANT OPTION" if grantable else ""
        cursor.execute(f"GRANT {privilege} ON {twin} TO {grantee}{option}")


def exchange(cursor: Any, tables: Sequence[str]) -> None:
    """Put the twins in the place of the originals, which go; the caller holds locks on these, and commits."""
    before = {table: _definition(cursor, table) for table in tables}
    names = ", ".join(original(cursor, table) for table in tables)
    try:
        cursor.execute(f"DROP TABLE {names}")
    except psycopg2.errors.DependentObjectsStillExist as error:
        raise UnlikeError(str(error.diag.message_detail or error).replace("\n", "; ")) from error
    for table in tables:
        cursor.execute(f"ALTER TABLE {name(cursor, table)} SET SCHEMA {HOME}")
    for table in tables:
        after = _definition(cursor, table)
        if after != before[table]:
            lost = sorted(set(before[table]) ^ set(after))
            raise UnlikeError(f"a second {table} would differ from the first: {'; '.join(lost)[:500]}")
    remove(cursor)


def _definition(cursor: Any, table: str) -> list[str]:
    with _plain_names(cursor):
        cursor.execute(_DEFINITION, {"table": original(cursor, table)})
        return [row[0] for row in cursor.fetchall()]


def _keys(cursor: Any, table: str) -> list[str]:
    statements = []
    with _plain_names(cursor):
        cursor.execute(_KEYS, [original(cursor, table)])
        for key, kind, on_itself, definition, deferrable, deferred in cursor.fetchall():
            head = f"CONSTRAINT {quoted(key, cursor.connection)} "
            if kind in "pu":
                words = "PRIMARY KEY" if kind == "p" else "UNIQUE"
                later = " DEFERRABLE" * deferrable + " INITIALLY DEFERRED" * deferred
                statements.append(f"{head}{words} USING INDEX {quoted(key, cursor.connection)}{later}")
            elif kind == "f" and on_itself:
                own = f" REFERENCES {HOME}.{_identifier(cursor, table)}("
                statements.append(head + definition.replace(own, f" REFERENCES {name(cursor, table)}("))
            elif kind == "f":
                statements.append(head + definition)
            else:
                raise UnlikeError(f"constraint {key} of {table} is of a kind that is not known here")
    return statements


@contextmanager
def _plain_names(cursor: Any) -> Iterator[None]:
    """Let PostgreSQL write every name with its schema."""
    cursor.execute("SELECT current_setting('search_path')")
    before = cursor.fetchone()[0]
    cursor.execute("SELECT set_config('search_path', 'pg_catalog', false)")
    yield
    # An error ends the transaction and the session with it.
    cursor.execute("SELECT set_config('search_path', %s, false)", [before])


def _identifier(cursor: Any, identifier: str) -> str:
    """Return a name as PostgreSQL's own functions write it: in quotes only where it must be."""
    with cursor.connection.cursor() as other:
        other.execute("SELECT quote_ident(%s)", [identifier])
        return str(other.fetchone()[0])
