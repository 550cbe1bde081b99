# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""catmaid-admin drill: a backup is proven by the application itself, a bad one is told, and nothing stays behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import locks

from tests.integration import support
from tests.integration.cli import Program, configure
from tests.integration.double_fixtures import OLDEST, ROLE, SERVICE_USER, Release, psql
from tests.integration.instances import Instance, snapshot
from tests.integration.test_backup_job import remembering, told
from tests.integration.test_pg_dump_faults import wait_for

pytestmark = pytest.mark.once("bookworm")

BROKEN = "broken-start"
NEWER = "2030.06.20"
TREENODES = 3000


@dataclass
class Lab:
    """An instance of the double with its host's configuration."""

    program: Program
    folder: Path
    release: Release
    database: str

    @property
    def dest(self) -> Path:
        return self.folder / "back ups"

    @property
    def config(self) -> Path:
        return self.configure()

    def configure(self, **more: Any) -> Path:
        project = {
            "path": str(self.release.source),
            "virtualenv": str(self.release.env),
            "user": SERVICE_USER,
            "database": self.database,
        }
        (self.folder / "metrics").mkdir(exist_ok=True)
        values = {
            "databases": [self.database],
            "dest": str(self.dest),
            "project": project,
            "hooks": remembering(self.folder),
            "metrics_dir": str(self.folder / "metrics"),
        }
        return configure(self.folder, **{**values, **more})

    def backup(self) -> Path:
        """Make a backup; return its folder."""
        report = self.program.json("backup", config=self.config)
        return Path(report["databases"][self.database]["path"])

    def drill(self, *words: str, rc: int = 0, **more: Any) -> dict[str, Any]:
        """Do a drill; return what it reports of the database. Whatever came of it, nothing may be left."""
        report = self.program.json("drill", *words, config=self.configure(**more), rc=rc)
        assert report["ok"] == (rc == 0)
        about: dict[str, Any] = report["databases"][self.database]
        if "--keep" not in words:
            assert left() == []
        return about

    def red(self, *words: str, **more: Any) -> str:
        """Do a drill that has to fail, and be told everywhere; return its message."""
        before = self.status().get("success"), self.metric("last_success_timestamp_seconds")
        message = str(self.drill(*words, rc=1, **more)["message"])
        assert (self.status().get("success"), self.metric("last_success_timestamp_seconds")) == before
        assert (self.status()["last"]["ok"], self.status()["running"]) == (False, None)
        assert message.startswith(self.status()["last"]["message"][:200])
        assert message in told(self.folder, "failure")[-1]["message"]
        assert "CATMAID_WHAT=drill\n" in (self.folder / "failure.env").read_text()
        assert self.metric("last_run_success") == "0"
        judged = self.program("check", config=self.config)
        assert (judged.rc, "drill of" in judged.out) == (2, True), judged.text
        return message

    def status(self) -> dict[str, Any]:
        path = self.dest / self.database / "status.json"
        found: dict[str, Any] = json.loads(path.read_text()).get("drill", {}) if path.exists() else {}
        return found

    def metric(self, name: str) -> str:
        lines = next((self.folder / "metrics").glob("*.prom")).read_text().splitlines()
        return next((line.split()[-1] for line in lines if line.startswith(f"catmaid_backup_drill_{name}{{")), "")


def left() -> list[str]:
    """Return what a drill must not leave: databases, processes, files."""
    found = [name for name in support.names() if name.startswith("catmaid_drill_")]
    found += [str(path) for path in Path("/tmp").glob("catmaid-admin-*")]
    # Processes of the shim name themselves so in their arguments.
    return found + [str(pid) for pid in support.processes("python", "catmaid.admin")]


Releases = Callable[[str, str], Release]


@pytest.fixture(scope="module")
def releases(double_release: Callable[..., Release]) -> Releases:
    """A function that gives a release for a database, with its static files; one for each version."""
    made: dict[str, Release] = {}

    def give(version: str, database: str) -> Release:
        if version not in made:
            made[version] = double_release(version, database)
            made[version].manage("collectstatic", "-l", "--noinput")
        made[version].configure(database)
        return made[version]

    return give


@pytest.fixture
def lab(
    program: Program, releases: Releases, double_database: Callable[..., str], tmp_path: Path
) -> Iterator[Lab]:  # fmt: skip
    """An instance at the oldest release."""
    database = double_database(OLDEST, TREENODES)
    yield Lab(program, tmp_path, releases(OLDEST, database), database)
    for name in [name for name in support.names() if name.startswith("catmaid_drill_")]:
        support.drop(name)


def test_proves_the_newest_backup_by_the_application(lab: Lab) -> None:
    made = lab.backup()
    before = snapshot(lab.database), sorted(lab.release.media.iterdir())
    found = lab.drill()
    assert (snapshot(lab.database), sorted(lab.release.media.iterdir())) == before
    assert (found["id"], found["migrated"], found["kept"]) == (made.name, [], "")
    assert found["rebuilt"] == ["edges"]
    manifest = json.loads((made / "manifest.json").read_text())
    assert found["rows"] == sum(table["rows"] for table in manifest["tables"])
    assert found["fingerprints"] > 0
    assert found["smoke"]["version"] == OLDEST
    assert found["smoke"]["nodes"] == 500
    assert [page.partition("?")[0].rpartition("/")[2] for page in found["smoke"]["pages"]] == [
        "version", "", "", "compact-detail", "list",
    ]  # fmt: skip
    assert found["smoke"]["compared"] == ["skeleton", "node list"]
    (report,) = [report for report in told(lab.folder, "success") if report["what"] == "drill"]
    assert report["ok"]
    assert lab.status()["success"]["id"] == made.name
    assert lab.metric("last_run_success") == "1"
    judged = lab.program("check", "--max-drill-age", "9d", config=lab.config)
    assert (judged.rc, "drill'=" in judged.out) == (0, True), judged.text

    # People work on, and a node that they moved is no fault of the backup.
    psql(lab.database, "UPDATE treenode SET location_x = location_x + 7")
    assert lab.drill(made.name)["smoke"]["compared"] == []

    # To look something up.
    kept = lab.drill("--keep", str(made))["kept"]
    assert psql(kept, "SELECT count(*) FROM treenode_edge") == str(TREENODES)
    lab.program("drill", config=lab.config)
    assert [name for name in support.names() if name.startswith("catmaid_drill_")] == [kept]


def test_brings_an_older_backup_forward_and_refuses_a_newer_one(lab: Lab, releases: Releases) -> None:
    lab.backup()
    lab.release = releases(NEWER, lab.database)
    found = lab.drill()
    assert "catmaid.0006_add_deep_link_model" in found["migrated"]
    assert found["smoke"]["compared"] == []  # the live database has not come so far

    psql(lab.database, "INSERT INTO django_migrations (app, name, applied) VALUES ('catmaid', '0999_to_come', now())")
    lab.backup()
    message = lab.red()
    assert "catmaid.0999_to_come" in message
    assert "it belongs to a newer one" in message


def tamper(manifest: Path, change: Callable[[dict[str, Any]], None]) -> None:
    found = json.loads(manifest.read_text())
    change(found)
    manifest.write_text(json.dumps(found))


def biggest(made: Path) -> Path:
    return max((path for path in made.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def cut(made: Path) -> None:
    path = biggest(made)
    os.truncate(path, path.stat().st_size - 1)


def flip(made: Path) -> None:
    path = biggest(made)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_a_row(made: Path) -> None:
    def change(found: dict[str, Any]) -> None:
        next(table for table in found["tables"] if table["name"] == "treenode")["rows"] += 1

    tamper(made / "manifest.json", change)


def grow(made: Path) -> None:
    tamper(made / "manifest.json", lambda found: found["properties"].update(bytes=10**16))


def test_a_bad_backup_is_red(lab: Lab) -> None:
    made = lab.backup()
    lab.drill()
    live = snapshot(lab.database)
    for harm, words in {
        cut: "bytes",
        flip: "SHA-256",
        lose_a_row: "rows instead of",
        grow: "bytes are needed below",
    }.items():
        shutil.copytree(made, lab.folder / "as it was")
        harm(made)
        assert words in lab.red(made.name)
        shutil.rmtree(made)
        (lab.folder / "as it was").rename(made)
    assert snapshot(lab.database) == live
    assert lab.drill()["ok"]
    assert lab.program("check", config=lab.config).rc == 0


def test_an_application_that_does_not_work_is_red(lab: Lab, releases: Releases) -> None:
    lab.backup()
    lab.release = releases(BROKEN, lab.database)
    message = lab.red()
    assert "/ answers 500" in message
    assert "This branch is broken on purpose" in message


def test_an_error_of_the_system_keeps_no_other_database_from_its_turn(lab: Lab, tmp_path: Path) -> None:
    lab.backup()
    # A path in which a short name has its place, and that of a drill's folder has not
    deep = os.path.join(str(tmp_path), *["d" * 200] * 19)
    deep += "/" + "d" * (4070 - len(deep) - 1)
    os.makedirs(deep)
    config = lab.configure(databases=[lab.database, "nosuch"])
    argv = lab.program.argv("drill", "--json", config=config)
    done = subprocess.run(argv, capture_output=True, text=True, env={"TMPDIR": deep}, cwd="/")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    report = json.loads(done.stdout)
    assert "File name too long" in report["databases"][lab.database]["message"]
    assert "there is no sound one" in report["databases"]["nosuch"]["message"]
    assert len(told(lab.folder, "failure")) == 1
    assert (lab.status()["last"]["ok"], lab.status()["running"]) == (False, None)
    assert "File name too long" in lab.status()["last"]["message"]
    assert lab.metric("last_run_success") == "0"
    assert left() == []


def test_a_derived_table_that_is_wrong_is_red(lab: Lab) -> None:
    """What the manifest cannot tell: a derived table that the backup holds, incomplete as it was."""
    psql(lab.database, "DELETE FROM treenode_edge WHERE id % 2 = 0")
    config = lab.configure(dump={"materializations": "include"})
    assert lab.program("backup", config=config).rc == 0
    assert re.search("the page of skeleton [0-9]+ lacks [0-9]+ of its 500 nodes", lab.red())


@pytest.mark.parametrize("phase", ["restore", "smoke"])
def test_a_drill_that_is_killed_leaves_nothing_in_the_end(lab: Lab, phase: str) -> None:
    lab.backup()
    running = lab.program.start("drill", config=lab.config)
    if phase == "restore":
        wait_for(lambda: [name for name in support.names() if name.startswith("catmaid_drill_")])
    else:
        wait_for(lambda: support.processes("python", "catmaid.admin", "pages"))
    running.kill()
    running.communicate()
    assert "it ended without a word" in lab.program("check", config=lab.config).out
    tidied = lab.program("drill", "--tidy", config=lab.config)
    assert tidied.rc == 0, tidied.text
    assert left() == []
    assert "it ended without a word" in told(lab.folder, "failure")[-1]["message"]
    assert (lab.status()["last"]["ok"], lab.status().get("success")) == (False, None)
    # Nobody is told twice.
    assert "no drill is left to tell of" in lab.program("drill", "--tidy", config=lab.config).out
    assert len(told(lab.folder, "failure")) == 1


def test_a_drill_drops_what_one_before_it_has_left(lab: Lab) -> None:
    lab.backup()
    psql("postgres", f"CREATE DATABASE catmaid_drill_0123456789ab OWNER {ROLE}")
    psql("postgres", f"CREATE DATABASE catmaid_drill_by_hand OWNER {ROLE}")
    Path("/tmp/catmaid-admin-catmaid_drill_0123456789ab").mkdir()
    done = lab.program("drill", config=lab.config)
    assert done.rc == 0, done.text
    assert "dropped what a drill that was killed has left: catmaid_drill_0123456789ab" in done.out
    assert left() == ["catmaid_drill_by_hand"]


def test_a_drill_that_is_stopped_tidies_up_and_waits_for_nobody(lab: Lab) -> None:
    lab.backup()
    running = lab.program.start("drill", config=lab.config)
    wait_for(lambda: [name for name in support.names() if name.startswith("catmaid_drill_")])
    second = lab.program("drill", config=lab.config)
    assert (second.rc, "it is locked by a restore drill" in second.err) == (1, True), second.text
    # Not the live database's turn: a backup is made meanwhile.
    running.send_signal(signal.SIGSTOP)
    lab.backup()
    running.send_signal(signal.SIGCONT)
    running.terminate()
    output = running.communicate()[0]
    assert running.returncode == 1
    assert "interrupted by SIGTERM" in output
    assert left() == []
    assert "by SIGTERM" in told(lab.folder, "failure")[-1]["message"]


def test_a_copy_from_elsewhere_with_a_key_that_is_kept_nowhere(lab: Lab) -> None:
    key = lab.folder / "key"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    public = key.read_text().partition("public key: ")[2].split()[0]
    target = {"name": "away", "type": "rclone", "backend": "local", "path": str(lab.folder / "away"), "encrypt": True}
    more = {"targets": [target], "encryption": {"method": "age", "recipients": [public]}}
    made = lab.program.json("backup", config=lab.configure(**more))["databases"][lab.database]
    secret = key.read_text()
    key.unlink()
    assert "there is no key" in lab.red("--target", "away", **more)
    assert "no target is named" in lab.red("--target", "elsewhere", **more)

    argv = lab.program.argv("drill", "--target", "away", "--identity", "-", "--json", config=lab.configure(**more))
    done = subprocess.run(argv, input=secret, capture_output=True, text=True, env={}, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)["databases"][lab.database]
    assert about["id"] == made["id"]
    assert about["path"].startswith(f"{lab.dest}/.drill/")
    assert left() == []
    assert sorted(path.name for path in lab.dest.iterdir()) == [lab.database]
    words = secret.split()[-1]
    assert subprocess.run(["grep", "-rlF", words, str(lab.folder), "/tmp"], check=False).returncode == 1
    assert words not in done.stdout + done.stderr


def test_a_database_without_an_application_is_compared_only(
    program: Program, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    """Its name needs quotes, and its drill's does not."""
    config = configure(tmp_path, databases=[database], dest=dest)
    assert program("backup", config=config).rc == 0
    assert "no restore drill ever went well" in program("check", "--max-drill-age", "9d", config=config).out
    assert program("drill", "none", config=config).rc == 1
    done = program("drill", config=config)
    assert done.rc == 0, done.text
    assert "no application was asked" in done.out
    assert left() == []
    assert program.json("drill", "--keep", "--database", database, config=config)["ok"]
    (kept,) = [name for name in support.names() if name.startswith("catmaid_drill_")]
    assert support.rows(kept)["public.treenode"] == support.rows(database)["public.treenode"]
    # A scratch database is nobody's to back up.
    everything = configure(tmp_path, "all", databases="all", dest=dest, dump={"exclude_table_data": ["nosuch"]})
    assert kept not in program.json("backup", config=everything, rc=1)["databases"]
    support.drop(kept)


def test_the_module_does_the_same(lab: Lab) -> None:
    made = lab.backup()
    instance = Instance(lab.release, lab.database)
    options = {"dest": str(lab.dest), "project_user": SERVICE_USER}
    foreseen = instance.run("drill", _ansible_check_mode=True, **options)
    assert (foreseen["changed"], foreseen["id"], lab.status()) == (False, made.name, {})
    done = instance.run("drill", requested_by="a play", **options)
    assert not done["changed"]
    assert done["smoke"]["compared"] == ["skeleton", "node list"]
    assert lab.status()["success"]["job"] == "a play"
    assert left() == []

    kept = instance.run("drill", id=made.name, keep=True, **options)
    assert kept["changed"]
    support.drop(kept["kept"])
    lose_a_row(made)
    assert "rows instead of" in instance.fail("drill", **options)["msg"]
    assert "there is none named other" in instance.fail("drill", id="other", **options)["msg"]
    flip(made)
    assert "SHA-256" in instance.fail("drill", check=True, **options)["msg"]
    assert left() == []
    with locks.hold("drill", "a test"):
        assert "it is locked by a test" in instance.fail("drill", lock_wait=0.5, **options)["msg"]
