# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup_copy when targets are down, lie or are full, or it is killed: nothing looks whole that is not."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.offsite import SECRET, Account, Proxy, Served, Store, free_port
from tests.integration.support import run_module
from tests.integration.test_backup_copy import PLAIN, copy
from tests.integration.test_backup_fetch import temporary
from tests.integration.test_pg_dump import dump

pytestmark = pytest.mark.once("bookworm")

# What no client repeats.
ERROR = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def marks(files: list[str]) -> list[str]:
    return [name for name in files if name.endswith(".json")]


def recovers(database: str, dest: str, target: dict[str, Any], files: Callable[[], list[str]]) -> None:
    """Check that the local backup is whole, and that the next run leaves a copy and nothing else."""
    listed = run_module("backup_info", dest=dest, database=database, verify=True).result
    assert [one["problems"] for one in listed["backups"]] == [[]]
    assert copy(database, dest, target).changed
    assert not copy(database, dest, target).changed
    assert [name[-4:] for name in files()] == ["json", ".tar"]
    assert temporary(dest) == []


def test_goes_on_with_the_others_when_a_target_is_down(database: str, dest: str, s3: Store) -> None:
    made = dump(database, dest).result
    down = s3.target(name="down", port=free_port(), **PLAIN)
    failed = copy(database, dest, down, s3.target(**PLAIN))
    assert "connection refused" in failed.error
    assert failed.error.count("store:") == 0
    told = {one["target"]: one for one in failed.result["targets"]}
    assert not told["down"]["ok"]
    assert told["store"]["ok"]
    assert [one["id"] for one in told["store"]["copied"]] == [made["id"]]
    assert failed.result["changed"]
    # It catches up as soon as it is back.
    elsewhere = s3.target(name="down", path=f"{s3.folder.name}/second", **PLAIN)
    assert [one["id"] for one in copy(database, dest, elsewhere).result["targets"][0]["copied"]] == [made["id"]]


@pytest.mark.parametrize("answer", [b"", ERROR], ids=["cut", "error"])
def test_survives_a_store_that_fails_half_way(
    noisy: str, dest: str, s3_program: None, tmp_path: Path, answer: bytes
) -> None:
    assert dump(noisy, dest).changed
    # A server of its own, started again afterwards: it would go on waiting for the rest of an upload.
    own = Store(free_port(), tmp_path / "buckets/own")
    own.folder.mkdir(parents=True)
    with Served(own.folder.parent, own.port):
        proxy = Proxy(own.port, 6_000_000, answer)
        failed = copy(noisy, dest, own.target(port=proxy.port, **PLAIN))
        proxy.close()
    assert "rclone failed with code 1" in failed.error
    assert "Look at the target's address" in failed.error
    assert failed.result["targets"][0]["copied"] == []
    assert marks(own.files()) == []
    with Served(own.folder.parent, own.port):
        recovers(noisy, dest, own.target(**PLAIN), own.files)


def test_says_that_credentials_are_wrong(database: str, dest: str, s3: Store) -> None:
    assert dump(database, dest).changed
    failed = copy(database, dest, s3.target(secret="wrong-and-secret", **PLAIN))
    assert "SignatureDoesNotMatch" in failed.error
    assert "wrong-and-secret" not in failed.output
    assert SECRET not in failed.output
    assert s3.files() == []


def test_says_that_there_is_no_such_bucket(database: str, dest: str, s3: Store) -> None:
    assert dump(database, dest).changed
    failed = copy(database, dest, s3.target(path="misspelled/x", **PLAIN))
    assert "NoSuchBucket" in failed.error
    assert not (s3.folder.parent / "misspelled").exists()


def test_sends_nothing_to_a_host_that_is_another(database: str, dest: str, account: Account, chrooted: Account) -> None:
    assert dump(database, dest).changed
    other = Path(account.key).with_suffix(".pub").read_text()
    for known_hosts in (account.known_hosts, chrooted.known_hosts):
        known_hosts.write_text(f"localhost {other}")
    failed = copy(database, dest, account.rsync(**PLAIN), chrooted.sftp(**PLAIN))
    assert "neighbours: " in failed.error
    assert "Host key verification failed" in failed.error
    assert "key mismatch" in failed.error or "knownhosts" in failed.error
    assert account.files() == chrooted.files() == []
    assert temporary(dest) == []


def test_survives_a_full_disk_over_there(
    noisy: str, dest: str, s3: Store, account: Account, disk: Callable[..., Path]
) -> None:
    assert dump(noisy, dest).changed
    bucket = disk("8m", s3.folder)
    folder = disk("8m", account.home / "off site")
    shutil.chown(folder, account.name, account.name)
    full = copy(noisy, dest, s3.target(**PLAIN), account.rsync(**PLAIN))
    assert [one["ok"] for one in full.result["targets"]] == [False, False]
    assert "No space left on device" in full.result["targets"][1]["message"]
    assert marks(s3.files()) == marks(account.files()) == []
    for place in (bucket, folder):
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
    recovers(noisy, dest, s3.target(**PLAIN), s3.files)
    recovers(noisy, dest, account.rsync(**PLAIN), account.files)


@pytest.mark.parametrize("kind", ["rclone", "rsync"])
def test_leaves_nothing_when_it_is_killed(noisy: str, dest: str, s3: Store, account: Account, kind: str) -> None:
    assert dump(noisy, dest).changed
    target = s3.target(**PLAIN) if kind == "rclone" else account.rsync(**PLAIN)
    files = s3.files if kind == "rclone" else account.files
    slow = {**target, "bandwidth": 1000}
    running = support.start_module("backup_copy", dest=dest, database=noisy, targets=[slow])
    words = ("rcat",) if kind == "rclone" else ("--relative",)
    wait_for(lambda: support.processes(kind, *words))
    wait_for(files)  # it has begun
    locked = copy(noisy, dest, target)
    assert f"is locked by copying backups of database {noisy} (pid {running.pid}" in locked.error
    running.kill()
    running.communicate()
    wait_for(lambda: not support.processes(kind, *words))
    assert marks(files()) == []
    recovers(noisy, dest, target, files)


def wait_for(look: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what ``look`` gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")
