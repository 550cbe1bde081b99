# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about an instance that its jobs want to know beforehand: code, settings, database. Reads only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..django import migrations
from ..django.shim import Runner
from ..postgres.server import quoted
from . import facts, releases
from .materializations import GEOMETRY, NODE_QUERY_CACHE, SUMMARIES

READING = {"default_transaction_read_only": "on", "lock_timeout": "10s"}

DATABASE = """
SELECT current_database(), pg_database_size(oid), pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate
  FROM pg_database WHERE datname = current_database()"""

# With its indexes and toast; of tables that inherit, each one's own.
BIGGEST = """
SELECT c.relname, pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint
  FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
 ORDER BY 2 DESC, 1 LIMIT %s"""

SESSIONS = """
SELECT coalesce(nullif(application_name, ''), 'without a name'), count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
 GROUP BY 1 ORDER BY 1"""

# CATMAID's own functions make and drop these triggers; there are none when tracking is off.
HISTORY = """
SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
 WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND c.relnamespace = 'public'::regnamespace
   AND t.tgname LIKE '%history%'"""


def read(runner: Runner, biggest: int = 10) -> dict[str, Any]:
    """Return what is known of an instance, as plain values."""
    project = runner.project
    project.validate()
    source = facts.source(project.path, project.os_user)
    settings = runner.settings()
    planned = migrations.plan(runner)
    return {
        "catmaid": asdict(source),
        "release": releases.as_dict(source.describe),
        "python": settings["python"],
        "django": settings["django"],
        "settings": {name.lower(): value for name, value in settings["settings"].items()},
        "migrations": {
            "applied": len(planned.recorded),
            "unapplied": planned.unapplied,
            "unknown": planned.unknown,
            "orphaned": planned.orphaned,
        },
        **database(runner, biggest),
    }


def database(runner: Runner, biggest: int) -> dict[str, Any]:
    """Return what the database says of itself."""
    with runner.server.connect(runner.database, settings=READING) as connection, connection.cursor() as cursor:
        cursor.execute(DATABASE)
        name, size, owner, encoding, collation = cursor.fetchone()
        cursor.execute("SELECT extname, extversion FROM pg_extension ORDER BY extname")
        extensions = dict(cursor.fetchall())
        cursor.execute(BIGGEST, [biggest])
        tables = [{"name": table, "bytes": size_, "rows_estimated": rows} for table, size_, rows in cursor.fetchall()]
        cursor.execute(SESSIONS)
        sessions = dict(cursor.fetchall())
        cursor.execute(HISTORY)
        triggers = cursor.fetchone()[0]
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        there = {table for (table,) in cursor.fetchall()}
        rows: dict[str, int | None] = {}
        for table in GEOMETRY + SUMMARIES + NODE_QUERY_CACHE:
            rows[table] = None
            if table in there:
                cursor.execute(f"SELECT count(*) FROM {quoted(table, connection)}")
                rows[table] = cursor.fetchone()[0]
        return {
            "database": {
                "name": name,
                "bytes": size,
                "owner": owner,
                "encoding": encoding,
                "collation": collation,
                "server_version": connection.server_version,
                "postgis": extensions.get("postgis"),
                "extensions": extensions,
            },
            "biggest_tables": tables,
            "sessions": sessions,
            "history_tracking": {"enabled": triggers > 0, "triggers": triggers},
            "materializations": rows,
        }
