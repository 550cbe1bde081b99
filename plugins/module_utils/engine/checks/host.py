# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of an instance on its host: services, files and their modes, database, logs."""

from __future__ import annotations

import glob
import os
import pwd
import re
import stat

from .. import command
from ..catmaid import facts, releases
from ..django import migrations as django_migrations
from ..errors import CatmaidError
from ..upgrades import programs, supervisor, units
from .request import Nothing, Request, wrong

KEY = re.compile(r"^\s*ssl_certificate_key\s+\"?([^\";]+)\"?\s*;", re.M)
SITES = "/etc/nginx/sites-available"
OTHERS = stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH
REFUSED = "DisallowedHost: "
PINGS = 10  # seconds that a worker has to answer
SCHEDULES = ("-s", "--schedule")


def services(request: Request) -> str:
    """All units run, and will after a boot."""
    problems = []
    target = f"{request.instance}.target"
    for name in [*request.services, *([target] if units.parts(request.instance) else [])]:
        state = units.systemctl("is-active", units.unit(name), ok=None)
        enabled = units.systemctl("is-enabled", units.unit(name), ok=None)
        if state != "active":
            problems.append(f"{name} is {state}")
        elif not units.is_active(name):  # of supervisor's programs
            problems.append(f"{name} does not run")
        problems += [f"{name} is {enabled}, and does not start at boot"] if enabled in ("disabled", "masked") else []
    wrong("looking at the services", problems, "Look at journalctl --unit of each.")
    return ", ".join(request.services)


def celery(request: Request) -> str:
    """Each Celery worker answers, and beat has written its schedule."""
    told = []
    for name in request.services:
        program = units.program(name)
        if program.kind == programs.WORKER:
            words = [*program.call, *program.arguments[: program.arguments.index("worker")]]
            _run(name, [*words, "inspect", "ping", f"--timeout={PINGS}"])
            told.append(f"{name} answers")
        elif program.kind == programs.BEAT:
            path = os.path.join(units.context(name).folder, _schedule(program.arguments))
            if not glob.glob(f"{glob.escape(path)}*"):
                raise CatmaidError(f"looking at {name}", f"there is no {path}", f"Look at journalctl --unit {name}.")
            told.append(f"{name} has a schedule")
    if not told:
        raise Nothing("no unit is Celery's")
    return ", ".join(told)


def _schedule(arguments: tuple[str, ...]) -> str:
    for word, following in zip(arguments, [*arguments[1:], ""]):
        if word in SCHEDULES:
            return following
        if word.startswith("--schedule="):
            return word.partition("=")[2]
    return "celerybeat-schedule"


def _run(name: str, argv: list[str]) -> None:
    about = units.context(name)
    command.run(
        argv,
        doing=f"asking the worker of {name}",
        remedy=f"Look at journalctl --unit {units.unit(name)}.",
        user=about.user or None,
        cwd=about.folder or None,
        env=about.environment,
    )


def migrations(request: Request) -> str:
    """The database has all migrations of the code, and no other."""
    planned = django_migrations.plan(request.runner)
    problems = [f"not applied: {name}" for name in planned.unapplied]
    problems += [f"unknown to this release: {name}" for name in planned.unknown]
    wrong(f"comparing the migrations of {request.database}", problems)
    return f"{len(planned.recorded)} are applied"


def database(request: Request) -> str:
    """The server and its extensions are such as the release needs."""
    with request.server.connect(request.database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT extname, extversion FROM pg_extension ORDER BY extname")
        found = dict(cursor.fetchall())
        major = connection.server_version // 10000
    needed = releases.facts(facts.source(request.project.path, request.project.os_user).describe).postgresql_min
    problems = [f"the extension {name} is missing" for name in releases.EXTENSIONS if name not in found]
    problems += [f"PostgreSQL is {major}, and the release needs {needed}"] if major < needed else []
    wrong(f"looking at database {request.database}", problems)
    return ", ".join([f"PostgreSQL {major}", *(f"{name} {found[name]}" for name in releases.EXTENSIONS)])


def permissions(request: Request) -> str:
    """Secrets are for root and the service only, and what the service writes is not for everybody to write."""
    project, problems = request.project, []
    settings = os.path.realpath(os.path.join(project.folder, *project.settings.split(".")) + ".py")
    closed = [settings]
    for folder in filter(os.path.isdir, [request.secrets]):
        closed += [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    problems += [f"others can get at {path}" for path in closed if os.stat(path).st_mode & OTHERS]
    problems += [f"not only its owner can get at {path}" for path in _keys(request) if os.stat(path).st_mode & 0o077]
    media = request.runner.settings(("MEDIA_ROOT",))["settings"]["MEDIA_ROOT"]
    for path in filter(os.path.exists, [media, *glob.glob(f"/run/{glob.escape(request.instance)}/*.sock")]):
        # Who is not let into the folder cannot write to a socket in it.
        if os.stat(path).st_mode & stat.S_IWOTH and os.stat(os.path.dirname(path)).st_mode & stat.S_IXOTH:
            problems.append(f"everybody can write to {path}")
    user = project.os_user
    if user and not (os.path.isdir(media) and os.stat(media).st_uid == pwd.getpwnam(user).pw_uid):
        problems.append(f"{media} is not a folder of {user}")
    wrong("looking at modes of files", problems)
    return f"{len(closed)} files with secrets, {media}"


def _keys(request: Request) -> list[str]:
    """Return the keys of the web site's certificates."""
    try:
        with open(os.path.join(SITES, request.instance), encoding="utf-8") as file:
            return [path for path in dict.fromkeys(KEY.findall(file.read())) if os.path.exists(path)]
    except OSError:
        return []


def logs(request: Request) -> str:
    """No unit has told of an exception since it was started."""
    problems = []
    read = [name for name in request.services if not supervisor.is_named(name)]
    if not read:
        raise Nothing("what supervisor keeps of its programs does not tell since when")
    for name in read:
        run = units.systemctl("show", "--property=InvocationID", "--value", units.unit(name), ok=None)
        argv = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"_SYSTEMD_INVOCATION_ID={run}"]
        lines = command.run(argv, doing=f"reading the log of {name}", ok=None).stdout.splitlines()
        found = [
            number for number, line in enumerate(lines) if units.TRACEBACK in line and not is_refusal(lines[number:])
        ]
        if found:
            problems.append(f"{name}: {' | '.join(line.strip() for line in lines[found[0] : found[0] + 30][-6:])}")
    wrong("reading the logs of the services", problems)
    return "no exception since they were started"


def is_refusal(lines: list[str]) -> bool:
    """Tell whether the exception that these lines begin with is Django's for another host name: all as it should be."""
    last = next((line for line in lines[1:] if line and not line[0].isspace()), "")
    return REFUSED in last
