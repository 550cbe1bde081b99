# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's drill job: restore drills of the databases of a configuration, from its folder or from a target."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field

from ..django.project import Project
from ..errors import CatmaidError, words
from ..progress import Report as ReportProgress
from . import drill, fetching, mounts, reports, status, store
from .config import Config
from .encryption import Identity
from .reports import Report, Say

NAME = "drill"
FETCHED = ".drill"  # below the folder of backups; no database's folder begins with a dot


@dataclass(frozen=True)
class Wanted:
    """What somebody asks for besides the configuration: everything is the newest of each database, from here."""

    id: str = ""
    database: str = ""
    target: str = ""
    identity: Identity = field(default_factory=Identity, repr=False)
    keep: bool = False


def run(config: Config, wanted: Wanted, job: str, say: Say, progress: ReportProgress | None = None) -> Report:
    """Do a drill with every database of the configuration, or with what is ``wanted``; return the report."""
    with drill.turn(config.values["lock_wait"]):
        return reports.run(
            config,
            NAME,
            job,
            say,
            lambda: databases(config, wanted),
            lambda name: _one(config, wanted, name, job, say, progress),
        )


def databases(config: Config, wanted: Wanted) -> list[str]:
    """Return the databases that are meant; where the configuration says all, those that have a backup."""
    known = list(dict.fromkeys(str(backup.manifest["database"]) for backup in store.listing(config.dest).backups))
    if wanted.database:
        return [wanted.database]
    if wanted.id and not wanted.target:
        for backup in store.listing(config.dest).backups:
            if wanted.id in (backup.id, backup.path):
                return [str(backup.manifest["database"])]
        raise CatmaidError(
            f"looking for a backup in {config.dest}", f"there is none named {wanted.id}", "Look at catmaid-admin list."
        )
    names = config.databases if config.databases is not None else sorted(known)
    if wanted.id and len(names) > 1:
        raise CatmaidError(f"looking for {wanted.id} on {wanted.target}", "of which database?", "Name it.")
    if not names:
        raise CatmaidError(f"looking for backups in {config.dest}", "there is none", "Run catmaid-admin backup.")
    return names


def project(config: Config, database: str) -> Project | None:
    """Return the release that works with ``database``; none for one that is not the application's."""
    about = config.values["project"]
    if not about["path"] or not about["virtualenv"] or about["database"] not in ("", database):
        return None
    # An upgrade may turn the names to another release meanwhile.
    path, virtualenv = os.path.realpath(about["path"]), os.path.realpath(about["virtualenv"])
    return Project(path, virtualenv, about["user"] or None, about["settings"])


def tidy(config: Config, invocation: str, say: Say) -> Report | None:
    """Remove what drills that were killed have left, and tell of one that could not tell itself."""
    with drill.turn(config.values["lock_wait"]):
        store.remove(os.path.join(config.dest, FETCHED))
        for name in drill.sweep(config.server):
            say(f"dropped {name}, which a drill that was killed has left")
        return reports.finish_lost(config, NAME, invocation, say)


def _one(
    config: Config, wanted: Wanted, database: str, job: str, say: Say, progress: ReportProgress | None
) -> Report:  # fmt: skip
    about: Report = {"ok": False, "message": "", "step": "drill"}
    request = drill.Request(
        server=config.server,
        database=database,
        project=project(config, database),
        keep=wanted.keep,
        requested_by=job,
        on_progress=progress,
    )
    folder = store.folder(config.dest, database)
    try:
        mounts.check(config.dest, f"drilling a backup of database {database}")
        _make(folder)
        found = drill.run(
            request, lambda: _find(config, wanted, database, say), lambda line: say(f"{database}: {line}"), folder
        )
        about.update(asdict(found), ok=True)
        _tell(request, found, say)
    except (CatmaidError, OSError) as error:
        about["message"] = words(f"drilling a backup of database {database}", error)
    finally:
        unremoved = _remove_fetched(config)
    if unremoved and about["ok"]:
        about.update(ok=False, message=unremoved)
    try:
        status.watch(folder, database, config.values["metrics_dir"])
    except (CatmaidError, OSError) as error:
        if about["ok"]:
            about.update(ok=False, message=words(f"watching {folder}", error))
    if not about["ok"]:
        say(f"{database}: FAILED: {about['message']}")
    return about


def _remove_fetched(config: Config) -> str:
    """Remove a copy that was fetched; return what went wrong."""
    try:
        store.remove(os.path.join(config.dest, FETCHED))
    except CatmaidError as error:
        return str(error)
    return ""


def _tell(request: drill.Request, found: drill.Outcome, say: Say) -> None:
    for warning in found.warnings:
        say(f"{request.database}: {warning}")
    if not request.project:
        say(f"{request.database}: no release is known that works with it, so no application was asked")
    if found.kept:
        say(f"{request.database}: {found.kept} stays; to drop it: DROP DATABASE {found.kept}")


def _find(config: Config, wanted: Wanted, database: str, say: Say) -> store.Backup:
    if not wanted.target:
        return drill.choose(config.dest, database, wanted.id)
    doing = f"looking for a copy of database {database}"
    target = next((target for target in config.targets if target.name == wanted.target), None)
    if not target:
        names = ", ".join(target.name for target in config.targets) or "none"
        raise CatmaidError(doing, f"no target is named {wanted.target}", f"Targets of {config.path}: {names}.")
    away = os.path.join(config.dest, FETCHED)
    store.remove(away)  # what a drill that was killed has left
    os.mkdir(away, 0o700)
    say(f"{database}: fetching {wanted.id or 'the newest copy'} from {target.name}")
    _found, backup = fetching.fetch(away, database, target, wanted.identity, wanted.id)
    return backup


def _make(folder: str) -> None:
    """Make the folder of a database's backups, in whose status a drill is noted: there may be copies elsewhere only."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise CatmaidError(f"making {folder}", error.strerror or str(error)) from error
