# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups without root and without a superuser: what the rights allow is whole, and what they deny is said."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.cluster_fixtures import APPLICATION, PASSWORD, Cluster
from tests.integration.support import run_module
from tests.integration.test_pg_dump import backups, manifest_rows

pytestmark = pytest.mark.once("bookworm")

USER = "it_ordinary"
PARTLY = """
    CREATE TABLE partly (a int); GRANT SELECT ON partly TO PUBLIC;
    ALTER TABLE partly ENABLE ROW LEVEL SECURITY; CREATE POLICY some_rows ON partly USING (a > 1);
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """The home of an OS user who may do nothing special, and who is a role of this host's PostgreSQL too."""
    subprocess.run(["useradd", "--create-home", USER], check=True)
    yield Path("/home", USER)
    subprocess.run(["userdel", "--remove", USER], check=True, capture_output=True)
    support.sql("postgres", f"DROP ROLE IF EXISTS {USER}")


def as_user(name: str, **args: Any) -> support.Run:
    """Run a module as that user, as Ansible does without become."""
    process = subprocess.Popen(
        ["runuser", "-u", USER, "--", sys.executable, "-m", f"{support.NAMESPACE}.{name}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": f"/home/{USER}", "PYTHONPATH": str(support.CHECKOUT.parents[2])},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {**args, "_ansible_no_log": False}}))
    process.stdin.close()
    process.stdin = None
    return support.finish_module(process)


def owners(folder: str) -> set[tuple[str, int]]:
    """Return who owns what is below a folder, and the rights of others."""
    found = [os.lstat(os.path.join(top, name)) for top, dirs, names in os.walk(folder) for name in [*dirs, *names]]
    account = Path(folder).owner()
    return {
        (account if s.st_uid == os.stat(folder).st_uid else str(s.st_uid), stat.S_IMODE(s.st_mode) & 0o077)
        for s in found
    }


def test_an_ordinary_user_with_a_password_file(cluster: Cluster, managed: str, home: Path) -> None:
    file = home / ".pgpass"
    file.write_text(cluster.passline(), encoding="utf-8")
    os.chown(file, home.stat().st_uid, home.stat().st_gid)
    login = {"login_db": managed, "dest": str(home / "backups"), **cluster.login, "login_password": None}
    file.chmod(0o640)
    refused = as_user("pg_dump", **login)
    assert f"{file} was not used: its mode is 0640" in refused.error
    file.chmod(0o600)
    made = as_user("pg_dump", **login)
    assert manifest_rows(made.result) == {("public", "treenode"): 100}
    assert owners(str(home / "backups")) == {(USER, 0)}
    found = as_user("backup_info", dest=str(home / "backups"), verify=True)
    assert found.result["newest"]["id"] == made.result["id"]
    assert PASSWORD not in made.output
    elsewhere = as_user("pg_dump", **{**login, "dest": "/var/backups/nosuch"})
    assert "cannot make /var/backups/nosuch" in elsewhere.error


def test_an_ordinary_user_by_peer(database: str, home: Path) -> None:
    dest = str(home / "backups")
    support.sql(database, f"CREATE ROLE {USER} LOGIN IN ROLE {support.quoted(support.OWNER)}")
    made = as_user("pg_dump", login_db=database, dest=dest, login_user=USER)
    assert manifest_rows(made.result)["public", "treenode"] == 2000
    assert ["passwords" in what for what in made.result["missing"]] == [True]
    refused = as_user("pg_dump", login_db=database, dest=dest)
    assert "Run as the OS user postgres or as root, or give a password" in refused.error


@pytest.mark.parametrize(
    ("made", "error"),
    [
        ("CREATE TABLE of_others (a int)", "permission denied for table of_others"),
        ("CREATE SEQUENCE of_others", "permission denied for sequence of_others"),
        ("SELECT lo_create(4711)", "permission denied for large object 4711"),
        (PARTLY, 'row-level security policy for table "partly"'),
    ],
)
def test_what_a_login_may_not_read_is_named(cluster: Cluster, managed: str, dest: str, made: str, error: str) -> None:
    login = {"login_db": managed, "dest": dest, **cluster.login}
    kept = run_module("pg_dump", **login)
    cluster.sql(managed, made)
    refused = run_module("pg_dump", **login)
    assert error in refused.error
    assert backups(dest, managed) == [kept.result["id"]]


def test_what_only_a_superuser_can_read_is_said(cluster: Cluster, managed: str, dest: str) -> None:
    cluster.sql(
        managed, "CREATE SUBSCRIPTION \"from afar\" CONNECTION 'host=nosuch' PUBLICATION p WITH (connect = false)"
    )
    cluster.sql(managed, "REVOKE SELECT ON pg_auth_members FROM PUBLIC")
    login = {"login_db": managed, "dest": dest}
    try:
        made = run_module("pg_dump", **login, **cluster.login)
        assert manifest_rows(made.result) == {("public", "treenode"): 100}
        assert made.result["manifest"]["globals"] is None
        roles, subscriptions = sorted(made.result["missing"], key=lambda what: "subscription" in what)
        assert "the roles:" in roles
        assert "permission denied for table pg_auth_members" in roles
        assert f'"from afar": {APPLICATION} is no superuser' in subscriptions
        assert run_module("pg_dump", **login, **cluster.peer).result["missing"] == []
    finally:
        cluster.sql(managed, 'ALTER SUBSCRIPTION "from afar" SET (slot_name = NONE)')
        cluster.sql(managed, 'DROP SUBSCRIPTION "from afar"')
