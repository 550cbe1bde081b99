# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server: how to reach it, from Python and from PostgreSQL's own programs."""

from __future__ import annotations

import glob
import os
import pwd
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .. import command
from ..errors import CatmaidError
from . import passfile

try:
    import psycopg2
    from psycopg2 import sql

    PSYCOPG2_ERROR: str | None = None
except ImportError as error:
    PSYCOPG2_ERROR = str(error)

ABOUT_TLS = ("certificate", "SSL error", "does not support SSL")
ABOUT_NOBODY = ("No such file or directory", "Connection refused")
# How the faces ask for a login: options of modules, and variables of roles.
ASKED = {
    "host": "login_host (catmaid_db_host)",
    "port": "login_port (catmaid_db_port)",
    "unix_socket": "login_unix_socket (catmaid_db_unix_socket)",
    "user": "login_user (catmaid_db_admin)",
    "password": "login_password (catmaid_db_admin_password)",
    "pgpass": "login_pgpass (catmaid_db_admin_pgpass)",
}
SOCKET_FOLDERS = ("/var/run/postgresql", "/tmp")


@dataclass(frozen=True)
class Server:
    """Where PostgreSQL listens and as whom to log in. An empty host means a local Unix socket."""

    host: str = ""
    port: int = 5432
    user: str = "postgres"
    password: str = field(default="", repr=False)
    unix_socket: str = ""
    ssl_mode: str = "prefer"
    ca_cert: str = ""
    pgpass: str = ""

    @property
    def address(self) -> str:
        """The host, or the folder of the Unix socket."""
        if self.host:
            return self.host
        if self.unix_socket:
            return self.unix_socket
        # Not left to libpq: the one in psycopg2-binary looks in /tmp, Debian's in /var/run/postgresql.
        return next((folder for folder in SOCKET_FOLDERS if glob.glob(f"{folder}/.s.PGSQL.*")), SOCKET_FOLDERS[0])

    @property
    def os_user(self) -> str | None:
        """The OS user that peer authentication wants to see: on a local socket, without a password, as root."""
        if self.password or self.pgpass or not self.address.startswith("/") or os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam(self.user).pw_name
        except KeyError:
            return None

    @property
    def passfile(self) -> str:
        """The file that libpq takes the password from when none was given: the named one, else that of the OS user."""
        return self.pgpass or passfile.default(self.os_user)

    @property
    def secrets(self) -> list[str]:
        """What must never be shown."""
        return [self.password] if self.password else []

    def environment(self, database: str, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the variables with which PostgreSQL's programs, and libpq in any child, log in to ``database``."""
        env = {
            "PGHOST": self.address,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": database,
            "PGSSLMODE": self.ssl_mode,
            "PGAPPNAME": "catmaid.admin",
            "PGCONNECT_TIMEOUT": "10",
        }
        if self.password:
            env["PGPASSWORD"] = self.password
        else:
            env["PGPASSFILE"] = self.passfile
        if self.ca_cert:
            env["PGSSLROOTCERT"] = self.ca_cert
        if settings:
            env["PGOPTIONS"] = pgoptions(settings)
        return env

    @contextmanager
    def connect(
        self, database: str, *, autocommit: bool = False, settings: Mapping[str, str] | None = None
    ) -> Iterator[Any]:
        """Yield a psycopg2 connection to ``database``: committed at the end, rolled back on an exception."""
        doing = f"connecting to database {database} on {self.address} port {self.port} as {self.user}"
        if PSYCOPG2_ERROR:
            raise CatmaidError(
                doing, PSYCOPG2_ERROR, "Install psycopg2 for this Python (Debian and Ubuntu: python3-psycopg2)."
            )
        if self.pgpass and not self.password:
            passfile.check(self.pgpass)
        try:
            with command.acting_as(self.os_user):
                connection = psycopg2.connect(
                    dbname=database,
                    host=self.address,
                    port=self.port,
                    user=self.user,
                    password=self.password or None,
                    passfile=None if self.password else self.passfile,
                    sslmode=self.ssl_mode,
                    sslrootcert=self.ca_cert or None,
                    connect_timeout=10,
                    application_name="catmaid.admin",
                    client_encoding="UTF8",  # names must survive in a database whose own encoding is SQL_ASCII
                    options=pgoptions(settings or {}),
                )
        except psycopg2.Error as error:
            cause = command.scrub(str(error), self.secrets).strip()
            raise CatmaidError(doing, *self._why(cause, database)) from error
        connection.autocommit = autocommit
        try:
            yield connection
            if not autocommit:
                connection.commit()
        except psycopg2.Error as error:
            # One exception leaves the engine; who knows better what was being done catches it before.
            cause = command.scrub(str(error), self.secrets)
            raise CatmaidError(f"working on database {database}", cause, sqlstate=error.pgcode) from error
        finally:
            connection.close()

    def _why(self, cause: str, database: str) -> tuple[str, str]:
        """Return what to tell of a login that failed, and what to do about it."""
        if "no password supplied" in cause:
            line = f"{self.address}:{self.port}:{database}:{self.user}"
            because, remedy = passfile.explain(self.passfile, line)
            return "; ".join(filter(None, [cause, because])), remedy
        if any(word in cause for word in ABOUT_TLS):
            return cause, "Check ca_cert and ssl_mode: the certificate must be signed by one in ca_cert, for this host."
        if "Peer authentication failed" in cause or "peer authentication failed" in cause:
            return cause, f"Run as the OS user {self.user} or as root, or give a password."
        if "password authentication failed" in cause:
            return cause, f"Give the password of {self.user}: {_asked('password', 'pgpass')}."
        if f'database "{database}" does not exist' in cause:
            return cause, "Is it provisioned? Else check its name: login_db of modules, catmaid_db_name of roles."
        if any(word in cause for word in ABOUT_NOBODY):
            where = _asked("host", "port", "unix_socket")
            return cause, f"Is PostgreSQL installed there, and running? If it is elsewhere, say where: {where}."
        return cause, f"Check {_asked('host', 'port', 'user')} and pg_hba.conf."

    def version(self, database: str = "postgres") -> int:
        """Return the server's version as a number, 150018 for 15.18."""
        with self.connect(database) as connection:
            return int(connection.server_version)


def _asked(*names: str) -> str:
    return ", ".join(ASKED[name] for name in names)


def maintenance_database(server: Server) -> str:
    """Return a database to be in while another one is created, renamed or dropped."""
    try:
        server.version("postgres")
    except CatmaidError as error:
        if 'database "postgres" does not exist' not in error.cause:
            raise
        return "template1"
    return "postgres"


def pgoptions(settings: Mapping[str, str]) -> str:
    """Return session settings in the form of libpq's ``options``: blanks and backslashes in values escaped."""
    return " ".join(f"-c {name}=" + re.sub(r"([\\ ])", r"\\\1", str(value)) for name, value in settings.items())


def quoted(name: str, connection: Any) -> str:
    """Return an SQL identifier in quotes."""
    return str(sql.Identifier(name).as_string(connection))


def program(name: str, server_version: int) -> str:
    """Return the path of ``pg_dump`` and its like in the oldest version that can talk to the server.

    A program older than the server refuses it, so the server's own major version is the best fit.
    """
    major = server_version // 10000
    found: dict[int, str] = {}
    for path in glob.glob(f"/usr/lib/postgresql/*/bin/{name}"):
        found[int(path.split("/")[4])] = path
    on_path = shutil.which(name, path=command.PATH)
    if on_path and not os.path.realpath(on_path).startswith("/usr/share/postgresql-common"):
        match = re.search(r"(\d+)", command.run([on_path, "--version"], doing=f"asking {name} for its version").stdout)
        if match:
            found.setdefault(int(match.group(1)), on_path)
    fitting = sorted(number for number in found if number >= major)
    if not fitting:
        have = ", ".join(str(number) for number in sorted(found)) or "none"
        raise CatmaidError(
            f"looking for {name}",
            f"the server is PostgreSQL {major}, the programs on this host are of version {have}",
            f"Install the package postgresql-client-{major}.",
        )
    return found[fitting[0]]
