# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup_verify: a backup that has changed on the disk is found and named, the others are proven."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.support import run_module

pytestmark = pytest.mark.once("trixie")


def verify(dest: str, **options: Any) -> support.Run:
    return run_module("backup_verify", dest=dest, **options)


def status(dest: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return what is noted of the verifications of the database whose backup that is."""
    found = json.loads(Path(os.path.dirname(result["path"]), "status.json").read_text(encoding="utf-8"))
    return dict(found.get("verify", {}))


def test_whole_backups_are_proven_and_damaged_ones_named(database: str, dest: str) -> None:
    assert "there is no backup of any database" in verify(dest).error
    first, second, other = (
        run_module("pg_dump", login_db=db, dest=dest).result for db in (database, database, "postgres")
    )
    assert status(dest, first) == {}
    read = verify(dest, check=True)
    assert not read.changed
    assert status(dest, first) == {}

    read = verify(dest, requested_by="a test")
    assert not read.changed
    assert {one["id"] for one in read.result["verified"]} == {first["id"], second["id"], other["id"]}
    assert all(one["problems"] == [] for one in read.result["verified"])
    last = status(dest, first)["last"]
    assert (last["ok"], last["job"], last["backups"], last["id"]) == (True, "a test", 2, second["id"])
    assert status(dest, other)["last"]["backups"] == 1

    # One bit of the older one, whose size stays.
    path = max(Path(first["path"], "dump").iterdir(), key=lambda file: file.stat().st_size)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    failed = verify(dest, database=database)
    assert f"1 damaged: {first['path']}: dump/{path.name}: its contents have changed (SHA-256)" in failed.error
    assert [bool(one["problems"]) for one in failed.result["verified"]] == [False, True]
    last = status(dest, first)
    assert last["last"]["ok"] is False
    assert first["id"] in last["last"]["message"]
    assert last["success"]["job"] == "a test"
    # Each by its name.
    assert verify(dest, id=second["id"]).result["verified"][0]["path"] == second["path"]
    assert "1 damaged" in verify(dest, id=first["id"]).error
    assert "there is no backup nosuch" in verify(dest, id="nosuch").error

    # Without its manifest it is no backup any more. It must not go unnoticed for that.
    path.write_bytes(content)
    manifest = Path(first["path"], "manifest.json")
    manifest.write_text(manifest.read_text(encoding="utf-8")[:-100], encoding="utf-8")
    assert f"{first['path']}: it is damaged" in verify(dest).error
