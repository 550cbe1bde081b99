# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second PostgreSQL server on this test host, as a managed one is: TLS and passwords only, on a port of its own.

It can be stopped and spoiled without hurting what the other tests use.
"""

from __future__ import annotations

import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support

NAME = "second"
APPLICATION = 'app "user" %s'
# What shells, connection strings, password files, URLs and templates each take for something else.
PASSWORD = r""" p%40ss:'w"o\rd\\ ${x} {{ y }} = ü """
DATABASE = 'Sécond "data\'base" %41'
RULES = """\
local all postgres peer
local all all scram-sha-256
hostssl all all all scram-sha-256
"""


@dataclass(frozen=True)
class Cluster:
    """The second server. ``folder`` is that of its certificates, ``sockets`` that of its socket."""

    version: str
    port: int
    name: str
    address: str
    folder: Path
    sockets: str

    @property
    def login(self) -> dict[str, Any]:
        """The application's login by its network name, as options of a module."""
        return {
            "login_host": self.name, "login_port": self.port, "login_user": APPLICATION, "login_password": PASSWORD,
        }  # fmt: skip

    @property
    def peer(self) -> dict[str, Any]:
        """The superuser's login by the socket."""
        return {"login_unix_socket": self.sockets, "login_port": self.port}

    @property
    def ca(self) -> str:
        """The certificate that signed the server's."""
        return str(self.folder / "ca.crt")

    def sql(self, database: str, text: str) -> list[list[str]]:
        """Run SQL as the superuser; return the rows as text."""
        return support.sql(database, text, port=self.port, host=self.sockets)

    def control(self, *arguments: str) -> None:
        """Start or stop it."""
        subprocess.run(["pg_ctlcluster", *arguments[1:], self.version, NAME, arguments[0]], check=True)

    def database(self, template: str = "template1") -> str:
        """Make a database that belongs to the application, and return its name."""
        name = f"{DATABASE} {uuid.uuid4().hex[:6]}"
        self.sql(
            "postgres",
            f"CREATE DATABASE {support.quoted(name)} TEMPLATE {support.quoted(template)}"
            f" OWNER {support.quoted(APPLICATION)}",
        )
        return name

    def passline(self, password: str = PASSWORD, host: str = "", database: str = "*") -> str:
        """Return a line of a password file."""
        parts = [host or self.name, str(self.port), database, APPLICATION, password]
        return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in parts) + "\n"


def certify(folder: Path, name: str, *extensions: str, ca: str = "") -> None:
    """Make a key and a certificate for ``name``, which signs itself where no ``ca`` does."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{folder}/{name}.key"]
    new = ["openssl", "req", "-new", "-subj", f"/CN={name}", *key]
    made = ["-days", "2", "-out", f"{folder}/{name}.crt"]
    if not ca:
        subprocess.run([*new, "-x509", *made], check=True, capture_output=True)
        return
    # In two steps: before OpenSSL 3 a request and its signature were not one.
    asked = folder / f"{name}.csr"
    subprocess.run([*new, "-out", asked], check=True, capture_output=True)
    (folder / f"{name}.ext").write_text("\n".join(extensions), encoding="utf-8")
    signed_by = ["-CA", f"{folder}/{ca}.crt", "-CAkey", f"{folder}/{ca}.key", "-CAcreateserial"]
    sign = ["openssl", "x509", "-req", "-in", asked, "-extfile", f"{folder}/{name}.ext", *signed_by, *made]
    subprocess.run(sign, check=True, capture_output=True)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The second server, running; a test that stops it starts it again."""
    folder = tmp_path_factory.mktemp("second")
    listed = subprocess.run(["pg_lsclusters", "--no-header"], capture_output=True, text=True, check=True).stdout
    version = listed.split()[0]
    if f" {NAME} " in listed:  # of a run that was killed
        subprocess.run(["pg_dropcluster", "--stop", version, NAME], check=True)
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    name = socket.gethostname()
    for ca in ("ca", "other"):
        certify(folder, ca)
    certify(folder, "server", f"subjectAltName=DNS:{name}", "basicConstraints=CA:FALSE", ca="ca")
    sockets = f"/run/second-{port}"
    subprocess.run(["install", "-d", "-o", "postgres", "-g", "postgres", sockets], check=True)
    made = Cluster(version, port, name, socket.gethostbyname(name), folder, sockets)
    subprocess.run(
        ["pg_createcluster", "--locale=C.UTF-8", f"--port={port}", version, NAME], check=True, capture_output=True
    )
    data, settings = Path(f"/var/lib/postgresql/{version}/{NAME}"), Path(f"/etc/postgresql/{version}/{NAME}")
    for kind, mode in (("crt", "0644"), ("key", "0600")):
        subprocess.run(
            ["install", "-o", "postgres", "-m", mode, f"{folder}/server.{kind}", f"{data}/it.{kind}"], check=True
        )
    (settings / "pg_hba.conf").write_text(RULES, encoding="utf-8")
    with open(settings / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(
            f"listen_addresses = '*'\nssl = on\nssl_cert_file = '{data}/it.crt'\nssl_key_file = '{data}/it.key'\n"
            f"unix_socket_directories = '{sockets}'\nfsync = off\n"
            "password_encryption = 'scram-sha-256'\n"
        )
    made.control("start")
    try:
        literal = PASSWORD.replace("'", "''")
        made.sql("postgres", f"CREATE ROLE {support.quoted(APPLICATION)} LOGIN PASSWORD '{literal}'")
        yield made
    finally:
        subprocess.run(["pg_dropcluster", "--stop", version, NAME], check=True)


@pytest.fixture
def managed(cluster: Cluster) -> Iterator[str]:
    """A database on it that the application owns, with a table of 100 rows."""
    name = cluster.database()
    cluster.sql(
        name,
        f"SET ROLE {support.quoted(APPLICATION)}; CREATE TABLE treenode (id int);"
        " INSERT INTO treenode SELECT generate_series(1, 100)",
    )
    yield name
    cluster.sql("postgres", f"DROP DATABASE {support.quoted(name)} WITH (FORCE)")


@pytest.fixture
def pgpass(tmp_path: Path) -> Callable[..., str]:
    """A function that writes a password file."""

    def write(text: str, mode: int = 0o600) -> str:
        path = tmp_path / "pass file"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return str(path)

    return write
