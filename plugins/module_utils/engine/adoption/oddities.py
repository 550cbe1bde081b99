# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is unusual in an instance, each with the reason why that matters."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator

from ..upgrades import programs, supervisor
from . import settings
from .found import Found

OLDEST_PYTHON = (3, 7)
DAY = 86400.0


def of(found: Found) -> list[str]:
    """Return all of it, what stops something first."""
    return [*_code(found), *_settings(found), *_services(found), *_sites(found), *_dumps(found)]


def _code(found: Found) -> Iterator[str]:
    code = found.code
    if code.edited:
        yield (
            f"{len(code.edited)} files of CATMAID were edited and not committed ({_listed(code.edited)}): an "
            "upgrade would leave these changes behind, and refuses. Commit them, or undo them."
        )
    if code.local:
        yield (
            f"{len(code.local)} commits were made here ({_listed(code.local)}): an upgrade refuses to leave them "
            "behind, unless catmaid_upgrade_local_commits says what to do with them."
        )
    if code.shallow:
        yield "The clone lacks a part of CATMAID's history, so its version may have no name: git fetch --unshallow."
    if not code.remote:
        yield "The clone does not say where it is from: catmaid_repository has to be set before an upgrade."
    if found.owner == "root":
        yield "The checkout belongs to root, and so manage.py is run with root's rights by who looks after it."
    others = [user for user in found.runs_as if user != found.user]
    if others:
        yield f"The code is owned by {found.owner}, and services run as {_listed(others)}: both read settings.py."
    if not found.virtualenv:
        yield "No virtual environment was found: name it by catmaid_adopt_virtualenv."
    version = re.search(r"python(\d+)\.(\d+)$", found.python)
    if version and (int(version[1]), int(version[2])) < OLDEST_PYTHON:
        yield f"It runs on {found.python}, older than 3.7: backups work, but upgrades and drills do not support that."


def _settings(found: Found) -> Iterator[str]:
    told = found.settings
    if told.problem:
        yield f"{told.path} could not be read ({told.problem}), so nothing is known of the database."
    for name, line in sorted(told.unknown.items()):
        where = f" (line {line})" if line else ""
        yield f"{name}{where} is worked out when CATMAID starts, which was not done: look at what was written for it."
    if told.values.get("DEBUG") is True:
        yield "DEBUG is on: visitors see tracebacks, and memory grows with every query."
    if told.password == settings.WRITTEN and found.settings_mode & stat.S_IROTH:
        yield f"{told.path} has a password in it and can be read by everybody on the host: chmod o-r."
    if found.db_host:
        yield (
            f"The database is on {found.db_host}: backups need a role that may read all of it. Set catmaid_db_admin, "
            "and catmaid_db_admin_pgpass to a file on the host of mode 0600."
        )
    media = str(told.values.get("MEDIA_ROOT", ""))
    if media.startswith(f"{found.source}/"):
        yield f"MEDIA_ROOT ({media}) is inside the checkout: a new checkout would not have its files."
    static = str(told.values.get("STATIC_ROOT", ""))
    if static and not static.startswith(f"{found.source}/"):
        yield f"STATIC_ROOT ({static}) is outside the checkout: two releases side by side would share it."


def _services(found: Found) -> Iterator[str]:
    if not any(service.kind == programs.WSGI for service in found.services):
        yield "No service was found that starts the application: an upgrade has to know it by catmaid_upgrade_services."
    for service in found.services:
        if not service.kind:
            yield f"{service.name} names the checkout, and it is not clear what it starts ({service.file})."
        if service.user == "root":
            yield f"{service.name} runs as root: a fault in CATMAID is one with root's rights."
        if supervisor.is_named(service.name) and "uwsgi" in service.command and service.stop_signal == "TERM":
            yield (
                f"{service.name} is stopped by SIGTERM, by which uWSGI starts anew: supervisor kills it after some "
                f"seconds. Set stopsignal=INT in {service.file}."
            )


def _sites(found: Found) -> Iterator[str]:
    site = found.site
    for path in found.elsewhere:
        yield f"{path} names the checkout. Apache is not supported: what concerns the web site has to be done by hand."
    if not site:
        yield "No web site of nginx leads to it, so its name is a guess from ALLOWED_HOSTS."
        return
    if len(found.sites) > 1:
        yield f"{len(found.sites)} web sites lead to it ({_listed([one.file for one in found.sites])})."
    if len(set(found.folders.values())) > 1:
        told = "; ".join(f"by {name} it is in /{folder}" for name, folder in found.folders.items())
        yield f"Its folder of the URL is not clear ({told}): pages may be where their links do not lead to."
    if not found.subdirectory and site.prefix not in ("", "/"):
        yield f"It is at {site.prefix} of its site, where an upgrade does not know how to ask it for pages."
    if not site.shows_page:
        yield (
            "Its site knows no maintenance page: while CATMAID is upgraded visitors see an error of nginx, and some "
            f"get in before all is verified. docs/adopt.md has the lines for {site.file}."
        )


def _dumps(found: Found) -> Iterator[str]:
    for old in found.dumps:
        where = f"The dump by {old.file}"
        if not old.pattern:
            yield f"{where} writes to a place that is not clear from its line: {old.line.strip()}"
        elif not old.count:
            yield f"{where} has left no file ({old.pattern})."
        elif time.time() - old.newest_at > 2 * DAY:
            days = (time.time() - old.newest_at) / DAY
            yield f"{where} has made nothing for {days:.0f} days: {old.newest} is the newest."
        for problem in old.broken:
            yield f"{where} has made a file that is no backup: {problem}"


def _listed(names: list[str], most: int = 5) -> str:
    return "; ".join([*names[:most], *([f"and {len(names) - most} more"] if len(names) > most else [])])
