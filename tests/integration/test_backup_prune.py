# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup_prune: what no rule keeps goes, and nothing else, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import holds, store

from tests.integration import support
from tests.integration.support import Run, run_module
from tests.integration.test_pg_dump import dump
from tests.integration.test_pg_dump_faults import wait_for

pytestmark = pytest.mark.once("bookworm")

NO_RULE = {f"keep_{rule}": 0 for rule in ("last", "daily", "weekly", "monthly")}


class History:
    """A real backup of now, and copies of it that were made at other times."""

    def __init__(self, original: Run, dest: str) -> None:
        made = Path(original.result["path"])
        self.database, self.dest = str(original.result["manifest"]["database"]), dest
        self.folder = Path(dest, made.parent.name)
        self.newest = made.name
        self.bytes = int(original.result["bytes"])
        shutil.copytree(made.parent, self.folder)

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

    def add(self, days: float, **more: Any) -> str:
        """Add a backup that was finished so many days ago."""
        at = datetime.now(timezone.utc) - timedelta(days=days)
        taken = os.listdir(self.folder)
        name = store.new_id(self.database, "1", at, taken)
        shutil.copytree(self[self.newest], self[name])
        self.change(name, id=name, finished=store.format_time(at), **more)
        return name

    def change(self, name: str, **values: Any) -> None:
        """Change the manifest of one."""
        path = self[name] / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    def there(self) -> list[str]:
        """Return what looks like a backup."""
        return sorted(path.parent.name for path in self.folder.glob("*/manifest.json") if path.parent.name[0] != ".")

    def prune(self, check: bool = False, **options: Any) -> Run:
        """Prune with no rule but those given."""
        return run_module(
            "backup_prune", check=check, dest=self.dest, database=self.database, **{**NO_RULE, **options}
        )  # fmt: skip

    def hold(self, name: str, **options: Any) -> Run:
        return run_module("backup_hold", dest=self.dest, database=self.database, id=name, **options)


@pytest.fixture(scope="module")
def original(template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A backup of a database that is there as long as these tests run."""
    database = support.unused("pruned")
    support.sql("postgres", f"CREATE DATABASE {support.quoted(database)} TEMPLATE {support.quoted(template)}")
    made = dump(database, str(tmp_path_factory.mktemp("back ups")), compression="none")
    assert made.changed
    yield made
    support.drop(database)


@pytest.fixture
def history(original: Run, dest: str) -> History:
    return History(original, dest)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=True)
    yield str(disk)
    subprocess.run(["umount", str(disk)], check=True)


def gone(run: Run) -> list[str]:
    return [entry["id"] for entry in run.result["gone"]]


def reasons(run: Run, name: str) -> list[str]:
    return next(entry["reasons"] for entry in run.result["kept"] if entry["id"] == name)


def test_removes_what_no_rule_keeps_as_a_check_predicts(history: History, dest: str) -> None:
    old, older = history.add(3), history.add(40)
    day = history.add(1)
    status = (history["status.json"]).read_text()
    predicted = history.prune(check=True, keep_last=2, keep_monthly=2)
    assert gone(predicted) == [old]
    assert predicted.result["diff"]["before"].splitlines() == sorted([older, old, day, history.newest])
    assert predicted.result["diff"]["after"].splitlines() == sorted([older, day, history.newest])
    assert history.there() == sorted([older, old, day, history.newest])
    assert (history["status.json"]).read_text() == status

    done = history.prune(keep_last=2, keep_monthly=2)
    assert done.changed
    for key in ("gone", "kept", "diff", "bytes", "changed"):
        assert done.result[key] == predicted.result[key], key
    assert done.result["bytes"] == history.bytes
    assert reasons(done, day) == ["last 2 of 2"]
    assert history.there() == sorted([older, day, history.newest])
    assert json.loads((history["status.json"]).read_text())["prune"]["success"]["gone"] == 1
    assert not history.prune(keep_last=2, keep_monthly=2).changed
    found = run_module("backup_info", dest=dest, verify=True).result
    assert all(backup["sound"] for backup in found["backups"])
    assert found["foreign"] == found["incomplete"] == []


def test_a_check_counts_the_backup_that_comes_before(history: History) -> None:
    """Beyond that nothing is different: not for a real run, and not for a doubtful newest one."""
    old = history.add(1)
    options: dict[str, Any] = {"keep_last": 2, "expected": f"{history.newest}.9"}
    assert gone(history.prune(check=True, keep_last=2)) == []
    predicted = history.prune(check=True, **options)
    assert gone(predicted) == [old]
    assert reasons(predicted, f"{history.newest}.9")[0] == "the newest verified one"
    assert gone(history.prune(check=True, **{**options, "expected": history.newest})) == []
    assert (
        "max_bytes" in history.prune(check=True, keep_last=9, max_bytes=str(history.bytes // 2), expected="new").error
    )
    history.change(history.newest, suspicious=[{"schema": "public", "table": "treenode"}])
    assert "is suspicious" in history.prune(check=True, **options).result["refused"]
    history.change(history.newest, suspicious=[])
    assert gone(history.prune(**options)) == []


def test_what_is_not_ours_is_never_touched(history: History) -> None:
    old = history.add(3)
    foreign = [history["notes.txt"], history["dump.sql"], history["mine"] / "manifest.json"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("{")
    shutil.copytree(history[history.newest], history["before the big merge"])
    (history["link"]).symlink_to(history[old])
    other = run_module("pg_dump", login_db="postgres", dest=history.dest).result["path"]
    done = history.prune(keep_last=1)
    assert gone(done) == [old]
    assert all(path.exists() for path in foreign)
    assert (history["before the big merge"] / "manifest.json").exists()
    assert (history["link"]).is_symlink()
    assert os.path.exists(other)
    warned = " ".join(str(warning) for warning in done.result["warnings"])
    assert all(name in warned for name in ("notes.txt", "dump.sql", "mine", "before the big merge", "link"))


def test_refuses_rules_that_would_remove_all_but_one(history: History) -> None:
    for options in ({}, {"keep_within": "0"}):
        for check in (True, False):
            assert "every rule is zero" in history.prune(check=check, **options).error
    assert "is none" in history.prune(keep_last=1, max_bytes="much").error
    nothing = run_module("backup_prune", dest=history.dest, database="nothing there")
    assert not nothing.changed
    assert not os.path.exists(os.path.join(history.dest, store.safe("nothing there")))


def test_held_ones_stay_until_they_are_let_go(history: History, dest: str) -> None:
    old = history.add(300)
    assert history.hold(old, reason="the paper").changed
    done = history.prune(keep_last=1)
    assert reasons(done, old) == ["held"]
    assert not done.changed
    held = {b["id"]: b["held"] for b in run_module("backup_info", dest=dest).result["backups"]}
    assert held == {old: True, history.newest: False}
    assert history.hold(old, state="absent").changed
    assert gone(history.prune(keep_last=1)) == [old]


def test_nothing_goes_while_nobody_can_know_what_is_held(history: History) -> None:
    old = history.add(300)
    (history["holds.json"]).write_text("{")
    assert "holds.json" in history.prune(keep_last=1).error
    assert history.there() == sorted([old, history.newest])


def test_a_suspicious_newest_one_stops_everything_until_it_is_accepted(history: History, dest: str) -> None:
    old = history.add(3)
    lost = [{"schema": "public", "table": "treenode", "before": 100, "after": 1, "percent": 99.0}]
    history.change(history.newest, suspicious=lost)
    done = history.prune(keep_last=1)
    assert not done.changed
    assert "is suspicious" in done.result["refused"]
    assert "is suspicious" in str(done.result["warnings"])
    assert history.hold(history.newest, state="accepted", reason="test project removed").changed
    assert not history.hold(history.newest, state="accepted").changed
    assert [b["suspicious"] for b in run_module("backup_info", dest=dest).result["backups"]] == [False, False]
    assert gone(history.prune(keep_last=1)) == [old]


def test_a_damaged_newest_one_does_not_cost_the_good_one(history: History) -> None:
    good, old = history.add(1), history.add(2)
    shutil.rmtree(history[history.newest] / "dump")
    done = history.prune(keep_last=1)
    assert gone(done) == [old]
    assert reasons(done, good)[0] == "the newest verified one"
    assert reasons(done, history.newest) == ["damaged, but not old enough to go"]


def test_those_of_the_future_stay_and_are_told(history: History) -> None:
    future, old = history.add(-30), history.add(1)
    done = history.prune(keep_last=1)
    assert gone(done) == [old]
    assert history.there() == sorted([future, history.newest])
    assert "in the future" in str(done.result["warnings"])


def test_caps(history: History) -> None:
    names = [history.add(days) for days in (1, 2, 3)]
    history.hold(names[2])
    size = f"{3 * history.bytes // 1024 + 1}K"
    assert gone(history.prune(check=True, keep_last=9, max_bytes=size)) == [names[1]]
    assert gone(history.prune(keep_last=9, max_bytes=size)) == [names[1]]
    for check in (True, False):
        failed = history.prune(check=check, keep_last=9, max_bytes=str(history.bytes))
        assert f"max_bytes {history.bytes} lacks" in failed.error
        assert failed.result["changed"] is False
    assert "min_free_bytes" in history.prune(keep_last=9, min_free="4000T").error
    assert history.there() == sorted([names[0], names[2], history.newest])
    status = json.loads((history["status.json"]).read_text())["prune"]["last"]
    assert status["ok"] is False
    assert "min_free_bytes" in status["message"]


def test_free_space_is_made(original: Run, small_disk: str) -> None:
    history = History(original, small_disk)
    names = [history.add(days) for days in (1, 2, 3)]
    free = shutil.disk_usage(small_disk).free
    done = history.prune(keep_last=9, min_free=str(free + history.bytes // 2))
    assert gone(done) == [names[2]]
    assert shutil.disk_usage(small_disk).free >= free + history.bytes // 2


def test_a_killed_run_leaves_nothing_that_looks_like_a_backup(history: History) -> None:
    """Thousands of files make the removal long enough to be killed in its middle."""
    names = [history.add(days) for days in (1, 2)]
    for name in names:
        for number in range(20000):
            os.link(history[name] / "manifest.json", history[name] / "dump" / f"f{number}")
    arguments = {**NO_RULE, "keep_last": 1}
    running = support.start_module("backup_prune", dest=history.dest, database=history.database, **arguments)
    (half,) = wait_for(lambda: list(history.folder.glob(".partial-gone-*")))
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert half.name == f".partial-gone-{names[1]}"
    assert half.exists()
    assert history.there() == sorted([names[0], history.newest])
    found = run_module("backup_info", dest=history.dest, verify=True).result
    assert [os.path.basename(path) for path in found["incomplete"]] == [half.name]
    assert [backup["sound"] for backup in found["backups"]] == [True, True]
    again = history.prune(keep_last=2)
    assert again.changed
    assert again.result["leftovers"] == [half.name]
    assert not half.exists()
    assert not history.prune(keep_last=2).changed


def test_one_that_is_being_read_stays(history: History) -> None:
    old = history.add(3)
    with store.using(str(history[old])):
        for check in (True, False):
            done = history.prune(check=check, keep_last=1)
            assert not done.changed
            assert reasons(done, old) == ["somebody is reading it"]
    assert gone(history.prune(keep_last=1)) == [old]


def test_what_is_held_in_the_last_moment_stays(history: History) -> None:
    """Who decides waits for the turn of the one that removes, and the other way round."""
    old = history.add(3)
    with holds.turn(str(history.folder)):
        arguments = {**NO_RULE, "keep_last": 1}
        running = support.start_module("backup_prune", dest=history.dest, database=history.database, **arguments)
        time.sleep(0.5)
        entries = {"held": {old: {"reason": "just now", "since": "", "by": ""}}}
        (history["holds.json"]).write_text(json.dumps(entries))
    assert not support.finish_module(running).changed
    assert history.there() == sorted([old, history.newest])


@pytest.mark.parametrize("wait", [0, 30])
def test_it_keeps_out_of_the_way_of_other_jobs(history: History, wait: int) -> None:
    old = history.add(3)
    lock = {"login_db": history.database}
    token = run_module("job_lock", job="restore (AWX job 7)", max_age="3s" if wait else "1h", **lock).result["token"]
    try:
        if wait:
            assert gone(history.prune(keep_last=1, lock_wait=wait)) == [old]
        else:
            assert "is locked by restore (AWX job 7) (pid " in history.prune(keep_last=1).error
            assert history.there() == sorted([old, history.newest])
            assert gone(history.prune(keep_last=1, lock_token=token)) == [old]
    finally:
        run_module("job_lock", state="released", force=True, **lock)


def test_a_folder_that_cannot_be_written_is_told(original: Run, small_disk: str) -> None:
    history = History(original, small_disk)
    old = history.add(3)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert gone(history.prune(check=True, keep_last=1)) == [old]
    assert "Read-only file system" in history.prune(keep_last=1).error
    assert history.there() == sorted([old, history.newest])


def test_sizes_of_people() -> None:
    wanted = {"0": 0, "512": 512, "1.5K": 1536, "2 MiB": 2 << 20, "50G": 50 << 30, "1tb": 1 << 40}
    assert {text: store.size(text) for text in wanted} == wanted
