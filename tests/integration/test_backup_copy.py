# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup_copy to a server that speaks S3, to SFTP, and by rsync: what is there is a backup, and only that."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store

from tests.integration import support
from tests.integration.offsite import SECRET, Account, Key, Store
from tests.integration.support import Run, run_module
from tests.integration.test_pg_dump import backups, dump

pytestmark = pytest.mark.once("bookworm")

PLAIN = {"encrypt": False}


def copy(database: str, dest: str, *targets: dict[str, Any], **more: Any) -> Run:
    return run_module("backup_copy", dest=dest, database=database, targets=list(targets), **more)


def folder(database: str) -> str:
    return store.safe(database)


def test_copies_to_an_object_store_encrypted(database: str, dest: str, s3: Store, age_key: Key) -> None:
    made = dump(database, dest).result
    args = {"encryption": age_key.encryption()}
    foreseen = copy(database, dest, s3.target(), check=True, **args)
    assert foreseen.changed
    assert [one["id"] for one in foreseen.result["targets"][0]["copied"]] == [made["id"]]
    assert s3.files() == []
    done = copy(database, dest, s3.target(), **args)
    assert done.changed
    assert [one["id"] for one in done.result["targets"][0]["copied"]] == [made["id"]]
    path = s3.folder / "a folder" / folder(database)
    assert s3.files() == sorted(f"a folder/{path.name}/{made['id']}{end}" for end in (".json", ".tar.age"))
    mark = json.loads((path / f"{made['id']}.json").read_text())
    assert mark == done.result["targets"][0]["backups"][0]
    sealed = path / f"{made['id']}.tar.age"
    assert hashlib.sha256(sealed.read_bytes()).hexdigest() == mark["sha256"]
    assert made["manifest"]["source"] is None
    assert b"treenode" not in sealed.read_bytes()
    # By hand, with nothing but age and tar.
    target = Path(dest).parent / "by hand"
    target.mkdir()
    subprocess.run(f"age -d -i '{age_key.path}' '{sealed}' | tar -x -C '{target}'", shell=True, check=True)
    assert subprocess.run(["diff", "-r", made["path"], str(target / made["id"])], check=False).returncode == 0
    again = copy(database, dest, s3.target(), **args)
    assert not again.changed
    assert not copy(database, dest, s3.target(), check=True, **args).changed
    assert again.result["diff"]["before"] == again.result["diff"]["after"] == {"store": [made["id"]]}


def test_copies_in_parts(noisy: str, dest: str, s3: Store, gpg_key: Key) -> None:
    assert dump(noisy, dest).changed
    done = copy(noisy, dest, s3.target(), encryption=gpg_key.encryption("gpg"))
    assert done.changed
    mark = done.result["targets"][0]["backups"][0]
    assert mark["bytes"] > 10_000_000
    assert mark["encryption"] == "gpg"


def test_needs_somebody_to_encrypt_to(database: str, dest: str, s3: Store, age_key: Key) -> None:
    made = dump(database, dest).result
    assert "there is nobody to encrypt to" in copy(database, dest, s3.target()).error
    refused = copy(database, dest, s3.target(), encryption={"method": "age", "recipients": [age_key.private]})
    assert "recipients holds a private key of age" in refused.error
    wrong = copy(database, dest, s3.target(), encryption={"method": "age", "recipients": ["age1nonsense"]})
    assert "malformed recipient" in wrong.error
    assert s3.files() == []
    assert copy(database, dest, s3.target(**PLAIN)).changed
    plain = next(s3.folder.rglob("*.tar"))
    listed = subprocess.run(["tar", "-tf", str(plain)], check=True, capture_output=True, text=True).stdout.splitlines()
    assert listed[:2] == [f"{made['id']}/", f"{made['id']}/manifest.json"]


def test_copies_by_sftp_into_a_folder_that_cannot_be_left(
    database: str, dest: str, chrooted: Account, age_key: Key
) -> None:
    made = dump(database, dest).result
    args = {"encryption": age_key.encryption()}
    assert copy(database, dest, chrooted.sftp(), **args).changed
    inside = f"copies/off site/{folder(database)}/{made['id']}"
    assert chrooted.files() == [f"{inside}.json", f"{inside}.tar.age"]
    assert not copy(database, dest, chrooted.sftp(), **args).changed
    assert dump(database, dest).changed
    last = copy(database, dest, chrooted.sftp(keep_last=1), **args)
    assert last.result["targets"][0]["removed"] == [made["id"]]
    assert len(chrooted.files()) == 2


def test_copies_by_rsync(database: str, dest: str, account: Account, age_key: Key) -> None:
    made = dump(database, dest).result
    args = {"encryption": age_key.encryption()}
    assert copy(database, dest, account.rsync(), check=True, **args).changed
    assert account.files() == []
    assert copy(database, dest, account.rsync(), **args).changed
    inside = f"off site/{folder(database)}/{made['id']}"
    assert account.files() == [f"{inside}.json", f"{inside}.tar.age"]
    assert os.stat(account.home / f"{inside}.tar.age").st_mode & 0o777 == 0o600
    assert sorted(os.listdir(dest)) == [folder(database)]
    assert not copy(database, dest, account.rsync(), **args).changed
    assert dump(database, dest).changed
    foreign = account.home / f"off site/{folder(database)}/notes.txt"
    foreign.write_text("mine")
    last = copy(database, dest, account.rsync(keep_last=1), **args)
    assert last.result["targets"][0]["removed"] == [made["id"]]
    assert last.result["targets"][0]["foreign"] == ["notes.txt"]
    assert len(account.files()) == 3
    assert sorted(os.listdir(dest)) == [folder(database)]


def test_needs_no_more_than_rrsync(database: str, dest: str, account: Account) -> None:
    keys = Path(f"/etc/ssh/{account.name}.keys")
    keys.write_text(f'restrict,command="rrsync {account.home}" {keys.read_text()}')
    target = account.rsync(path="copies", keep_last=1, **PLAIN)
    assert dump(database, dest).changed
    assert copy(database, dest, target).changed
    made = dump(database, dest).result
    assert copy(database, dest, target).changed
    assert not copy(database, dest, target).changed
    inside = f"copies/{folder(database)}/{made['id']}"
    assert account.files() == [f"{inside}.json", f"{inside}.tar"]


def test_keeps_on_each_target_what_its_rules_say_and_lets_it_catch_up(
    database: str, dest: str, s3: Store, account: Account
) -> None:
    ids = [dump(database, dest).result["id"] for _ in range(3)]
    bucket, neighbours = s3.target(keep_last=2, **PLAIN), account.rsync(keep_last=1, **PLAIN)
    done = {one["target"]: one for one in copy(database, dest, bucket, neighbours).result["targets"]}
    # The oldest would have to go at once: it is not even copied.
    assert [one["id"] for one in done["store"]["copied"]] == [ids[2], ids[1]]
    assert [one["id"] for one in done["neighbours"]["copied"]] == [ids[2]]
    newest = dump(database, dest).result["id"]
    args = {"check": True}
    foreseen = {one["target"]: one for one in copy(database, dest, bucket, neighbours, **args).result["targets"]}
    assert foreseen["store"]["removed"] == [ids[1]]
    done = {one["target"]: one for one in copy(database, dest, bucket, neighbours).result["targets"]}
    assert [one["id"] for one in done["store"]["backups"]] == [newest, ids[2]]
    assert done["store"]["removed"] == foreseen["store"]["removed"]
    assert [one["id"] for one in done["neighbours"]["backups"]] == [newest]
    # What is kept here for less time stays there.
    only = {"keep_daily": 0, "keep_weekly": 0, "keep_monthly": 0}
    assert run_module("backup_prune", dest=dest, database=database, keep_last=1, **only).changed
    assert len([name for name in backups(dest, database) if name.count("_") > 1]) == 1
    assert not copy(database, dest, bucket, neighbours).changed
    assert len(list(s3.folder.rglob("*.json"))) == 2


def test_does_not_copy_what_has_rotted(database: str, dest: str, s3: Store) -> None:
    made = dump(database, dest).result
    victim = next(Path(made["path"], "dump").glob("*.dat*"))
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    failed = copy(database, dest, s3.target(**PLAIN))
    assert f"dump/{victim.name}: its contents have changed (SHA-256)" in failed.error
    assert [name for name in s3.files() if name.endswith(".json")] == []
    assert failed.result["targets"][0]["copied"] == []


def test_tells_secrets_to_nobody(noisy: str, dest: str, s3: Store, age_key: Key) -> None:
    assert dump(noisy, dest).changed
    seen: set[str] = set()
    target = s3.target(bandwidth=4000)
    args = {"dest": dest, "database": noisy, "encryption": age_key.encryption(), "targets": [target]}
    running = support.start_module("backup_copy", **args)
    while running.poll() is None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(path.read_bytes().decode(errors="replace"))
            except OSError:
                continue
        time.sleep(0.02)
    done = support.finish_module(running)
    assert done.changed
    assert any("rcat" in line for line in seen)
    assert not [line for line in seen if SECRET in line]
    assert SECRET not in done.output.replace(json.dumps(args), "")
    journal = subprocess.run(["journalctl", "--since=-5min"], check=True, capture_output=True, text=True).stdout
    assert SECRET not in journal


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"backend": None}, "needs either remote or backend"),
        ({"options": {"secret_access_key": "x"}}, "is a secret and stands in options"),
        ({"path": "/"}, "there is no path"),
        ({"host": "elsewhere"}, "host means nothing for type rclone"),
        ({"keep_last": 0}, "every rule is zero"),
    ],
)
def test_refuses_what_cannot_be_meant(dest: str, s3: Store, wrong: dict[str, Any], says: str) -> None:
    assert says in copy("any", dest, s3.target(**{**PLAIN, **wrong})).error


def test_takes_a_remote_of_a_configuration_file(database: str, dest: str, s3: Store, tmp_path: Path) -> None:
    assert dump(database, dest).changed
    described = s3.target()
    lines = [f"{key} = {value}" for key, value in {**described["options"], **described["secrets"]}.items()]
    config = tmp_path / "rclone.conf"
    config.write_text("\n".join(["[lab store]", "type = s3", *lines]) + "\n")
    target = {"name": "store", "remote": "lab store", "config_file": str(config), "path": described["path"], **PLAIN}
    assert copy(database, dest, target).changed
    assert not copy(database, dest, target).changed
