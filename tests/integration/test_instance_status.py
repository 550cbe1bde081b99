# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module instance_status tells of an instance what is so, and names what somebody should look after."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.double import build
from tests.integration.double_fixtures import SERVICE_USER, psql, run
from tests.integration.instances import snapshot
from tests.integration.support import run_module
from tests.integration.tls import Authority
from tests.integration.upgrading import DATABASE, SERVICE, Served

pytestmark = pytest.mark.once("bookworm")

NAME = "it-status.test"
BROKEN = "it-broken"


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """A folder of backups with a disk of its own."""
    folder = tmp_path / "back ups"
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)])
    yield folder
    run(["umount", str(folder)])


@pytest.fixture
def broken() -> Iterator[None]:
    """A unit of somebody else's that has failed."""
    run(["systemd-run", "--quiet", f"--unit={BROKEN}", "false"])
    yield
    run(["systemctl", "reset-failed", BROKEN], check=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Let nginx serve the instance's site by a certificate that is good for so many days."""
    path = Path(f"/etc/nginx/sites-enabled/{SERVICE}")
    before = path.read_text()

    def serve(days: int) -> None:
        made = Authority(tmp_path).site(NAME, "-days", str(days))
        tls = f"listen 443 ssl; ssl_certificate {made.path}; ssl_certificate_key {made.key_path};"
        path.write_text(f"server {{ listen 80; {tls} server_name {NAME}; }}")
        run(["systemctl", "reload", "nginx"])

    yield serve
    path.write_text(before)
    run(["systemctl", "reload", "nginx"])


def look(served: Served, dest: Path, **more: Any) -> dict[str, Any]:
    """Return what the module returns."""
    current = served.root / "current"
    options = {
        "login_db": DATABASE,
        "project_path": str(current / "source"),
        "virtualenv": str(current / "env"),
        "project_user": SERVICE_USER,
        "root": str(served.root),
        "dest": str(dest),
        "instance": SERVICE,
        "services": [SERVICE],
        "site": NAME,
        **more,
    }
    found = run_module("instance_status", **options)
    assert not found.changed
    return found.result


def git(path: Path, *words: str) -> str:
    """Return what git says of a repository, whoever owns it."""
    return run(["git", "-c", "safe.directory=*", "-C", str(path), *words]).stdout.strip()


def told(result: dict[str, Any]) -> dict[str, set[str]]:
    """Return the levels of the reasons by part."""
    found: dict[str, set[str]] = {}
    for reason in result["reasons"]:
        found.setdefault(reason["part"], set()).add(reason["level"])
    return found


def texts(result: dict[str, Any]) -> str:
    """Return all reasons."""
    return "\n".join(reason["text"] for reason in result["reasons"])


def back_up(dest: Path) -> dict[str, Any]:
    """Make a backup."""
    return run_module("pg_dump", login_db=DATABASE, dest=str(dest)).result


def test_a_sound_instance_is_ok_and_its_figures_are_right(
    served: Served, dest: Path, site: Callable[[int], None]
) -> None:
    psql(DATABASE, "UPDATE treenode SET edition_time = now() WHERE id = 1")
    current = served.root / "current"
    project = {"project_path": str(current / "source"), "virtualenv": str(current / "env")}
    run_module("rebuild_materializations", login_db=DATABASE, project_user=SERVICE_USER, **project)
    first, second = back_up(dest), back_up(dest)
    run_module("drill", login_db=DATABASE, dest=str(dest), project_user=SERVICE_USER, **project)
    site(60)
    before = snapshot(DATABASE)
    result = look(served, dest)
    assert snapshot(DATABASE) == before
    assert (result["state"], result["reasons"]) == ("ok", [])
    status = result["status"]
    about = status["code"]
    assert about["commit"] == git(current / "source", "rev-parse", "HEAD")
    assert about["describe"] == about["release"] == "2030.01.15"
    newest = status["backups"]["newest"]
    assert {name: newest[name] for name in ("id", "bytes", "rows")} == {
        name: second[name] for name in ("id", "bytes", "rows")
    }
    assert 0 <= newest["age"] < 300 and 0 < newest["seconds"] < 300
    assert [backup["id"] for backup in status["backups"]["history"]] == [first["id"], second["id"]]
    assert 0 <= status["drill"]["age"] < 300
    assert 59 < status["certificate"]["days_left"] <= 60
    postgis = status["database"]["postgis"]
    assert postgis["extension"] == postgis["library"] == postgis["available"] != ""
    assert status["database"]["bytes"] == int(psql("postgres", f"SELECT pg_database_size('{DATABASE}')"))
    assert status["migrations"]["pending"] == []
    disks = {disk["name"]: disk for disk in status["disks"]}
    assert disks["backups"]["total"] == 64 * 1024 * 1024
    assert disks["data"]["path"].startswith("/var/lib/postgresql") and disks["data"]["free"] > 0
    assert status["units"] == {"failed": [], "stopped": []}


def test_each_thing_that_is_wrong_is_named(
    served: Served, dest: Path, site: Callable[[int], None], broken: None
) -> None:
    result = look(served, dest, compare=False)
    assert told(result) == {"backups": {"failed"}, "drill": {"warning"}, "units": {"warning"}}
    assert "there is no verified backup" in texts(result) and f"units have failed: {BROKEN}" in texts(result)
    assert result["status"]["materializations"] is None

    kept = back_up(dest)
    damaged = back_up(dest)
    os.truncate(Path(damaged["path"]) / "dump" / "toc.dat", 1)
    psql(DATABASE, "SET session_replication_role = replica; DELETE FROM treenode_edge WHERE id = 1")
    psql(DATABASE, "DELETE FROM django_migrations WHERE name = '0005_add_history_tables'")
    psql(DATABASE, "UPDATE pg_extension SET extversion = '3.0.0' WHERE extname = 'postgis'")
    (dest / "fill").write_bytes(bytes(58 * 1024 * 1024))
    run(["systemctl", "stop", SERVICE])
    site(5)
    result = look(served, dest, drill_warn_days=0, backup_warn_hours=0, backup_fail_hours=50)
    assert result["state"] == "failed"
    assert told(result) == {
        "migrations": {"failed"},
        "database": {"warning"},
        "materializations": {"warning"},
        "backups": {"warning"},
        "certificate": {"failed"},
        "disks": {"warning"},
        "units": {"failed", "warning"},
    }
    for words in (
        "catmaid.0005_add_history_tables",
        "PostGIS is 3.0.0 in the database, and its library 3.",
        "treenode_edge: 1 rows missing",
        f"damaged backups: {damaged['id']}",
        "the newest verified backup is ",
        f"the certificate of {NAME} expires in 5 days",
        f"the disk of backups ({dest}) has ",
        f"do not run: {SERVICE}",
    ):
        assert words in texts(result)
    assert result["status"]["backups"]["newest"]["id"] == kept["id"]
    # Of the same figures other limits make something else.
    (dest / "fill").write_bytes(bytes(62 * 1024 * 1024))
    limits = {"certificate_fail_days": 1, "backup_warn_hours": 0, "backup_fail_hours": 0}
    judged = told(look(served, dest, **limits))
    assert (judged["certificate"], judged["disks"]) == ({"warning"}, {"failed"})
    assert judged["backups"] == {"failed", "warning"}


def test_a_job_that_failed_is_told_though_an_older_backup_is_good(served: Served, dest: Path) -> None:
    back_up(dest)
    failed = run_module("pg_dump", login_db=DATABASE, dest=str(dest), exclude_tables=["treenode"])
    assert failed.failed
    result = look(served, dest, drill_warn_days=0, compare=False)
    assert (result["state"], told(result)) == ("failed", {"backups": {"failed"}})
    assert "backup of " in texts(result) and " failed: " in texts(result)


def test_what_cannot_be_looked_at_hides_nothing_else(served: Served, dest: Path) -> None:
    back_up(dest)
    result = look(served, dest, project_path="/none", drill_warn_days=0)
    assert told(result) == {part: {"failed"} for part in ("code", "migrations", "materializations")}
    assert "there is no such folder" in texts(result)
    assert result["status"]["code"] is None
    assert result["status"]["backups"]["newest"]["rows"] > 1000
    run(["systemctl", "stop", "postgresql"])
    try:
        options = {"login_db": DATABASE, "project_path": str(served.root / "current/source"), "dest": str(dest)}
        options |= {"virtualenv": str(served.root / "current/env"), "services": [SERVICE], "project_user": SERVICE_USER}
        without = run_module("instance_status", **options).result
    finally:
        run(["systemctl", "start", "postgresql"])
    assert set(without["status"]["errors"]) >= {"database", "migrations", "materializations"}
    assert without["status"]["code"]["describe"] == "2030.01.15"
    assert without["status"]["backups"]["number"] == 1


def test_upstream_is_as_it_was_fetched_and_asked_only_if_that_is_wanted(served: Served, dest: Path) -> None:
    origin, clone = served.root / "origin.git", served.root / "clone"
    build.build(origin, bare=True)
    subprocess.run(["git", "clone", "--quiet", "--branch", "main", str(origin), str(clone)], check=True)
    settings = "django/projects/mysite/settings.py"
    shutil.copy(served.root / "current/source" / settings, clone / settings)
    git(clone, "reset", "--quiet", "--hard", "2030.01.15")
    run(["chown", "-R", f"{SERVICE_USER}:", str(clone), str(origin)])
    here = {"project_path": str(clone), "compare": False, "repository": str(origin)}

    def code(**more: Any) -> dict[str, Any]:
        return look(served, dest, **here, **more)["status"]["code"]

    known = int(git(origin, "rev-list", "--count", "2030.01.15..main"))
    about = code()
    assert known > 0 and (about["behind"], about["ahead"]) == (known, 0)
    assert about["newer_release"] == "2030.12.21"
    assert 0 <= about["fetched"] < 300
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    made = git(origin, *who, "commit-tree", "-p", "main", "-m", "more", "main^{tree}")
    git(origin, "update-ref", "refs/heads/main", made)
    refs = git(clone, "show-ref")
    assert code()["behind"] == known
    asked = code(fetch=True)
    assert (asked["behind"], asked["fetched"]) == (known + 1, 0)
    assert git(clone, "show-ref") == refs
    assert code(branch="dev")["upstream"] == "dev"
    lost = look(served, dest, branch="none", **here)
    assert "there is no branch none that was fetched" in texts(lost)
    origin.rename(served.root / "gone")
    assert "running git fetch" in texts(look(served, dest, fetch=True, **here))
    assert code()["behind"] == known
