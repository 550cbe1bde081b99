# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An edit of rows by SQL, with a net: tried, backed up, run in one transaction, and kept if nothing is worse then.

The file runs twice. The first time it is rolled back, and tells which tables it writes to. Then these are locked
against others, backed up, and the file runs again. What triggers would have done for derived tables is done here, what
they would have refused is looked for, and with a new fault all of it is as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ..backups import archive, store
from ..catmaid import geometry, rebuild
from ..catmaid.materializations import TABLES
from ..django import locks
from ..django.migrations import LOCK_NOT_AVAILABLE
from ..django.shim import Runner, application, session
from ..errors import CatmaidError
from ..postgres import catalog, fingerprint, soundness
from ..postgres.catalog import Table
from ..postgres.fingerprint import Content
from ..postgres.server import quoted
from ..progress import Report, elapsing
from . import derived, faults, record, statements
from .statements import NOTHING_DONE, Edit

try:
    import psycopg2
except ImportError:
    pass  # Server.connect, which comes first, says so

HISTORY = "__history"
MATERIALIZATIONS = ("edges", "skeleton_summary")
# The locks of this session tell for certain which tables it writes to, those of triggers and rules included.
_LOCKED = """
    SELECT relation::bigint FROM pg_locks
     WHERE pid = pg_backend_pid() AND relation IS NOT NULL AND mode = ANY(%s)"""
WRITING = ["RowExclusiveLock", "ShareUpdateExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"]
_COUNTS = """
    SELECT relid::bigint, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_xact_user_tables
     WHERE n_tup_ins + n_tup_upd + n_tup_del > 0"""
_REFERENCED = "SELECT DISTINCT confrelid::bigint FROM pg_constraint WHERE contype = 'f' AND conrelid::bigint = ANY(%s)"


@dataclass(frozen=True)
class Request:
    """What is to be done. ``dest`` is where backups of edited tables are kept; ``by`` is who wants it."""

    runner: Runner
    edit: Edit
    dest: str
    replica: bool = True
    lock_timeout: int = 30
    by: str = ""
    check: bool = False
    on_progress: Report | None = None

    @property
    def doing(self) -> str:
        """What is being done, for people."""
        return f"editing database {self.runner.database} by {self.edit.path}"


@dataclass
class Change:
    """What became of the rows of a table."""

    table: Table
    before: Content
    after: Content
    counts: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_one(self) -> bool:
        """Whether the table holds something else than before."""
        return self.before != self.after


@dataclass
class Outcome:
    """What was done, or in a check would be."""

    changes: list[Change] = field(default_factory=list)
    statements: int = 0
    skeletons: list[int] = field(default_factory=list)
    mended: dict[str, int] = field(default_factory=dict)
    sequences: list[str] = field(default_factory=list)
    known_faults: list[str] = field(default_factory=list)
    without_history: list[str] = field(default_factory=list)
    backup: str = ""
    undo: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether any table holds something else than before."""
        return any(change.is_one for change in self.changes)


@dataclass(frozen=True)
class Tried:
    """What a first run has found out."""

    tables: list[Table]
    referenced: list[Table]
    skeletons: list[int]
    all_tables: list[Table]

    @property
    def derived(self) -> list[str]:
        """The derived tables that have to follow."""
        return derived.of({table.name for table in self.tables if table.visible})


def carry_out(request: Request) -> Outcome:
    """Do it."""
    name = application("edit")
    server, database = request.runner.server, request.runner.database
    with locks.watching(server, database, name) as watch:
        try:
            with elapsing(f"trying {request.edit.path}", request.on_progress):
                tried = _try(request, name)
            outcome = _edit(request, name, tried) if tried.tables else Outcome()
        except CatmaidError as error:
            if error.details.get("sqlstate") != LOCK_NOT_AVAILABLE:
                raise
            raise locks.lock_not_available(request.doing, "it", request.lock_timeout, watch) from error
    if outcome.changed and not request.check:
        _finish(request, outcome)
    return outcome


def _try(request: Request, name: str) -> Tried:
    with _transaction(request, name) as connection, connection.cursor() as cursor:
        tables = catalog.tables(connection)
        if not any(table.visible and table.name == "treenode" for table in tables):
            raise CatmaidError(request.doing, "it has no tables of CATMAID", "Check the name of the database.")
        derived.note_skeletons(cursor)
        statements.run(request.edit, connection)
        _reset(request, cursor, name)
        written = _locked(cursor, [*WRITING, "ShareLock", "ShareRowExclusiveLock"])
        touched = [table for table in tables if table.oid in written]
        cursor.execute(_REFERENCED, [[table.oid for table in touched]])
        others = {int(row[0]) for row in cursor.fetchall()} - written
        referenced = [table for table in tables if table.oid in others]
        skeletons = derived.touched_skeletons(cursor)
        connection.rollback()
    return Tried(touched, referenced, skeletons, tables)


def _edit(request: Request, name: str, tried: Tried) -> Outcome:
    backup = ""
    outcome = Outcome()
    try:
        with _transaction(request, name) as connection, connection.cursor() as cursor:
            _lock(connection, tried)
            before = _look(request, connection, tried, "before")
            if not request.check:
                backup = _back_up(request, tried)
            derived.note_skeletons(cursor)
            with elapsing(f"running {request.edit.path}", request.on_progress):
                outcome.statements = statements.run(request.edit, connection)
            _reset(request, cursor, name)
            cursor.execute(_COUNTS)
            counts = {oid: (made, changed, gone) for oid, made, changed, gone in cursor.fetchall()}
            outcome.skeletons = derived.touched_skeletons(cursor)
            _as_tried(request, tried, _locked(cursor, WRITING), outcome.skeletons)
            outcome.changes = _changes(request, connection, tried, before, counts)
            with elapsing("bringing what is derived to what the rows say now", request.on_progress):
                outcome.mended = derived.mend(cursor, tried.derived, outcome.skeletons)
                outcome.mended.update(dict.fromkeys(derived.stale_statistics(cursor, tried.derived), 0))
                outcome.warnings = derived.outdated_caches(cursor, {change.table.name for change in outcome.changes})
            _compare(request, outcome, before, _look(request, connection, tried, "after"))
            outcome.without_history = _without_history(request, outcome.changes, tried.all_tables)
            if request.check or not outcome.changed:
                connection.rollback()
            else:
                for sequence in soundness.behind(connection):
                    if sequence.sequence in outcome.sequences:
                        soundness.advance(connection, sequence)
    except BaseException:
        _forget(backup)
        raise
    if outcome.changed:
        outcome.backup = backup
        outcome.undo = record.undo_command(backup, [change.table for change in outcome.changes])
    else:
        _forget(backup)
    return outcome


@dataclass(frozen=True)
class View:
    """What was seen of the database at a moment."""

    faults: list[faults.Fault]
    behind: list[str]
    schema: tuple[dict[str, int], list[str]]
    contents: Mapping[int, Content]


def _look(request: Request, connection: Any, tried: Tried, when: str) -> View:
    with connection.cursor() as cursor:
        # Where our SQL for edges is not proven, CATMAID's command rebuilds them afterwards.
        ours = MATERIALIZATIONS if geometry.known(cursor) else MATERIALIZATIONS[1:]
    materializations = [one for one in ours if set(TABLES[one]) & set(tried.derived)]
    with elapsing(f"looking at {request.runner.database} {when} the edit", request.on_progress):
        schema = catalog.objects(connection), catalog.exceptions(connection)
        return View(
            faults.look(connection, tried.tables, tried.skeletons, materializations),
            [one.sequence for one in soundness.behind(connection)],
            schema,
            _contents(request, connection, tried.tables) if when == "before" else {},
        )


def _changes(
    request: Request, connection: Any, tried: Tried, before: View, counts: Mapping[int, tuple[int, int, int]]
) -> list[Change]:
    """Return what became of the tables, unless they are not the same tables any more."""
    if before.schema != (catalog.objects(connection), catalog.exceptions(connection)):
        remedy = f"An edit changes rows, and no tables, functions or triggers. {NOTHING_DONE}"
        raise CatmaidError(request.doing, "it has changed the schema", remedy)
    now = _contents(request, connection, tried.tables)
    return [
        Change(table, before.contents[table.oid], now[table.oid], counts.get(table.oid, (0, 0, 0)))
        for table in tried.tables
        if table.oid in counts or before.contents[table.oid] != now[table.oid]
    ]


def _compare(request: Request, outcome: Outcome, before: View, after: View) -> None:
    """Raise with the faults that are new; note those that are not."""
    worse = faults.new(before.faults, after.faults)
    if worse:
        told = "; ".join(worse[:10]) + (f"; and {len(worse) - 10} more" if len(worse) > 10 else "")
        raise CatmaidError(request.doing, f"afterwards {told}", f"It was rolled back. {NOTHING_DONE}", faults=worse)
    outcome.known_faults = [fault.text for fault in after.faults]
    outcome.sequences = [sequence for sequence in after.behind if sequence not in before.behind]


def _finish(request: Request, outcome: Outcome) -> None:
    """Write down what was done, and rebuild what cannot be in the same transaction. The edit stays in any case."""
    try:
        record.append(request, outcome)
    except (CatmaidError, OSError) as error:
        outcome.warnings.append(f"The edit is done, but could not be written down: {error}")
    touched = derived.of({change.table.name for change in outcome.changes if change.table.visible})
    wanted = [name for name, tables in TABLES.items() if set(tables) & set(touched)]
    runner, report = request.runner, request.on_progress
    try:
        survey = rebuild.survey(runner, wanted, report=report)
        outcome.warnings += rebuild.rebuild(runner, survey.stale, survey, request.lock_timeout, report=report)[1]
        outcome.mended.update({table: 0 for name in survey.stale for table in TABLES[name]})
    except CatmaidError as error:
        remedy = "The edit is done and stays. Run the playbook catmaid.admin.rebuild to bring these tables up to date."
        raise CatmaidError(error.doing, error.cause, remedy, **{**error.details, "changed": True}) from error


@contextmanager
def _transaction(request: Request, name: str) -> Iterator[Any]:
    """Yield a session in which the file can run, all of whose looks see one moment: that of its first query."""
    runner = request.runner
    settings = session(runner.identity().server_version, request.lock_timeout)
    with runner.server.connect(runner.database, settings=settings) as connection:
        connection.set_session(isolation_level="REPEATABLE READ")
        with connection.cursor() as cursor:
            _name(cursor, name)
            if request.replica:
                _let_no_trigger_fire(request, cursor)
        yield connection


def _let_no_trigger_fire(request: Request, cursor: Any) -> None:
    try:
        # Counting is on, unless somebody has switched it off; a superuser may switch it on again.
        cursor.execute("SET LOCAL session_replication_role = replica; SET LOCAL track_counts = on")
    except psycopg2.errors.InsufficientPrivilege as error:
        raise CatmaidError(
            request.doing,
            f"{request.runner.server.user} may not set session_replication_role, as only a superuser may",
            f"Log in as one, or run the file with triggers on (catmaid_direct_edit_replica=false). {NOTHING_DONE}",
        ) from error


def _name(cursor: Any, name: str) -> None:
    # By SET, which takes no snapshot as a query would.
    cursor.execute("SET LOCAL application_name = %s", [name])


def _reset(request: Request, cursor: Any, name: str) -> None:
    """Undo what the file has set for itself, and let constraints speak that wait for the end."""
    cursor.execute("SELECT current_setting('session_replication_role')")
    role = cursor.fetchone()[0]
    if role != ("replica" if request.replica else "origin"):
        cause = f"it has set session_replication_role to {role}"
        raise CatmaidError(request.doing, cause, f"Leave it out. {NOTHING_DONE}")
    cursor.execute("RESET SESSION AUTHORIZATION; RESET ALL; SET CONSTRAINTS ALL IMMEDIATE")
    _name(cursor, name)


def _locked(cursor: Any, modes: Sequence[str]) -> set[int]:
    cursor.execute(_LOCKED, [list(modes)])
    return {int(row[0]) for row in cursor.fetchall()}


def _lock(connection: Any, tried: Tried) -> None:
    """Let nobody write to the tables, nor to those that their rows refer to: no trigger would see what we do there."""
    with connection.cursor() as cursor:
        for tables, mode in ((tried.tables, "SHARE ROW EXCLUSIVE"), (tried.referenced, "SHARE")):
            names = [f"ONLY {quoted(table.schema, connection)}.{quoted(table.name, connection)}" for table in tables]
            if names:
                cursor.execute(f"LOCK TABLE {', '.join(names)} IN {mode} MODE")


def _contents(request: Request, connection: Any, tables: Sequence[Table]) -> Mapping[int, Content]:
    server, database = request.runner.server, request.runner.database
    return fingerprint.read(server, database, connection, tables, hashed={table.oid for table in tables})


def _back_up(request: Request, tried: Tried) -> str:
    """Back up the rows of these tables, and the schema; what is locked against others is as we see it."""
    touched = {table.oid for table in tried.tables}
    runner = request.runner
    wanted = archive.Request(
        server=runner.server,
        database=runner.database,
        dest=request.dest,
        materializations="include",
        exclude_table_data=[table.label for table in tried.all_tables if table.oid not in touched],
        allow_incomplete=True,
        globals=False,
        project_path=runner.project.path,
        project_user=runner.project.user,
        lock_wait_timeout=request.lock_timeout,
        requested_by=f"{request.by}, before {request.edit.path}".strip(", "),
        shrink_percent=0,
        on_progress=request.on_progress,
    )
    with elapsing(f"backing up {len(touched)} tables of {runner.database}", request.on_progress):
        return archive.create(wanted)[1].path


def _forget(backup: str) -> None:
    """Remove a backup of what was not changed in the end."""
    if backup:
        with suppress(CatmaidError, OSError):
            store.remove(backup)


def _as_tried(request: Request, tried: Tried, written: set[int], skeletons: Sequence[int]) -> None:
    """Refuse an edit that has done more than what it did when it was tried: that was neither backed up nor locked."""
    known = {table.oid for table in tried.tables}
    more = [table.label for table in tried.all_tables if table.oid in written - known]
    if not more and set(skeletons) <= set(tried.skeletons):
        return
    what = ", ".join(more) or f"skeleton {min(set(skeletons) - set(tried.skeletons))}"
    raise CatmaidError(
        request.doing,
        f"it has changed {what}, which it did not when it was tried a moment before",
        f"Somebody has worked on the same rows, or the file does not do the same twice. {NOTHING_DONE} Run it again.",
    )


def _without_history(request: Request, changes: Sequence[Change], tables: Sequence[Table]) -> list[str]:
    """Return the edited tables that have a history to which nothing was added, because its triggers are off."""
    names = {(table.schema, table.name) for table in tables}
    kept = {(change.table.schema, change.table.name) for change in changes if change.is_one}
    return [
        name
        for schema, name in sorted(kept)
        if request.replica and (schema, name + HISTORY) in names and (schema, name + HISTORY) not in kept
    ]
