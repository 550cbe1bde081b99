# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring an archive into a database, and proving that all of it arrived."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from ..catmaid.scrub import Scrubbed, Scrubbing, scrub
from ..errors import CatmaidError
from ..postgres import catalog, databases, dump, ownership, packed, plain, properties, reading, restore, roles
from ..postgres.properties import Privilege, Properties
from ..postgres.restore import SECTIONS
from ..postgres.server import Server, quoted
from ..progress import Report, elapsing
from . import clones, foreign, loading, manifest, picking, scripted, verify
from . import extensions as versions
from .loading import Load, Loaded
from .proof import Proof, prove, prove_counted

# Only these schemas are there before the archive makes its own.
READY_SCHEMAS = ("public", "pg_catalog")


@dataclass(frozen=True)
class Request:
    """What somebody asks for."""

    server: Server
    database: str
    archive: str
    sections: Sequence[str] = SECTIONS
    jobs: int | None = None
    create_database: bool = True
    owner: str | None = None
    create_extensions: Sequence[str] | None = None
    restore_roles: bool = False
    verify: bool = True
    in_place: bool = False
    fill: bool = True
    tables: Sequence[str] = ()
    source_db: str = ""
    scrub: Scrubbing | None = None
    on_progress: Report | None = None


@dataclass(frozen=True)
class Prepared:
    """What a run would do, found out without changing anything."""

    source: verify.Source
    target: Properties | None
    tables: int
    creates: bool
    superuser: bool
    owner: str
    extensions: list[dict[str, str]]
    roles: list[str]
    skip: dict[str, str]


@dataclass
class Outcome:
    """What a run did."""

    created: bool
    seconds: dict[str, float] = field(default_factory=dict)
    proof: Proof = field(default_factory=Proof)
    filled: list[str] = field(default_factory=list)
    roles_created: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    scrubbed: Scrubbed | None = None


def prepare(request: Request) -> Prepared:
    """Return what :func:`run` would do, or raise what would stop it."""
    doing = f"restoring {request.archive} into {request.database}"
    _check_request(request, doing)
    with databases.maintenance(request.server) as connection:
        with _reading(request):
            source = verify.source(request.archive, connection.server_version, request.source_db, request.database)
        target = properties.read(connection, request.database)
        existing = catalog.roles(connection)
        superuser = catalog.is_superuser(connection)
        extensions = _extensions(request, source)
        _check_available(connection, doing, extensions, (source.manifest or {}) if request.verify else {})
        if source.manifest and source.manifest["properties"] and not request.in_place:
            databases.check_space(connection, request.server, doing, _bytes(request, source.manifest))
    stale = target is not None and databases.is_left_over(target) and "pre-data" in request.sections
    creates = target is None or (stale and request.create_database)
    if target is None and not (request.create_database and "pre-data" in request.sections):
        remedy = "Create it first, or restore all sections with create_database."
        raise CatmaidError(doing, f"there is no database {request.database}", remedy)
    if request.scrub:
        _check_scrub(request, doing, creates=creates, superuser=superuser)
    tables = 0 if creates else _check_target(request, doing)
    known = source.properties.get("owner") or request.server.user
    owner = request.owner or (target.owner if target and not creates else known)
    to_create = _missing_roles(request, doing, source, existing, owner)
    skip = _skip(request, doing, source, superuser=superuser)
    return Prepared(source, target, tables, creates, superuser, owner, extensions, to_create, skip)


def _reading(request: Request) -> AbstractContextManager[None]:
    """Report how far the archive is read. In a folder with several, nobody knows which files are before it is read."""
    path = request.archive
    one = os.path.isfile(path) or any(os.path.exists(os.path.join(path, name)) for name in (manifest.NAME, "toc.dat"))
    return reading.watching(path, request.on_progress if one else None, f"checking {os.path.basename(path)}")


def _skip(request: Request, doing: str, source: verify.Source, *, superuser: bool) -> dict[str, str]:
    """Return what is left out on purpose, with the reason."""
    skip = restore.noise(source.contents, superuser=superuser, in_place=request.in_place)
    if not source.script:
        return {**picking.others(source.contents, request.tables, doing), **skip} if request.tables else skip
    if request.tables:
        raise CatmaidError(doing, "single tables cannot be taken out of plain SQL", "Restore all, or name an archive.")
    if request.in_place:
        cause = "plain SQL cannot take the place of what is there"
        raise CatmaidError(doing, cause, "Restore beside the live database, and swap.")
    if source.rows:
        skip.update(restore.noise(source.rows, superuser=superuser, in_place=False))
    with databases.maintenance(request.server) as connection:
        unknown = plain.unknown_settings(connection, source.script.settings)
    return {**source.script.left_out, **unknown, **skip}


def _check_scrub(request: Request, doing: str, *, creates: bool, superuser: bool) -> None:
    if not creates:
        cause = f"there is a database {request.database}, which others could use before it is scrubbed"
        raise CatmaidError(doing, cause, "Name a database that is to be created.")
    if not superuser:
        cause = f"{request.server.user} is no superuser, who alone can scrub a copy"
        raise CatmaidError(doing, cause, "Log in as one.")


def _bytes(request: Request, manifest: dict[str, Any]) -> int:
    """Return how much room it takes."""
    if request.tables:
        return sum(int(table["bytes"]) for table in picking.narrowed(manifest, request.tables)["tables"])
    return int(manifest["properties"]["bytes"])


def run(request: Request, prepared: Prepared) -> Outcome:
    """Restore. A database that this run created is dropped again when it fails."""
    outcome = Outcome(created=prepared.creates)
    if prepared.roles:
        outcome.roles_created = roles.restore(request.server, _globals(prepared.source), set(prepared.roles))
    if prepared.creates:
        if prepared.target:
            databases.drop(request.server, request.database)  # what a killed run left
        _create(request, prepared)
    try:
        _fill(request, prepared, outcome)
    except BaseException as error:
        if prepared.creates:
            _take_away(request, error)
        raise
    return outcome


def _take_away(request: Request, why: BaseException) -> None:
    """Drop what a failed run has made. Where even that fails, as on a server that is gone, the first error is told."""
    try:
        databases.drop(request.server, request.database, end_sessions=True)
    except CatmaidError as error:
        if not isinstance(why, CatmaidError):
            raise
        left = f"What is left of database {request.database} goes with the next run ({error.cause.strip()})."
        why.remedy = " ".join(filter(None, [why.remedy, left]))


def _fill(request: Request, prepared: Prepared, outcome: Outcome) -> None:
    source, database = prepared.source, request.database
    if "pre-data" in request.sections:
        _create_extensions(request, prepared)
    archive = restore.Archive(source.archive, source.contents, source.version, prepared.skip)
    jobs = _jobs(request, source)
    report, fill = request.on_progress, request.fill and not request.tables
    load = Load(request.server, database, source, archive, request.sections, jobs, fill, report)
    if request.in_place:
        with elapsing(f"replacing what {database} holds", report):
            loaded = Loaded({"all": restore.run_in_place(request.server, database, archive)})
    else:
        loaded = scripted.run(load) if source.script else loading.run(load)
    outcome.seconds, outcome.filled = loaded.seconds, sorted(loaded.filled)
    if "data" in request.sections:
        with elapsing(f"analyzing {database}", report):
            outcome.seconds["analyze"] = restore.analyze(request.server, database, jobs, source.version)
        if request.verify:
            started = time.monotonic()
            loading.check(load, loaded)
            outcome.proof = _prove(request, prepared, jobs)
            outcome.seconds["verify"] = round(time.monotonic() - started, 3)
    if request.scrub:
        with elapsing(f"taking out of {database} what lets people in", report):
            outcome.scrubbed = scrub(request.server, database, request.scrub)
            if (theirs := source.properties.get("owner", prepared.owner)) != prepared.owner:
                ownership.hand_over(request.server, database, theirs, prepared.owner)
    if "post-data" in request.sections:
        _finish(request, prepared, outcome)


def _prove(request: Request, prepared: Prepared, jobs: int) -> Proof:
    source = prepared.source
    if not source.manifest:
        with elapsing(f"comparing {request.database} with its archive", request.on_progress):
            return prove_counted(request.server, request.database, source, prepared.skip, jobs=jobs)
    whole = not any(entry["what"] == "table" for entry in source.manifest["left_out"])
    every = "post-data" in request.sections and whole
    told = picking.narrowed(source.manifest, request.tables) if request.tables else source.manifest
    return prove(request.server, request.database, told, objects=every, jobs=jobs, report=request.on_progress)


def _finish(request: Request, prepared: Prepared, outcome: Outcome) -> None:
    """Give the database what the original had besides its contents, and take the mark of the unfinished away."""
    with databases.maintenance(request.server) as connection:
        own = properties.read(connection, request.database)
        if own is None or own.comment != databases.UNFINISHED:
            return  # somebody else's database, which has its own
        recorded = (prepared.source.manifest or {}).get("properties")
        comment = clones.MARK if request.scrub else None
        if not recorded:
            properties.apply(connection, request.database, replace(own, connection_limit=-1), comment or "")
            return
        known = catalog.roles(connection) | {""}
        wanted, lost = _recorded(own, recorded, known, prepared.owner)
        outcome.missing += lost
        properties.apply(connection, request.database, wanted, comment)


def _recorded(
    own: Properties, recorded: dict[str, Any], known: set[str], owner: str
) -> tuple[Properties, list[str]]:  # fmt: skip
    """Return the properties to apply, and what cannot be applied because its role does not exist."""

    def translate(role: str) -> str:
        return owner if role == recorded["owner"] else role  # a new owner takes the old one's rights

    privileges = {
        Privilege(translate(p["grantee"]), p["privilege"], p["grantable"]) for p in recorded["privileges"]
    }  # fmt: skip
    by_role = {translate(role): tuple(config) for role, config in recorded["role_settings"]}
    lost = sorted({p.grantee for p in privileges if p.grantee not in known} | (by_role.keys() - known))
    wanted = replace(
        own,
        owner=owner,
        connection_limit=recorded["connection_limit"],
        comment=recorded["comment"] if recorded["comment"] != databases.UNFINISHED else "",
        privileges=tuple(sorted((p for p in privileges if p.grantee in known), key=lambda p: (p.grantee, p.privilege))),
        settings=tuple(recorded["settings"]),
        role_settings=tuple((role, config) for role, config in sorted(by_role.items()) if role in known),
    )
    return wanted, [f"rights and settings of role {role}, which does not exist" for role in lost]


def _check_request(request: Request, doing: str) -> None:
    if not request.sections:
        raise CatmaidError(doing, "no section is asked for", f"Sections: {', '.join(SECTIONS)}.")
    if request.tables and (request.in_place or "post-data" in request.sections):
        cause = "tables go into a database of their own, without the constraints that would miss the rows of others"
        raise CatmaidError(doing, cause, "Leave out in_place, and the section post-data.")
    if request.scrub and set(request.sections) != set(SECTIONS):
        raise CatmaidError(doing, "a copy that is scrubbed is a whole one", "Leave out sections and tables.")
    if request.in_place and set(request.sections) != set(SECTIONS):
        raise CatmaidError(doing, "a restore in place takes all sections at once", "Leave out sections.")
    if request.in_place and (request.jobs or 1) > 1:
        raise CatmaidError(doing, "a restore in place is one transaction, and that has one job", "Leave out jobs.")
    if request.jobs is not None and request.jobs < 1:
        raise CatmaidError(doing, f"{request.jobs} is no number of jobs")


def _check_target(request: Request, doing: str) -> int:
    """Return how many tables the target has; refuse one that could be somebody's live database."""
    with request.server.connect(request.database) as connection:
        tables = catalog.tables(connection, sizes=False)
        if request.in_place or not tables:
            return len(tables)
        remedy = "Restore into a new database and swap it in, or set in_place to replace what is there."
        if "pre-data" in request.sections:
            raise CatmaidError(doing, f"{request.database} holds {len(tables)} tables already", remedy)
        if "data" in request.sections:
            for table in tables:
                with connection.cursor() as cursor:
                    name = f"{quoted(table.schema, connection)}.{quoted(table.name, connection)}"
                    cursor.execute(f"SELECT EXISTS (SELECT FROM ONLY {name})")
                    if cursor.fetchone()[0]:
                        raise CatmaidError(doing, f"{table.label} has rows already", remedy)
    return len(tables)


def _missing_roles(
    request: Request, doing: str, source: verify.Source, existing: set[str], owner: str
) -> list[str]:  # fmt: skip
    """Return the roles to create first; refuse when an owner is missing and cannot be made."""
    makeable: list[str] = []
    if request.restore_roles:
        known = [statement.role for statement in roles.parse(_globals(source)) if statement.creates]
        makeable = [role for role in known if role not in existing]
    lacking = restore.missing_roles(source.contents, existing | set(makeable))
    if owner not in existing and owner not in makeable:
        lacking = sorted({*lacking, owner})
    if lacking:
        raise CatmaidError(
            doing,
            f"the roles that are to own its objects do not exist: {', '.join(lacking)}",
            "Create them, or set restore_roles with a backup that has its roles beside it.",
            missing_roles=lacking,
        )
    return makeable


def _globals(source: verify.Source) -> str:
    """Return the roles beside the dump, if there are any."""
    return packed.text(source.roles) if source.roles else ""


def _extensions(request: Request, source: verify.Source) -> list[dict[str, str]]:
    """Return the extensions to create before anything else."""
    recorded = {e["name"]: e for e in (source.manifest or {}).get("extensions", [])}
    if request.create_extensions is not None:
        return [recorded.get(name, {"name": name, "schema": "public"}) for name in request.create_extensions]
    found = recorded or {name: {"name": name, "schema": "public"} for name in source.contents.extensions()}
    return [e for e in found.values() if e["name"] != "plpgsql" and e["schema"] in READY_SCHEMAS]


def _check_available(
    connection: Any, doing: str, extensions: Sequence[dict[str, str]], manifest: dict[str, Any]
) -> None:  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, default_version FROM pg_available_extensions")
        available = dict(cursor.fetchall())
    lacking = [e["name"] for e in extensions if e["name"] not in available]
    if lacking:
        raise CatmaidError(
            doing,
            f"this server has no extension {', '.join(lacking)}",
            "Install its package on the server's host (PostGIS: postgresql-<version>-postgis-3).",
        )
    there = [{"name": e["name"], "version": str(available[e["name"]])} for e in extensions]
    if older := versions.older(manifest, there):
        remedy = "Install the newer package on the server's host, or set verify to false if nothing of it is missed."
        raise CatmaidError(doing, "; ".join(older), remedy)


def _create(request: Request, prepared: Prepared) -> None:
    recorded = prepared.source.properties
    wanted = {key: recorded[key] for key in ("encoding", "collate", "ctype", "provider", "locale") if key in recorded}
    closed = request.scrub is not None
    databases.create(request.server, request.database, owner=prepared.owner, closed=closed, **wanted)


def _create_extensions(request: Request, prepared: Prepared) -> None:
    with request.server.connect(request.database) as connection, connection.cursor() as cursor:
        for extension in prepared.extensions:
            schema = quoted(extension["schema"], connection)
            # Some fix their schema themselves and refuse to be told another one; pg_catalog is never ours to name.
            where = f" WITH SCHEMA {schema}" if extension["schema"] == "public" else ""
            cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {quoted(extension['name'], connection)}{where}")


def _jobs(request: Request, source: verify.Source) -> int:
    return 1 if source.contents.format == "tar" else request.jobs or dump.default_jobs()


def left_out(source: verify.Source, filled: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the tables that the backup does not hold, and what brings each back; those not that were filled."""
    entries = foreign.left_out(source.contents, source.rows) if not source.manifest else source.manifest["left_out"]
    return [entry for entry in entries if entry["name"] not in filled or entry["schema"] != "public"]
