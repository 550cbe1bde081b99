# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the job from stop to record is asked for: a file that root alone can read, so that a reboot loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import files
from ..django.project import Project
from ..errors import CatmaidError, of_system
from ..postgres.server import Server

NAME = "upgrade-request.json"
LAST = "upgrade-last-request.json"
STAMP = "%Y%m%dt%H%M%S"
RECORD = "release.json"
UPGRADE, ONLINE, ROLLBACK = "upgrade", "online upgrade", "rollback"
COPY, DUMP, NONE = "copy", "dump", "none"


@dataclass(frozen=True)
class Release:
    """A release on the host: its folder, what C(git describe) calls it, its commit."""

    path: str
    describe: str
    commit: str = ""


@dataclass(frozen=True)
class Request:
    """Take the instance from release ``old`` to ``new``. ``copy`` and ``failed`` are names for databases.

    ``services`` are systemd units in the order in which they start. ``direct`` are addresses at which the application
    itself listens: unix:/path or host:port. ``web`` is the web server, which has it below ``url_prefix``. ``hook`` is a
    program that is run at the beginning of each phase. People are told to come back after ``expected`` seconds.
    ``stats_socket`` is uWSGI's of that name. Of kind ONLINE the database is migrated while ``old`` serves, and no table
    is locked for more than ``lock_seconds``.
    """

    id: str
    kind: str
    instance: str
    state_dir: str
    services: list[str]
    current: str
    old: Release
    new: Release
    database: str
    login: dict[str, Any] = field(repr=False)
    project_user: str = ""
    settings: str = "mysite.settings"
    protect: str = COPY
    backup_dir: str = ""
    backup_hours: float = 24.0
    copy: str = ""
    failed: str = ""
    lock_timeout: int = 30
    lock_seconds: float = 2.0
    max_downtime: int = 0
    keep_copy: int = 3
    maintenance: str = ""
    expected: float = 0.0
    site: str = "localhost"
    web: str = "127.0.0.1:80"
    url_prefix: str = ""
    direct: list[str] = field(default_factory=list)
    stats_socket: str = ""
    hook: str = ""
    by: str = ""
    backup: str = ""
    lock_token: str = ""
    lock_wait: float = 0.0

    @property
    def server(self) -> Server:
        """The database server."""
        return Server(**self.login)

    def project(self, release: Release) -> Project:
        """Return the Django project of one of the releases."""
        source, env = os.path.join(release.path, "source"), os.path.join(release.path, "env")
        return Project(source, env, self.project_user or None, self.settings)

    @property
    def doing(self) -> str:
        """What is done, for messages."""
        word = "rolling back to" if self.kind == ROLLBACK else "upgrading to"
        return f"{word} {self.new.describe}"


def release(path: str) -> Release:
    """Return the release in a folder that the module checkout has made."""
    try:
        with open(os.path.join(path, RECORD), encoding="utf-8") as file:
            about = json.load(file)
        return Release(os.path.realpath(path), str(about["describe"]), str(about["commit"]))
    except OSError as error:
        raise of_system(
            f"looking at the release {path}", error, "Make it by the module catmaid.admin.checkout."
        ) from error
    except (ValueError, KeyError) as error:
        raise CatmaidError(f"looking at the release {path}", f"its {RECORD} is damaged ({error})") from error


def parse(values: Mapping[str, Any]) -> Request:
    """Return a request from plain values."""
    told = dict(values)
    return Request(**{**told, "old": Release(**told["old"]), "new": Release(**told["new"])})


def path(state_dir: str) -> str:
    """Return where the request stands."""
    return os.path.join(state_dir, NAME)


def write(request: Request) -> None:
    """Write the request; there may be a password in it."""
    try:
        files.write_json(path(request.state_dir), asdict(request), mode=0o600)
    except OSError as error:
        raise of_system(request.doing, error) from error


def load(state_dir: str) -> Request:
    """Return the request of the job that is at work or was interrupted."""
    return _read(path(state_dir))


def load_last(state_dir: str) -> Request:
    """Return the request of the last upgrade that went well: a rollback on the host knows by it how to log in."""
    return _read(os.path.join(state_dir, LAST))


def done(request: Request, *, keep: bool) -> None:
    """Take the request away, or keep it as the last one."""
    if keep:
        os.replace(path(request.state_dir), os.path.join(request.state_dir, LAST))
    elif os.path.exists(path(request.state_dir)):
        os.unlink(path(request.state_dir))


def _read(name: str) -> Request:
    doing = f"reading {name}"
    try:
        with open(name, encoding="utf-8") as file:
            return parse(json.load(file))
    except OSError as error:
        raise of_system(doing, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CatmaidError(doing, f"it is damaged ({error})") from error


def without_secrets(request: Request) -> dict[str, Any]:
    """Return the request as others may see it."""
    told = asdict(request)
    told["login"] = {**told["login"], "password": ""}
    return {**told, "lock_token": ""}
