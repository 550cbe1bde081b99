# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups by every way to log in: a password, a password file, peer, TLS, another port, another socket."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.cluster_fixtures import APPLICATION, PASSWORD, Cluster
from tests.integration.support import run_module
from tests.integration.test_pg_dump import backups, manifest_rows

pytestmark = pytest.mark.once("bookworm")

Write = Callable[..., str]


def dump(cluster: Cluster, database: str, dest: str, **options: Any) -> support.Run:
    return run_module("pg_dump", **{"login_db": database, "dest": dest, **cluster.login, **options})


def shows_no_password(run: support.Run) -> bool:
    return not any(form in run.output for form in (PASSWORD, PASSWORD.strip(), json.dumps(PASSWORD)[1:-1]))


@pytest.fixture
def of_root() -> Iterator[Write]:
    """A function that writes root's own password file, which is put back as it was."""
    path = Path("/root/.pgpass")
    before = path.read_bytes() if path.exists() else None

    def write(text: str, mode: int = 0o600) -> str:
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return str(path)

    yield write
    path.unlink(missing_ok=True)
    if before is not None:
        write(before.decode())


def test_by_a_password_that_needs_quotes_everywhere(cluster: Cluster, managed: str, dest: str) -> None:
    made = dump(cluster, managed, dest, ssl_mode="require")
    assert manifest_rows(made.result) == {("public", "treenode"): 100}
    assert made.result["manifest"]["database"] == managed
    assert support.quoted(APPLICATION) in Path(made.result["path"], "globals.sql").read_text(encoding="utf-8")
    refused = dump(cluster, managed, dest, login_password="wrong")
    assert "password authentication failed" in refused.error
    assert shows_no_password(made)
    assert shows_no_password(refused)
    assert backups(dest, managed) == [made.result["id"]]


@pytest.mark.parametrize("whose", ["named", "root's own"])
def test_by_a_password_file(
    cluster: Cluster, managed: str, dest: str, pgpass: Write, of_root: Write, whose: str
) -> None:
    write = pgpass if whose == "named" else of_root

    def logged_in(text: str, mode: int = 0o600) -> support.Run:
        path = write(text, mode)
        options = {"login_pgpass": path} if whose == "named" else {}
        return dump(cluster, managed, dest, login_password=None, **options)

    others = "# a comment\nother.example.org:*:*:*:no\n"
    made = logged_in(others + cluster.passline())
    assert manifest_rows(made.result) == {("public", "treenode"): 100}
    assert made.result["manifest"]["globals"] == "globals.sql"
    path = write("")
    open_to_all = logged_in(cluster.passline(), 0o644)
    assert f"{path}" in open_to_all.error
    assert "its mode is 0644" in open_to_all.error
    assert f"chmod 0600 {path}" in open_to_all.error
    unfit = logged_in(others)
    assert f"the password file {path} has no line for it" in unfit.error
    assert f"{cluster.name}:{cluster.port}:{managed}:{APPLICATION}" in unfit.error
    wrong = logged_in(cluster.passline("a wrong one"))
    assert "password authentication failed" in wrong.error
    assert "a wrong one" not in wrong.output
    os.unlink(path)
    named = {"login_pgpass": path} if whose == "named" else {}
    gone = dump(cluster, managed, dest, login_password=None, **named)
    assert ("No such file" if whose == "named" else f"into {path}") in gone.error
    assert all(shows_no_password(run) for run in (made, open_to_all, unfit, gone))
    assert backups(dest, managed) == [made.result["id"]]


def test_a_password_file_nobody_needs_may_be_wrong(database: str, dest: str, of_root: Write) -> None:
    of_root("", 0o644)
    assert run_module("pg_dump", login_db=database, dest=dest).changed


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ssl_mode": "require"}, ""),
        ({"ssl_mode": "verify-ca", "ca_cert": "ca.crt"}, ""),
        ({"ssl_mode": "verify-full", "ca_cert": "ca.crt"}, ""),
        ({"ssl_mode": "verify-ca", "ca_cert": "ca.crt", "login_host": "address"}, ""),
        ({"ssl_mode": "verify-full", "ca_cert": "ca.crt", "login_host": "address"}, "does not match host name"),
        ({"ssl_mode": "verify-ca", "ca_cert": "other.crt"}, "certificate verify failed"),
        ({"ssl_mode": "verify-full", "ca_cert": "nosuch.crt"}, "does not exist"),
        ({"ssl_mode": "disable"}, "no encryption"),
    ],
)
def test_by_tls(cluster: Cluster, managed: str, dest: str, options: dict[str, str], error: str) -> None:
    if "ca_cert" in options:
        options = {**options, "ca_cert": str(cluster.folder / options["ca_cert"])}
    if "login_host" in options:
        options = {**options, "login_host": cluster.address}
    done = dump(cluster, managed, dest, check=bool(error), globals=False, **options)
    if error:
        assert error in done.error
        assert ("ca_cert and ssl_mode" in done.error) is (options["ssl_mode"] != "disable")
    else:
        assert manifest_rows(done.result) == {("public", "treenode"): 100}


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (
            {"login_password": "wrong"},
            f"Give the password of {APPLICATION}: login_password (catmaid_db_admin_password)",
        ),
        ({"login_port": 1}, "Is PostgreSQL installed there, and running? If it is elsewhere, say where: login_host"),
        ({"login_db": "not there"}, "Is it provisioned? Else check its name: login_db"),
    ],
)
def test_an_error_says_what_to_do(
    cluster: Cluster, managed: str, dest: str, options: dict[str, Any], remedy: str
) -> None:  # fmt: skip
    wanted = {"login_db": managed, **cluster.login, **options}
    assert remedy in run_module("pg_dump", check=True, dest=dest, **wanted).error


def test_by_another_socket_with_peer_or_a_password(cluster: Cluster, managed: str, dest: str) -> None:
    made = run_module("pg_dump", login_db=managed, dest=dest, **cluster.peer)
    assert made.result["missing"] == []
    application = {"login_host": "", "login_unix_socket": cluster.sockets}
    assert "passwords" in str(dump(cluster, managed, dest, **application).result["missing"])
    refused = run_module("pg_dump", login_db=managed, dest=dest, **{**cluster.peer, "login_unix_socket": "/run/nosuch"})
    assert "/run/nosuch" in refused.error
    assert len(backups(dest, managed)) == 2


def test_of_several_servers_on_one_host_the_one_that_is_meant(cluster: Cluster, database: str, dest: str) -> None:
    """Databases of one name on both: each backup is of its own."""
    cluster.sql("postgres", f"CREATE DATABASE {support.quoted(database)}")
    try:
        cluster.sql(database, "CREATE TABLE treenode (id int)")
        here = run_module("pg_dump", login_db=database, dest=f"{dest}/main")
        there = run_module("pg_dump", login_db=database, dest=f"{dest}/second", **cluster.peer)
    finally:
        cluster.sql("postgres", f"DROP DATABASE {support.quoted(database)}")
    assert manifest_rows(here.result)["public", "treenode"] == 2000
    assert manifest_rows(there.result) == {("public", "treenode"): 0}
