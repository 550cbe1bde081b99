# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a restored database holds what the manifest of its backup tells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from ..postgres import catalog, fingerprint, properties, sequences
from ..postgres.fingerprint import Content
from ..postgres.server import Server
from ..progress import Meter, Report
from . import extensions
from .verify import Source

_PARTITIONED = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'p'
"""


@dataclass(frozen=True)
class Proof:
    """How much was compared and found equal, with what, and what somebody should know who expects it otherwise."""

    by: str = ""
    tables: int = 0
    rows: int = 0
    fingerprints: int = 0
    notes: tuple[str, ...] = ()


def prove(
    server: Server,
    database: str,
    manifest: Mapping[str, Any],
    *,
    objects: bool,
    jobs: int,
    report: Report | None = None,
) -> Proof:
    """Compare rows and fingerprints of every table that the manifest tells, and all ``objects``; raise if they differ.

    So it does when a sequence would give numbers once more that rows have, or when an extension is an older one.

    Fingerprints are left out where equal contents need not have equal ones: in another encoding, or when a server
    hashes otherwise.
    """
    with server.connect(database) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        there = {(table.schema, table.name): table for table in catalog.tables(connection)}
        told = [(entry, there.get((entry["schema"], entry["name"]))) for entry in manifest["tables"]]
        able = fingerprint.comparable(connection) and _same_encoding(connection, database, manifest)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            snapshot = cursor.fetchone()[0]
        here = [table for entry, table in told if table]
        meter = Meter(f"comparing {database} with its backup", sum(table.bytes for table in here), report)
        contents = fingerprint.read(
            server,
            database,
            connection,
            here,
            hashed=[table.oid for entry, table in told if table and able and entry.get("fingerprint")],
            jobs=jobs,
            snapshot=snapshot,
            on_table=lambda table: meter.add(table.bytes, table.name),
        )
        have = catalog.objects(connection) if objects else {}
        exceptional = catalog.exceptions(connection)
        behind = sequences.behind(connection)
        installed = catalog.extensions(connection)
    found = [(entry, contents.get(table.oid) if table else None) for entry, table in told]
    different = [problem for entry, content in found if (problem := _difference(entry, content))]
    if objects:
        different += [
            f"{have.get(kind)} {kind.replace('_', ' ')} instead of {number}"
            for kind, number in manifest["objects"].items()
            if have.get(kind) != number
        ]
        different += _unusual(exceptional, manifest)
    # Without a record of the original nobody can say whether it was behind there already.
    original = manifest.get("sequences_behind", [found.sequence for found in behind])
    different += [str(found) for found in behind if found.sequence not in original]
    different += extensions.older(manifest, installed)
    if different:
        raise CatmaidError(f"comparing {database} with the manifest", "; ".join(different[:10]), different=different)
    return Proof(
        by="manifest",
        tables=len(found),
        rows=sum(content.rows for entry, content in found if content),
        fingerprints=sum(1 for entry, content in found if content and content.fingerprint),
        notes=(
            *(f"{found}, as in the original" for found in behind if found.sequence in original),
            *extensions.otherwise(manifest, installed),
        ),
    )


def prove_counted(server: Server, database: str, source: Source, skip: Collection[str], *, jobs: int) -> Proof:
    """Compare the rows of every table with those that were counted in an archive without a manifest.

    Tables that belong to an extension are left out: its script may have put rows into them, too.
    """
    if source.counted is None:
        return Proof(notes=("the rows could not be counted in the archive, so nothing was compared",))
    listed = [
        entry.text
        for entry in (source.rows or source.contents).entries
        if entry.kind == "TABLE DATA" and entry.line not in skip
    ]
    with server.connect(database) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute(_PARTITIONED)
            through_parent = any(tuple(row) in source.counted for row in cursor.fetchall())
            cursor.execute("SELECT pg_export_snapshot()")
            snapshot = cursor.fetchone()[0]
        tables = [
            table
            for table in catalog.tables(connection)
            if any(text.startswith(f"{table.schema} {table.name} ") for text in listed)
            # Of a partition whose rows go through its parent nobody knows how many they are.
            and not (through_parent and (table.schema, table.name) not in source.counted)
        ]
        contents = fingerprint.read(server, database, connection, tables, hashed=(), jobs=jobs, snapshot=snapshot)
    different = []
    for table in tables:
        rows, wanted = contents[table.oid].rows, source.counted.get((table.schema, table.name), 0)
        if rows != wanted:
            different.append(f"{table.label} has {rows} rows, and the archive {wanted}")
    if different:
        raise CatmaidError(f"comparing {database} with the archive", "; ".join(different[:10]), different=different)
    compared = sum(content.rows for content in contents.values())
    return Proof(by="counted rows" if tables else "", tables=len(tables), rows=compared)


def _difference(entry: Mapping[str, Any], content: Content | None) -> str:
    name, rows = f"{entry['schema']}.{entry['name']}", content.rows if content else None
    if rows != entry["rows"]:
        return f"{name} has {rows} rows instead of {entry['rows']}"
    if content and content.fingerprint and content.fingerprint != entry["fingerprint"]:
        return f"{name} has as many rows as it should, {rows}, but not all of them are the same"
    return ""


def _unusual(exceptional: list[str], manifest: Mapping[str, Any]) -> list[str]:
    """Return the triggers and constraints that are not in the state that they had; older manifests do not tell it."""
    recorded = manifest.get("exceptions", exceptional)
    return [
        *(f"{state}, which it was not" for state in exceptional if state not in recorded),
        *(f"not any more {state}" for state in recorded if state not in exceptional),
    ]


def _same_encoding(connection: Any, database: str, manifest: Mapping[str, Any]) -> bool:
    own = properties.read(connection, database)
    recorded = manifest.get("properties") or {}
    return own is not None and own.encoding == recorded.get("encoding")
