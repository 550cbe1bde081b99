# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup_info: what is there, and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.support import run_module

pytestmark = pytest.mark.once("bookworm")


def test_lists_nothing_where_nothing_is(dest: str) -> None:
    for check in (True, False):
        found = run_module("backup_info", check=check, dest=dest)
        assert not found.changed
        assert found.result["backups"] == found.result["incomplete"] == found.result["foreign"] == []
        assert found.result["newest"] is None
    assert not os.path.exists(dest)


def test_lists_the_newest_first_and_everything_else_apart(
    database: str, dest: str, unused: Callable[[], str]
) -> None:  # fmt: skip
    made = [run_module("pg_dump", login_db=name, dest=dest).result for name in (database, "postgres", database)]
    folder = Path(made[0]["path"]).parent
    (folder / ".partial-dead").mkdir()
    (folder / "notes").mkdir()
    (folder / "old.sql").write_text("")
    (folder / "cut short").mkdir()
    (folder / "cut short" / "manifest.json").write_text('{"format": 1')

    every = run_module("backup_info", dest=dest, verify=True).result
    assert [backup["id"] for backup in every["backups"]] == [result["id"] for result in reversed(made)]
    assert all(backup["sound"] and backup["problems"] == [] for backup in every["backups"])
    assert every["newest"] == every["backups"][0]
    assert {os.path.basename(path) for path in every["incomplete"]} == {".partial-dead", "cut short"}
    assert {os.path.basename(path) for path in every["foreign"]} == {"notes", "old.sql"}

    of_one = run_module("backup_info", dest=dest, database=database).result["backups"]
    assert [backup["database"] for backup in of_one] == [database, database]
    newest = of_one[0]
    assert newest["path"] == made[2]["path"]
    assert newest["bytes"] == made[2]["bytes"]
    assert newest["rows"] == made[2]["rows"]
    assert newest["materializations"] == "safe"
    assert 0 <= newest["age"] < 600
    assert run_module("backup_info", dest=dest, database=unused()).result["backups"] == []


def test_passes_over_a_damaged_one(database: str, dest: str) -> None:
    old, new = (run_module("pg_dump", login_db=database, dest=dest).result for _ in range(2))
    contents = Path(new["path"], "dump", "toc.dat")
    whole = contents.read_bytes()

    contents.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run_module("backup_info", dest=dest).result["newest"]["id"] == new["id"]  # its size is right
    verified = run_module("backup_info", dest=dest, verify=True).result
    assert verified["newest"]["id"] == old["id"]
    assert [backup["sound"] for backup in verified["backups"]] == [False, True]
    assert "dump/toc.dat: its contents have changed" in verified["backups"][0]["problems"][0]

    contents.unlink()
    assert run_module("backup_info", dest=dest).result["newest"]["id"] == old["id"]
    # A backup that is damaged does not count as a young one either.
    assert run_module("pg_dump", login_db=database, dest=dest, min_age="1h").result["id"] == old["id"]
