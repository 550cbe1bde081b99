# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup_fetch: a copy comes back as a backup that can be restored, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store

from tests.integration import support
from tests.integration.offsite import ACCESS, SECRET, Account, Key, Store
from tests.integration.support import Run, run_module
from tests.integration.test_backup_copy import PLAIN, copy
from tests.integration.test_pg_dump import dump

pytestmark = pytest.mark.once("bookworm")


def fetch(database: str, dest: str, target: dict[str, Any], **more: Any) -> Run:
    return run_module("backup_fetch", dest=dest, database=database, target=target, **more)


def temporary(*parents: str) -> list[str]:
    """Return what should not be there after a run: staging folders, and homes of gpg."""
    found = [str(path) for parent in parents for path in Path(parent).rglob(".copying*")]
    return found + [str(path) for path in Path("/dev/shm").glob("catmaid-admin-*")]


def test_brings_a_copy_back_that_can_be_restored(
    database: str, dest: str, s3: Store, age_key: Key, tmp_path: Path, unused: Callable[[], str]
) -> None:
    made = dump(database, dest).result
    assert copy(database, dest, s3.target(), encryption=age_key.encryption()).changed
    elsewhere = str(tmp_path / "another host")
    key = {"identity_file": str(age_key.path)}
    foreseen = fetch(database, elsewhere, s3.target(), check=True)
    assert foreseen.changed
    assert foreseen.result["id"] == made["id"]
    assert [one["id"] for one in foreseen.result["copies"]] == [made["id"]]
    assert not os.path.exists(elsewhere)
    done = fetch(database, elsewhere, s3.target(), **key)
    assert done.changed
    assert done.result["path"] == f"{elsewhere}/{store.safe(database)}/{made['id']}"
    assert subprocess.run(["diff", "-r", made["path"], done.result["path"]], check=False).returncode == 0
    assert not fetch(database, elsewhere, s3.target(), **key).changed
    listed = run_module("backup_info", dest=elsewhere, database=database, verify=True).result
    assert [(one["id"], one["problems"]) for one in listed["backups"]] == [(made["id"], [])]
    assert listed["foreign"] == listed["incomplete"] == []
    again = unused()
    assert run_module("pg_restore", archive=done.result["path"], login_db=again).changed
    assert support.rows(again)["public.treenode"] == support.rows(database)["public.treenode"]
    assert temporary(elsewhere) == []


def test_takes_a_key_as_text_and_keeps_it_nowhere(
    database: str, dest: str, account: Account, gpg_key: Key, tmp_path: Path
) -> None:
    first = dump(database, dest).result
    assert dump(database, dest).changed
    assert copy(database, dest, account.rsync(), encryption=gpg_key.encryption("gpg")).changed
    elsewhere = str(tmp_path / "another host")
    done = fetch(database, elsewhere, account.rsync(), identity=gpg_key.private, id=first["id"])
    assert done.changed
    assert done.result["id"] == first["id"]
    assert "PGP PRIVATE" not in done.output
    assert temporary(elsewhere) == []
    assert support.processes("gpg-agent") == []


def test_takes_nothing_that_it_cannot_trust(database: str, dest: str, s3: Store, age_key: Key, tmp_path: Path) -> None:
    made = dump(database, dest).result
    assert copy(database, dest, s3.target(), encryption=age_key.encryption()).changed
    elsewhere = str(tmp_path / "another host")
    other = tmp_path / "other"
    subprocess.run(["age-keygen", "-o", str(other)], check=True, capture_output=True)
    for key, says in (
        ({}, "is encrypted with age, and there is no key"),
        ({"identity_file": str(other)}, "no identity matched"),
        ({"identity": "nonsense"}, "age failed with code 1"),
    ):
        assert says in fetch(database, elsewhere, s3.target(), **key).error
    assert "is not there" in fetch(database, elsewhere, s3.target(), id="another", identity="x").error
    sealed = next(s3.folder.rglob("*.tar.age"))
    data = bytearray(sealed.read_bytes())
    data[-1] ^= 1
    sealed.write_bytes(data)
    rotten = fetch(database, elsewhere, s3.target(), identity_file=str(age_key.path))
    assert "is not what was written there (SHA-256)" in rotten.error
    assert run_module("backup_info", dest=elsewhere).result["backups"] == []
    assert temporary(elsewhere) == []
    # Half a file is known to be damaged before it is fetched, and copied again.
    sealed.write_bytes(data[:1000])
    assert "is damaged" in fetch(database, elsewhere, s3.target(), id=made["id"]).error
    assert copy(database, dest, s3.target(), encryption=age_key.encryption()).changed
    assert fetch(database, elsewhere, s3.target(), identity_file=str(age_key.path)).changed


def documented(name: str) -> str:
    """Return the commands of an example in docs/offsite.md."""
    text = (support.CHECKOUT / "docs/offsite.md").read_text()
    block = text.split(f"<!-- tested: {name} -->\n```console\n")[1].split("```")[0]
    return "".join(line.removeprefix("$ ") for line in block.splitlines(keepends=True))


def test_comes_back_by_hand_as_documented(database: str, dest: str, s3: Store, age_key: Key, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    (media / "mesh").write_text("a mesh")
    settings = tmp_path / "settings.py"
    settings.write_text("SECRET_KEY = 1")
    more = {"media_path": str(media), "files": [str(settings)], "encryption": age_key.encryption()}
    made = dump(database, dest, **more).result
    target = s3.target(path=f"{s3.folder.name}/catmaid")
    assert copy(database, dest, target, encryption=age_key.encryption()).changed
    script = documented("configure") + documented("fetch") + documented("files")
    for written, real in {
        "https://s3.example.org": target["options"]["endpoint"],
        "KEY_ID=catmaid-backup": f"KEY_ID={ACCESS}",
        "STORE:lab-backups/catmaid/catmaid": f"STORE:{target['path']}/{store.safe(database)}",
        "id=catmaid_20261123T030000Z_2021.12.21": f"id='{made['id']}'",
        "catmaid-backup.key": str(age_key.path),
        "/path/to/media": "back",
        "somewhere": "back",
    }.items():
        assert written in script
        script = script.replace(written, real)
    place = tmp_path / "by hand"
    (place / "back").mkdir(parents=True)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], input=f"{SECRET}\n", cwd=place, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    marks = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert f"{json.loads(marks[0])['sha256']}  -" in done.stdout
    assert "TABLE DATA public treenode" in done.stdout
    assert subprocess.run(["diff", "-r", made["path"], str(place / made["id"])], check=False).returncode == 0
    assert (place / "back/mesh").read_text() == "a mesh"
    assert (place / "back" / str(settings).lstrip("/")).read_text() == "SECRET_KEY = 1"


def test_refuses_a_disk_that_is_too_small(database: str, dest: str, s3: Store, disk: Callable[..., Path]) -> None:
    assert dump(database, dest).changed
    assert copy(database, dest, s3.target(**PLAIN)).changed
    small = disk("80m")
    ballast = small / "ballast"
    ballast.write_bytes(bytes(30 * 1024 * 1024))
    assert "bytes are needed" in fetch(database, str(small), s3.target()).error
    ballast.unlink()
    assert fetch(database, str(small), s3.target()).changed
