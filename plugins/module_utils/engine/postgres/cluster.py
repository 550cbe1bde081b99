# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that runs on this host: its files, its processes, and how it is restarted."""

from __future__ import annotations

import os
import pwd
import re
import time
from dataclasses import dataclass

from .. import command
from ..errors import CatmaidError, of_system
from .identity import HERE
from .server import Server, maintenance_database

UP_WITHIN = 120.0  # a server that recovers may take longer, and systemd tells then
PAUSE = 0.2
# The reason for a failed start, in what systemd keeps of pg_ctlcluster's and the server's words.
REASON = re.compile(r"(?:FATAL|PANIC|ERROR|LOG|HINT):\s+(.*)")
UNINTERESTING = ("starting PostgreSQL", "listening on", "database system", "shutting down", "received ", "aborting any")


@dataclass(frozen=True)
class Cluster:
    """A server by its files. ``owner`` is the OS user it runs as, ``unit`` what systemd calls it, if it knows it."""

    version: int
    port: int
    config_file: str
    data_directory: str
    programs: str
    libraries: str
    pid: int
    owner: str
    unit: str

    @property
    def major(self) -> int:
        """The version that counts: 15."""
        return self.version // 10000

    @property
    def postgres(self) -> str:
        """The program that runs it."""
        return os.path.join(self.programs, "postgres")


def find(server: Server) -> Cluster | None:
    """Return the server's files when it runs on this host, None when it does not, or may not be asked from afar."""
    doing = "asking the server for its files"
    with server.connect(maintenance_database(server)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('config_file', true), current_setting('data_directory', true),"
            " extract(epoch FROM pg_postmaster_start_time())::bigint, current_setting('port')"
            " WHERE pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')"
        )
        row = cursor.fetchone()
        if row is None and not (server.address.startswith("/") or server.address in HERE):
            return None
        if row is None:
            raise CatmaidError(
                doing,
                f"{server.user} may not know where they are",
                "Log in as a superuser such as postgres, by its socket.",
            )
        config_file, data_directory, started, port = row
        pid = _postmaster(data_directory, int(started), str(port))
        if not pid:
            return None
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (True,):
            raise CatmaidError(doing, f"{server.user} is no superuser", "Log in as one, such as postgres.")
        cursor.execute("SELECT name, setting FROM pg_config WHERE name IN ('BINDIR', 'PKGLIBDIR')")
        folders = dict(cursor.fetchall())
        version = int(connection.server_version)
    owner = pwd.getpwuid(os.stat(data_directory).st_uid).pw_name
    return Cluster(
        version, int(port), config_file, data_directory, folders["BINDIR"], folders["PKGLIBDIR"], pid, owner, _unit(pid)
    )  # fmt: skip


def _postmaster(data_directory: str, started: int, port: str) -> int:
    """Return the process of the server that was asked, 0 when the folder on this host belongs to no or another one."""
    try:
        with open(os.path.join(data_directory, "postmaster.pid"), encoding="utf-8", errors="replace") as file:
            told = file.read().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise of_system("looking for the server's files", error) from error
    if len(told) < 4 or told[3].strip() != port or abs(int(told[2]) - started) > 2:
        return 0
    pid = int(told[0])
    return pid if os.path.isdir(f"/proc/{pid}") else 0


def _unit(pid: int) -> str:
    """Return the systemd service that a process belongs to, nothing when it is of none."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            paths = [line.strip().split(":", 2)[2] for line in file]
    except OSError:
        return ""
    for path in paths:
        last = path.rsplit("/", 1)[-1]
        # Sessions of people are services, too, of a manager of their own.
        if last.endswith(".service") and "user@" not in path:
            return last
    return ""


def restart(cluster: Cluster, server: Server) -> None:
    """Restart a server, or start one that is down; return when it takes connections. An error tells why it does not."""
    doing = "restarting PostgreSQL"
    if cluster.unit:
        _by_systemd(cluster, doing)
    else:
        argv = [os.path.join(cluster.programs, "pg_ctl"), "restart", "-w", "-s", "-D", cluster.data_directory]
        # Its messages go where the server's own do, for good.
        with open(os.devnull, "wb") as nowhere:
            command.run(argv, doing=doing, user=cluster.owner, stdout_to=nowhere)
    _wait(server, doing)


def _by_systemd(cluster: Cluster, doing: str) -> None:
    since = time.time()
    # After some failures systemd would not even try.
    command.run(["systemctl", "reset-failed", cluster.unit], doing=doing, ok=None)
    done = command.run(["systemctl", "restart", cluster.unit], doing=doing, ok=None)
    if done.rc != 0:
        asked = ["journalctl", "-u", cluster.unit, "--since", f"@{int(since)}", "-o", "cat", "--no-pager"]
        said = command.run(asked, doing="asking for PostgreSQL's journal", ok=None).stdout
        raise CatmaidError(doing, _why(said) or done.stderr, f"More is told by journalctl -u {cluster.unit}.")


def _why(said: str) -> str:
    found = [word for word in REASON.findall(said) if not word.startswith(UNINTERESTING)]
    return "; ".join(dict.fromkeys(found[-4:]))


def _wait(server: Server, doing: str) -> None:
    """Wait until the server takes connections, as it does when it has recovered."""
    deadline = time.monotonic() + UP_WITHIN
    while True:
        try:
            server.version(maintenance_database(server))
            return
        except CatmaidError as error:
            if time.monotonic() > deadline:
                raise CatmaidError(doing, error.cause, error.remedy) from error
        time.sleep(PAUSE)
