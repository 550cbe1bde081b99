# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running PostgreSQL's own programs against a server: login, OS user, and access to files that only root may read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from .. import command
from ..errors import CatmaidError
from .server import Server, program

# The numbers of the capabilities in /proc/self/status; either lets a process read files that are not its own.
CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}


def run(
    server: Server,
    name: str,
    arguments: Sequence[str],
    database: str,
    *,
    version: int,
    doing: str,
    files: bool = False,
    settings: Mapping[str, str] | None = None,
    stdout_to: IO[bytes] | None = None,
    stdin_from: IO[bytes] | None = None,
    ok: Sequence[int] | None = (0,),
    remedy: str = "",
    on_stderr: Callable[[str], None] | None = None,
    on_start: Callable[[subprocess.Popen[Any]], None] | None = None,
) -> command.Result:
    """Run ``name`` in a version that fits ``version``, logged in to ``database``.

    ``files``: it works on files below folders that only root may enter, whatever OS user it has to be.
    """
    argv = [program(name, version), *arguments]
    user = server.os_user
    env = server.environment(database, settings)
    if files and user:
        argv = [*_reading_everything(user), *argv]
        env = command.environment(user, env)
        user = None
    return command.run(
        argv,
        doing=doing,
        user=user,
        env=env,
        secrets=server.secrets,
        stdout_to=stdout_to,
        stdin_from=stdin_from,
        ok=ok,
        remedy=remedy,
        on_stderr=on_stderr,
        on_start=on_start,
    )


def local(
    name: str,
    arguments: Sequence[str],
    *,
    version: int,
    doing: str,
    remedy: str = "",
    stdin_from: IO[bytes] | None = None,
    stdout_to: IO[bytes] | None = None,
    on_start: Callable[[subprocess.Popen[Any]], None] | None = None,
) -> command.Result:
    """Run a program that only reads files, as ourselves and without a server."""
    argv = [program(name, version), *arguments]
    return command.run(argv, doing=doing, remedy=remedy, stdin_from=stdin_from, stdout_to=stdout_to, on_start=on_start)


def version_of(path: str) -> str:
    """Return the version that a program of PostgreSQL tells, "15.18"."""
    told = command.run([path, "--version"], doing=f"asking {path} for its version").stdout
    match = re.search(r"\) ([0-9][0-9A-Za-z.]*)", told)
    return match.group(1) if match else told.strip()


def conninfo(database: str) -> str:
    """Return a database name in the form that no program takes for a connection string or an option."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def _reading_everything(user: str) -> list[str]:
    """Return the start of a command line that becomes ``user`` and keeps root's right to read files.

    PostgreSQL's programs look for compressed files by access(2), which counts the capabilities of a user other than
    root only under no_setuid_fixup: without it pg_restore 16 and later take a zstd file for a plain one.
    Peer authentication wants to see ``user``; backups belong to root, in folders that nobody else may enter. The child
    ends with us by setpriv's own option, because the kernel forgets such a wish when a process changes its user.
    """
    have = _capabilities()
    name = next((name for name, number in CAPABILITIES.items() if have >> number & 1), None)
    if name is None:
        raise CatmaidError(
            f"becoming OS user {user}",
            "this root may not read the files of others (no CAP_DAC_READ_SEARCH, no CAP_DAC_OVERRIDE)",
            "Grant one of the two to this container or unit.",
        )
    return [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--init-groups",
        "--securebits=+no_setuid_fixup",
        f"--inh-caps=+{name}",
        f"--ambient-caps=+{name}",
        "--pdeathsig=TERM",
        "--",
    ]


def _capabilities() -> int:
    with open(f"/proc/{os.getpid()}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("CapPrm:"):
                return int(line.split()[1], 16)
    return 0
