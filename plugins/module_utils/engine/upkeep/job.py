# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host does by itself for its application: each is a job, with a state of its own and the databases' lock."""

from __future__ import annotations

from collections.abc import Callable

from .. import locks
from ..backups import drilling, reports
from ..backups import job as backup
from ..backups.config import Config
from ..backups.reports import Report, Say
from ..catmaid import rebuild
from ..django.project import Project
from ..django.shim import Runner
from ..errors import CatmaidError, words
from ..postgres import identity, upkeep
from ..progress import Report as ReportProgress
from ..progress import elapsing
from . import beat

PATIENCE = 3600.0  # seconds to wait for another job on the database: nobody waits for us
LOCK_TIMEOUT = 60  # seconds to wait for a lock within the database: people wait behind us
TABLES_AT_ONCE = 2
DOING = {
    "statistics": "refreshing the node statistics",
    "vacuum": "removing dead rows and gathering statistics",
    "caches": "updating the caches",
}


def run(config: Config, what: str, job: str, say: Say, progress: ReportProgress | None = None) -> Report:
    """Do ``what`` for the application's database, or for all of the configuration where it names none."""
    return reports.run(
        config, what, job, say, lambda: databases(config), lambda name: _one(config, what, name, say, progress)
    )  # fmt: skip


def databases(config: Config) -> list[str]:
    """Return the databases that are meant."""
    name = config.values["project"]["database"]
    return [name] if name else backup.databases(config)


def _one(config: Config, what: str, database: str, say: Say, progress: ReportProgress | None) -> Report:
    about: Report = {"ok": False, "message": "", "step": what, "done": ""}
    doing = f"{DOING[what]} of database {database}"
    try:
        key = identity.database_key(config.server, database)
        with locks.hold(key, doing, max(config.values["lock_wait"], PATIENCE)), elapsing(doing, progress):
            about["done"] = _DO[what](config, database)
        about["ok"] = True
        say(f"{database}: {about['done']}")
    except (CatmaidError, OSError) as error:
        about["message"] = words(doing, error)
        say(f"{database}: FAILED: {about['message']}")
    return about


def _statistics(config: Config, database: str) -> str:
    runner = _runner(config, database)
    if beat.runs(runner.project):
        return "Celery beat runs, which refreshes the node statistics; nothing was done"
    before = rebuild.survey(runner, ["node_statistics"])
    if not before.stale:
        return "the node statistics are right"
    rebuild.rebuild(runner, before.stale, before, LOCK_TIMEOUT)
    return "the node statistics are up to date"


def _vacuum(config: Config, database: str) -> str:
    before = upkeep.numbers(config.server, database)
    upkeep.vacuum_analyze(config.server, database, TABLES_AT_ONCE)
    after = upkeep.numbers(config.server, database)
    return f"vacuumed and analyzed, dead rows before {before.dead_rows}, now {after.dead_rows}"


def _caches(config: Config, database: str) -> str:
    runner = _runner(config, database)
    providers = runner.settings(("NODE_PROVIDERS",))["settings"]["NODE_PROVIDERS"] or []
    if not rebuild.cached_providers(providers)[0]:
        return "the settings use no cache; nothing was done"
    rebuild.update_node_query_cache(runner, LOCK_TIMEOUT)
    return "the caches are up to date"


def _runner(config: Config, database: str) -> Runner:
    """Return what runs the release that serves now: while we waited, an upgrade may have made it another one."""
    project: Project | None = drilling.project(config, database)
    if project is None:
        raise CatmaidError(
            f"looking for the application of database {database}",
            f"{config.path} names no release with its virtual environment",
            "Set project.path and project.virtualenv: the role catmaid.admin.schedule does, once there is one.",
        )
    return Runner(project, config.server, database)


_DO: dict[str, Callable[[Config, str], str]] = {"statistics": _statistics, "vacuum": _vacuum, "caches": _caches}
