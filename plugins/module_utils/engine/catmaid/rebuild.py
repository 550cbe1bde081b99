# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring CATMAID's derived tables back: only those that differ from their sources, each in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..django import locks
from ..django.migrations import LOCK_NOT_AVAILABLE
from ..django.shim import ChildError, Runner, application, session
from ..errors import CatmaidError
from ..postgres.server import quoted
from ..postgres.twin import UnlikeError
from ..progress import Report, elapsing
from . import edges, keepsakes, releases, staleness
from .keepsakes import Kept
from .materializations import TABLES
from .staleness import Finding

EDGES_REBUILT = "Successfully rebuilt edge tables"  # the command also ends with 0 when it has done nothing

EDGES_LOCKED = "The geometry tables were rebuilt by CATMAID's own command, which locks viewers out while it runs: {}."
IMPORTS_LOST = (
    "{} skeletons were missing in catmaid_skeleton_summary, so their num_imported_nodes could not be kept: CATMAID's "
    "own rebuild cannot compute it. It is 0 for them now."
)


@dataclass
class Survey:
    """What the derived tables hold and how they differ. ``unused`` are caches that the settings do not use."""

    rows: dict[str, int]
    findings: list[Finding]
    until: Any
    imported_known: bool
    cached_projects: list[int] | None = None
    unused: list[str] = field(default_factory=list)

    @property
    def stale(self) -> list[str]:
        """The materializations that differ, in the order in which they are rebuilt."""
        return [name for name in TABLES if any(finding.materialization == name for finding in self.findings)]


def survey(runner: Runner, wanted: Sequence[str], until: Any = None, report: Report | None = None) -> Survey:
    """Compare the ``wanted`` materializations with their sources; reads only."""
    with elapsing(f"comparing the materializations of {runner.database}", report):
        return _survey(runner, wanted, until)


def _survey(runner: Runner, wanted: Sequence[str], until: Any) -> Survey:
    unused: list[str] = []
    projects: list[int] | None = None
    if "node_query_cache" in wanted:
        used, projects = cached_providers(runner.settings(("NODE_PROVIDERS",))["settings"]["NODE_PROVIDERS"] or [])
        unused = [] if used else ["node_query_cache"]
    look_at = [name for name in wanted if name not in unused]
    tables = [table for name in look_at for table in TABLES[name]]
    with (
        runner.server.connect(runner.database, settings=staleness.READING) as connection,
        connection.cursor() as cursor,
    ):
        _require(cursor, runner.database, tables)
        until = until or staleness.full_hours_until(cursor)
        return Survey(
            rows={table: _count(connection, table) for table in tables},
            findings=staleness.findings(cursor, look_at, until, projects),
            until=until,
            imported_known=_has_imported(cursor),
            cached_projects=projects,
            unused=unused,
        )


def cached_providers(providers: str | Sequence[Any]) -> tuple[bool, list[int] | None]:
    """Tell from NODE_PROVIDERS whether node_query_cache is used, and for which projects (None: all)."""
    projects: list[int] = []
    used = everywhere = False
    for provider in [providers] if isinstance(providers, str) else providers:
        name, options = (provider, {}) if isinstance(provider, str) else (provider[0], dict(provider[1]))
        if name in releases.CACHED_PROVIDERS and options.get("enabled", True):
            used = True
            if options.get("project_id"):
                projects.append(int(options["project_id"]))
            else:
                everywhere = True
    return used, None if everywhere or not used else projects


def rebuild(
    runner: Runner,
    names: Sequence[str],
    before: Survey,
    lock_timeout: int,
    kept: Mapping[str, Kept] | None = None,
    report: Report | None = None,
) -> tuple[dict[str, float], list[str]]:
    """Rebuild ``names``; return the seconds of each, and what could not be brought back.

    ``kept`` is what a backup's sidecar knows of tables by their names.
    """
    seconds: dict[str, float] = {}
    warnings: list[str] = []
    for number, name in enumerate(names, 1):
        started = time.monotonic()
        what = f"rebuilding {name} of {runner.database}, {number} of {len(names)}"
        if name == "edges":
            warnings += _edges(runner, lock_timeout, what, report)
        else:
            with elapsing(what, report, ", ".join(TABLES[name])):
                warnings += _REBUILD[name](runner, before, lock_timeout, kept or {})
        with runner.server.connect(runner.database) as connection, connection.cursor() as cursor:
            for table in TABLES[name]:
                cursor.execute(f"ANALYZE {quoted(table, connection)}")
        seconds[name] = round(time.monotonic() - started, 3)
    return seconds, warnings


def verify(runner: Runner, names: Sequence[str], before: Survey, report: Report | None = None) -> Survey:
    """Compare again, with the same clock; raise when a rebuild has not made its tables right."""
    after = survey(runner, names, before.until, report)
    wrong = [finding for finding in after.findings if finding.materialization != "node_query_cache"]
    if wrong:
        raise CatmaidError(
            f"rebuilding materializations of database {runner.database}",
            "; ".join(f"{finding.table} still differs from its source: {finding.reason}" for finding in wrong),
            "If nobody wrote to the database meanwhile, this release of CATMAID has a fault in its rebuild.",
            rebuilt=list(names),
            changed=True,
        )
    return after


def _edges(runner: Runner, lock_timeout: int, what: str, report: Report | None) -> list[str]:
    try:
        edges.check(runner)
        edges.rebuild(runner, lock_timeout, what, report)
    except UnlikeError as error:
        with elapsing(what, report, "by CATMAID's own command"):
            return _edges_by_command(runner, lock_timeout, str(error))
    return []


def _edges_by_command(runner: Runner, lock_timeout: int, why: str) -> list[str]:
    output = _command(runner, ["catmaid_rebuild_edge_table"], lock_timeout, stdin="y\n")
    if EDGES_REBUILT not in output:
        raise CatmaidError(
            f"rebuilding the edges of database {runner.database}",
            f"the command did not say {EDGES_REBUILT!r}: {output.strip()[-300:] or 'it said nothing'}",
            output=output[-2000:],
        )
    return [EDGES_LOCKED.format(why)]


def _node_statistics(runner: Runner, before: Survey, lock_timeout: int, kept: Mapping[str, Kept]) -> list[str]:
    # In a transaction of ours: the command itself empties the table first, and a kill would leave it empty.
    _command(runner, releases.STATISTICS_COMMANDS, lock_timeout, atomic=True, clean=True)
    file = kept.get("catmaid_stats_summary")
    if file and not before.rows["catmaid_stats_summary"]:  # else it was a table in use, and the file is older
        with runner.server.connect(runner.database) as connection, connection.cursor() as cursor:
            keepsakes.put_back_imports(cursor, file)
    return []


def _skeleton_summary(runner: Runner, before: Survey, lock_timeout: int, kept: Mapping[str, Kept]) -> list[str]:
    """Refresh by CATMAID's own function, and put back what it forgets."""
    doing = f"rebuilding the skeleton summary of database {runner.database}"
    name = application("rebuild")
    settings = session(runner.identity().server_version, lock_timeout)
    lost = 0
    with (
        locks.watching(runner.server, runner.database, name) as watch,
        runner.server.connect(runner.database, settings=settings) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT set_config('application_name', %s, false)", [name])
        try:
            cursor.execute("LOCK TABLE catmaid_skeleton_summary IN ACCESS EXCLUSIVE MODE")
        except Exception as error:
            if getattr(error, "pgcode", "") != LOCK_NOT_AVAILABLE:
                raise
            raise locks.lock_not_available(doing, "the rebuild", lock_timeout, watch) from error
        if before.imported_known:
            cursor.execute(
                "CREATE TEMPORARY TABLE kept_imports ON COMMIT DROP AS SELECT * FROM catmaid_skeleton_summary"
            )
        cursor.execute("TRUNCATE catmaid_skeleton_summary")
        cursor.execute("SELECT refresh_skeleton_summary_table()")
        if before.imported_known:
            cursor.execute(
                "UPDATE catmaid_skeleton_summary s SET num_imported_nodes = k.num_imported_nodes "
                "FROM kept_imports k WHERE k.skeleton_id = s.skeleton_id AND k.num_imported_nodes <> 0"
            )
            # Triggers leave the row of a skeleton that has lost its nodes; a refresh makes none.
            cursor.execute(
                "INSERT INTO catmaid_skeleton_summary SELECT * FROM kept_imports WHERE num_nodes = 0 "
                "ON CONFLICT (skeleton_id) DO NOTHING"
            )
            known = "kept_imports"
            if file := kept.get("catmaid_skeleton_summary"):
                filled = keepsakes.put_back_skeletons(cursor, file, "kept_imports")
                known = f"(SELECT skeleton_id FROM kept_imports UNION SELECT skeleton_id FROM {filled})"
            cursor.execute(
                "SELECT count(*) FROM catmaid_skeleton_summary s "
                f"WHERE NOT EXISTS (SELECT FROM {known} k WHERE k.skeleton_id = s.skeleton_id)"
            )
            lost = cursor.fetchone()[0]
    return [IMPORTS_LOST.format(lost)] if lost else []


def update_node_query_cache(runner: Runner, lock_timeout: int) -> None:
    """Fill the caches that the settings use."""
    _command(runner, ["catmaid_update_cache_tables"], lock_timeout, from_config=True)


def _node_query_cache(runner: Runner, _before: Survey, lock_timeout: int, _kept: Mapping[str, Kept]) -> list[str]:
    update_node_query_cache(runner, lock_timeout)
    return []


_REBUILD: dict[str, Callable[[Runner, Survey, int, Mapping[str, Kept]], list[str]]] = {
    "node_statistics": _node_statistics,
    "skeleton_summary": _skeleton_summary,
    "node_query_cache": _node_query_cache,
}


def _command(runner: Runner, names: Sequence[str], lock_timeout: int, **options: Any) -> str:
    name = application("rebuild")
    with locks.watching(runner.server, runner.database, name) as watch:
        try:
            return runner.command(names, application=name, lock_timeout=lock_timeout, **options)
        except ChildError as error:
            if error.sqlstate != LOCK_NOT_AVAILABLE:
                raise
            raise locks.lock_not_available(error.doing, names[0], lock_timeout, watch) from error


def _require(cursor: Any, database: str, tables: Sequence[str]) -> None:
    """Raise unless the source tables and the derived tables exist."""
    doing = f"looking at the materializations of database {database}"
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    there = {str(name) for (name,) in cursor.fetchall()}
    if not {"treenode", "connector", "treenode_connector"} <= there:
        raise CatmaidError(doing, "it has no tables of CATMAID", "Apply the migrations first.")
    missing = [table for table in tables if table not in there]
    if missing:
        raise CatmaidError(
            doing,
            f"the tables themselves are missing: {', '.join(missing)}",
            "A backup that was made with pg_dump -T lacks them, triggers and all. Restore their schema first.",
            missing=missing,
        )


def _has_imported(cursor: Any) -> bool:
    cursor.execute(
        "SELECT EXISTS (SELECT FROM information_schema.columns WHERE table_schema = 'public' "
        "AND table_name = 'catmaid_skeleton_summary' AND column_name = 'num_imported_nodes')"
    )
    return bool(cursor.fetchone()[0])


def _count(connection: Any, table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {quoted(table, connection)}")
        return int(cursor.fetchone()[0])
