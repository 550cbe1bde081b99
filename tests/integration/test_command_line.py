# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""command_line, and what the program that it installs prints and returns."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli import Program, configure
from tests.integration.support import CHECKOUT, run_module

pytestmark = pytest.mark.once("bookworm")

ENGINE = "ansible_collections/catmaid/admin/plugins/module_utils/engine"


def test_installs_and_removes(tmp_path: Path) -> None:
    path = tmp_path / "catmaid-admin"
    predicted = run_module("command_line", check=True, diff=True, path=str(path))
    assert predicted.changed
    assert not path.exists()
    made = run_module("command_line", diff=True, path=str(path))
    assert made.changed
    assert made.result["diff"] == predicted.result["diff"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    told = subprocess.run([path, "--version"], capture_output=True, text=True, env={}, cwd="/")
    assert told.stdout == f"catmaid-admin of catmaid.admin, build {made.result['build']}\n"
    before = path.read_bytes()
    assert not run_module("command_line", path=str(path)).changed
    assert path.read_bytes() == before

    path.chmod(0o700)
    assert run_module("command_line", path=str(path)).changed
    path.write_text("#!/bin/sh\n")
    assert "somebody else" in run_module("command_line", check=True, path=str(path)).result["diff"]["before"]
    assert run_module("command_line", path=str(path)).changed
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["catmaid-admin"]

    for check in (True, False):
        assert run_module("command_line", check=check, path=str(path), state="absent").changed
    assert not path.exists()
    assert not run_module("command_line", path=str(path), state="absent").changed
    assert "Name a file" in run_module("command_line", path=str(tmp_path)).error
    assert "Name a file" in run_module("command_line", path=str(tmp_path / "none" / "x")).error


def test_is_the_same_from_the_zip_file_in_which_ansible_sends_it(program: Program, tmp_path: Path) -> None:
    sent = tmp_path / "sent.zip"
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (CHECKOUT / "plugins/module_utils/engine").rglob("*.py"):
            inside = path.relative_to(CHECKOUT / "plugins/module_utils/engine")
            archive.write(path, f"{ENGINE}/{inside}")
        for number in range(1, len(ENGINE.split("/"))):
            archive.writestr("/".join([*ENGINE.split("/")[:number], "__init__.py"]), "")
    package = ENGINE.replace("/", ".")
    code = f"import sys; from {package}.cli import main, bundle; sys.stdout.buffer.write(bundle.build())"
    build = f"from {package}.django import project, shim; from {package}.postgres import server; {code}"
    done = subprocess.run([sys.executable, "-c", build], capture_output=True, env={"PYTHONPATH": str(sent)}, cwd="/")
    assert done.returncode == 0, done.stderr.decode()
    inside = [set(zipfile.ZipFile(file).namelist()) for file in (program.path, _written(tmp_path / "b", done.stdout))]
    assert inside[1] >= inside[0] >= {"__main__.py", "catmaid_admin/backups/job.py", "catmaid_admin/cli/main.py"}


def test_is_the_same_whatever_the_order_of_sets(program: Program) -> None:
    build = f"from {ENGINE.replace('/', '.')}.cli import main, bundle; sys.stdout.buffer.write(bundle.build())"
    made = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; {build}"],
            capture_output=True,
            env={"PYTHONPATH": str(CHECKOUT.parents[2]), "PYTHONHASHSEED": seed},
            cwd="/",
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] and made[0] == made[1]


def test_needs_not_compile_itself(program: Program) -> None:
    code = f"import sys; sys.path.insert(0, {str(program.path)!r}); from catmaid_admin.cli import main"
    told = subprocess.run([sys.executable, "-c", f"{code}; print(main.__file__)"], capture_output=True)
    assert b"main.pyc" in told.stdout, told


def test_carries_what_it_reads_by_itself(program: Program) -> None:
    code = f"import sys; sys.path.insert(0, {str(program.path)!r}); from catmaid_admin.django import shim"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(min(len(shim.source(name)) for name in ('child', 'pages')))"],
        capture_output=True,
        text=True,
    )
    assert int(done.stdout or 0) > 1000, done.stderr


def test_makes_and_shows_backups(program: Program, database: str, dest: str, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    config = configure(tmp_path, databases=[database], dest=dest, metrics_dir=str(metrics))
    assert program("check", config=config).rc == 2
    made = program("backup", "--job", "a test", config=config)
    assert made.rc == 0, made.text
    assert "is verified" in made.out
    report = program.json("backup", config=config)
    about = report["databases"][database]
    listed = program.json("list", config=config)
    newest, oldest = listed["backups"]
    assert newest["id"] == about["id"]
    assert oldest["requested_by"] == "a test"
    assert listed["foreign"] == listed["incomplete"] == []
    assert about["id"] in program("list", config=config).out

    manifest = program.json("info", about["id"], config=config)
    assert manifest["database"] == database
    assert manifest["bytes"] == about["bytes"]
    assert program.json("info", config=config)["id"] == about["id"]
    assert "postgresql" in program("info", config=config).out.lower()
    assert "none named nothing" in program("info", "nothing", config=config).err

    text = "\n".join(path.read_text() for path in metrics.iterdir())
    assert f" {about['bytes']}\n" in text
    assert "catmaid_backup_last_run_success" in text
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in metrics.iterdir())
    # Whoever makes a backup of this database, the metrics know.
    by_module = run_module("pg_dump", login_db=database, dest=dest, materializations="include")
    assert by_module.changed
    assert f" {by_module.result['bytes']}\n" in "\n".join(path.read_text() for path in metrics.iterdir())


def test_verifies_again(program: Program, database: str, dest: str, tmp_path: Path) -> None:
    config = configure(tmp_path, databases=[database], dest=dest)
    about = program.json("backup", config=config)["databases"][database]
    assert program("verify", config=config).rc == 0
    largest = max(Path(about["path"]).rglob("*.*"), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    failed = program("verify", about["id"], config=config)
    assert failed.rc == 1
    assert "its contents have changed" in failed.err
    found = program.json("check", config=config, rc=2)
    assert "its contents have changed" in found["line"]
    largest.write_bytes(content)
    assert program.json("verify", "--all", config=config)["verified"][0]["problems"] == []
    assert program("check", config=config).rc == 0


def test_judges_like_nagios(program: Program, database: str, dest: str, tmp_path: Path) -> None:
    config = configure(tmp_path, databases=[database], dest=dest)
    program("backup", config=config)
    manifest = next(Path(dest).rglob("manifest.json"))
    old = json.loads(manifest.read_text())
    old["finished"] = "2020-01-01T00:00:00.000000Z"
    unreadable = manifest.parent.parent / "half"
    unreadable.mkdir()
    (unreadable / "manifest.json").write_text("{")
    doubtful = program("check", config=config)
    assert (doubtful.rc, f"cannot be read, such as {unreadable}" in doubtful.out) == (1, True)
    (unreadable / "manifest.json").unlink()
    fine = program("check", config=config)
    assert fine.rc == 0
    assert fine.out.startswith("CATMAID BACKUP OK - ")
    assert fine.out.count("\n") == 1
    assert "size'=" in fine.out.partition(" | ")[2]
    manifest.write_text(json.dumps(old))
    warned = program("check", "--critical", "1000w", config=config)
    assert (warned.rc, warned.out[:23]) == (1, "CATMAID BACKUP WARNING ")
    assert program("check", config=config).rc == 2
    assert "the newest verified backup is" in program("check", config=config).out
    assert program("check", config=tmp_path / "none.json").rc == 3
    assert program("check", "--nonsense", config=config).rc == 3
    assert program("check", "--max-age", "2d", "--critical", "1d", config=config).rc == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"retentoin": {}}, "nobody knows the key retentoin"),
        ({"dump": {"jobs": "2"}}, "dump.jobs is not a whole number"),
        ({"dump": {"jobs": True}}, "dump.jobs is not a whole number"),
        ({"dump": {"format": "tar"}}, "dump.format is 'tar', none of"),
        ({"login": {"secret": "hidden-secret"}}, "nobody knows the key login.secret"),
        ({"login": {"password": ["hidden-secret"]}}, "login.password is not a text"),
        ({"hooks": {"on_failure": [["mail"]]}}, "hooks.on_failure[0] does not begin with an absolute path"),
        ({"hooks": {"on_failure": ["/bin/true"]}}, "hooks.on_failure[0] is not a list"),
        ({"retention": {"daily": "7"}}, "retention.daily is not a whole number"),
        ({"retention": {"last": 1, "max_bytes": "much"}}, "much"),
        ({"retention": {}}, "every rule is zero"),
        ({"targets": [{"name": "s3", "sekrets": {"x": "hidden-secret"}}]}, "nobody knows sekrets"),
        ({"encryption": {"method": "rot13"}}, "encryption.method is 'rot13'"),
        ({"databases": []}, "databases is neither"),
        ({"dest": "backups"}, "no absolute path"),
        ({"instance": None}, "instance is missing"),
    ],
)
def test_names_the_key_that_is_wrong(program: Program, tmp_path: Path, change: Any, message: str) -> None:
    config = configure(tmp_path, **{"databases": ["x"], "dest": "/nowhere", **change})
    for command in ("config", "backup", "list"):
        refused = program(command, config=config)
        assert refused.rc == 2
        assert message in refused.err
        assert "hidden-secret" not in refused.text
        assert "Traceback" not in refused.text


def test_prunes_and_holds(program: Program, database: str, dest: str, tmp_path: Path) -> None:
    rules = {"retention": {"last": 1}}
    config = configure(tmp_path, databases=[database], dest=dest)
    first, second = (program.json("backup", config=config)["databases"][database]["id"] for _ in range(2))
    assert "has no rules for it" in program("prune", config=config).err
    compared = program.json("diff", config=config)
    assert (compared["before"]["id"], compared["after"]["id"]) == (first, second)
    assert {table["contents"] for table in compared["tables"]} == {"unknown"}  # of the derived ones no rows are there
    assert f"from {first}\nto   {second}\n" in program("diff", config=config).out
    config = configure(tmp_path, databases=[database], dest=dest, **rules)
    assert f"{first}: would go" in program("prune", "--dry-run", config=config).out
    assert program("hold", first, "--reason", "a test", config=config).rc == 0
    third = program.json("backup", config=config)["databases"][database]
    assert third["gone"] == [second]
    assert set(third["kept"]) == {first, third["id"]}
    assert program("hold", first, "--release", config=config).rc == 0
    gone = program.json("prune", config=config)[database]["gone"]
    assert [one["id"] for one in gone] == [first]
    assert "names no targets" in program("copy", config=config).err


def test_keeps_passwords_to_itself(program: Program, tmp_path: Path) -> None:
    config = configure(
        tmp_path, databases=["x"], dest=str(tmp_path / "d"), login={"host": "127.0.0.1", "password": "hidden-secret"}
    )
    shown = program("config", config=config)
    assert shown.rc == 0
    assert "hidden-secret" not in shown.text
    refused = program("backup", config=config)
    assert refused.rc == 1
    assert "hidden-secret" not in refused.text + (tmp_path / "state/it/job.json").read_text()
    config.chmod(0o644)
    assert "everybody can read it" in program("backup", config=config).err


def test_finds_the_configuration_of_an_instance(program: Program, tmp_path: Path) -> None:
    # Below /etc, so in a mount namespace of its own.
    folder = tmp_path / "etc"
    folder.mkdir()
    run = f"mkdir -p /etc/catmaid-admin && mount --bind {folder} /etc/catmaid-admin && {program.path} config --json"
    unshare = ["unshare", "--mount", "sh", "-c"]

    def ask(more: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*unshare, f"{run} {more}"], capture_output=True, text=True, cwd="/")

    assert "there is none" in ask().stderr
    configure(folder, "one", databases="all", dest="/one")
    assert json.loads(ask().stdout)["dest"] == "/one"
    configure(folder, "two", databases="all", dest="/two")
    assert (ask().returncode, "there are several: one, two" in ask().stderr) == (2, True)
    assert json.loads(ask("--instance two").stdout)["dest"] == "/two"
    assert "none is named three" in ask("--instance three").stderr


def test_helps(program: Program) -> None:
    pages = program("--help").out
    for command in (
        "backup",
        "list",
        "info",
        "verify",
        "check",
        "prune",
        "copy",
        "hold",
        "diff",
        "config",
        "report-failure",
    ):
        assert f"    {command} " in pages or f"    {command}\n" in pages
        page = subprocess.run([program.path, command, "--help"], capture_output=True, text=True)
        assert page.returncode == 0
        assert {"DESCRIPTION", "EXIT STATUS"} <= set(page.stdout.splitlines())


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
