# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup job: for each database make a backup, copy it, prune; note how it went and tell who wants to know."""

from __future__ import annotations

from dataclasses import replace

from ..errors import CatmaidError, words
from ..postgres import databases as server_databases
from ..postgres import scratch
from ..progress import Report as ReportProgress
from . import archive, copies, extras, prune, reports, status, store
from .config import Config
from .reports import Report, Say

NAME = "backup"


def run(config: Config, job: str, say: Say, progress: ReportProgress | None = None) -> Report:
    """Back up every database of the configuration and return the report; a failure of one keeps none from its turn."""
    return reports.run(
        config, NAME, job, say, lambda: databases(config), lambda name: _one(config, name, job, say, progress)
    )  # fmt: skip


def databases(config: Config) -> list[str]:
    """Return the databases to back up, asking the server where the configuration says all."""
    if config.databases is not None:
        return config.databases
    return [found.name for found in server_databases.listing(config.server) if not scratch.is_scratch(found.name)]


def request(config: Config, database: str, job: str) -> archive.Request:
    """Return what the configuration asks for, in the words of the one call that makes a backup."""
    project = config.values["project"]
    wanted = dict(config.values["dump"])
    beside = extras.Wanted(wanted.pop("media_path"), wanted.pop("files"), config.encryption)
    if project["database"] not in ("", database):
        # They belong to the application, and so to its own database: no other one has such tables.
        beside = extras.Wanted()
        wanted.update(exclude_tables=[], exclude_table_data=[])
    return archive.Request(
        server=config.server,
        database=database,
        dest=config.dest,
        project_path=project["path"] or None,
        project_user=project["user"] or None,
        lock_wait=config.values["lock_wait"],
        requested_by=job,
        beside=beside,
        room=pruning(config, database, job) if config.policy else None,
        **wanted,
    )


def pruning(config: Config, database: str, job: str) -> prune.Request:
    """Return which backups the configuration lets go; raise when it says nothing about that."""
    if config.policy is None:
        raise CatmaidError(
            f"pruning the backups of {database}", f"{config.path} has no rules for it", "Write them into retention."
        )
    return prune.Request(
        dest=config.dest,
        database=database,
        policy=config.policy,
        max_bytes=config.caps["max_bytes"],
        min_free_bytes=config.caps["min_free_bytes"],
        lock_wait=config.values["lock_wait"],
        requested_by=job,
    )


def copy(
    config: Config,
    database: str,
    job: str,
    say: Say | None,
    *,
    check: bool = False,
    progress: ReportProgress | None = None,
) -> list[copies.Outcome]:
    """Bring the targets up to date for ``job``, whoever that is; return how it went with each."""
    return copies.copy_all(
        config.dest,
        database,
        config.targets,
        config.encryption,
        check=check,
        wait=config.values["lock_wait"],
        say=say,
        progress=progress,
        requested_by=job,
    )


def _one(config: Config, database: str, job: str, say: Say, progress: ReportProgress | None) -> Report:
    """Do all steps for one database; the first that fails is the last."""
    folder = store.folder(config.dest, database)
    about: Report = {"ok": False, "message": "", "step": "backup"}
    try:
        _steps(config, database, job, say, progress, about)
        about.update(ok=True, step="watch")
    except (CatmaidError, OSError) as error:
        about["message"] = words(f"backing up database {database}", error)
    try:
        status.watch(folder, database, config.values["metrics_dir"])
    except (CatmaidError, OSError) as error:
        if about["ok"]:
            about.update(ok=False, message=words(f"watching {folder}", error))
    if not about["ok"]:
        say(f"{database}: FAILED: {about['message']}")
    return about


def _steps(config: Config, database: str, job: str, say: Say, progress: ReportProgress | None, about: Report) -> None:
    say(f"{database}: making a backup in {store.folder(config.dest, database)}")
    prepared, backup = archive.create(replace(request(config, database, job), on_progress=progress))
    if prepared.room:
        say(f"{database}: to make room, {len(prepared.room.decision.gone)} backups were removed first")
    if prepared.strange:
        say(f"{database}: {prepared.strange}")
    rows = sum(table["rows"] for table in backup.manifest["tables"])
    about.update(id=backup.id, path=backup.path, bytes=backup.manifest["bytes"], rows=rows, new=not prepared.young)
    if prepared.young:
        say(f"{database}: {backup.id} is young enough, no other is made")
    else:
        seconds = backup.manifest["seconds"]["all"]
        say(f"{database}: backup {backup.id} is verified: {about['bytes']} bytes, {rows} rows, {seconds:.1f} s")
    about["step"] = "copy"
    outcomes = copy(config, database, job, lambda line: say(f"{database}: {line}"), progress=progress)
    about["targets"] = {outcome.target: outcome.ok for outcome in outcomes}
    if copies.failure(outcomes):
        raise CatmaidError(f"copying the backups of {database}", copies.failure(outcomes))
    about["step"] = "prune"
    if config.policy:
        decision = prune.run(pruning(config, database, job)).decision
        about.update(gone=decision.gone, kept=list(decision.kept))
        for warning in filter(None, [decision.refused, *decision.warnings]):
            say(f"{database}: {warning}")
        say(f"{database}: {len(decision.kept)} backups stay, {len(decision.gone)} are removed")
