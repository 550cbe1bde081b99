# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup_hold: decisions about backups are noted beside them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.support import Run, finish_module, run_module
from tests.integration.test_pg_dump import dump

pytestmark = pytest.mark.once("bookworm")


@pytest.fixture
def made(database: str, dest: str) -> dict[str, Any]:
    return dump(database, dest).result


def hold(database: str, dest: str, name: str, check: bool = False, **options: Any) -> Run:
    return run_module("backup_hold", check=check, dest=dest, database=database, id=name, **options)


def test_holds_and_lets_go(database: str, dest: str, made: dict[str, Any]) -> None:
    name, path = made["id"], Path(made["path"]).parent / "holds.json"
    predicted = hold(database, dest, name, check=True, reason="the paper")
    assert not path.exists()
    done = hold(database, dest, name, reason="the paper", requested_by="AWX job 7")
    assert done.changed
    assert {**predicted.result, "invocation": 0} == {**done.result, "invocation": 0}
    assert done.result["held"] == [name]
    entry = json.loads(path.read_text())["held"][name]
    assert (entry["reason"], entry["by"]) == ("the paper", "AWX job 7")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not hold(database, dest, name).changed
    assert not hold(database, dest, name, reason="the paper").changed
    assert hold(database, dest, name, reason="both papers").changed
    found = run_module("backup_info", dest=dest).result
    assert found["newest"]["held"] is True
    assert found["foreign"] == []

    assert hold(database, dest, name, check=True, state="absent").changed
    released = hold(database, dest, name, state="absent")
    assert released.changed
    assert released.result["held"] == []
    assert not hold(database, dest, name, state="absent").changed
    assert run_module("backup_info", dest=dest).result["newest"]["held"] is False


def test_a_name_that_is_not_there_is_refused(database: str, dest: str, made: dict[str, Any]) -> None:
    for check in (True, False):
        refused = hold(database, dest, "yesterday's", check=check)
        assert "there is none of this name" in refused.error
        assert made["id"] in refused.error
    assert not hold(database, dest, "yesterday's", state="absent").changed
    assert not hold("no database", dest, "x", state="absent").changed
    assert not os.path.exists(os.path.join(dest, "no%20database"))


def test_many_at_once_lose_nothing(database: str, dest: str) -> None:
    names = [dump(database, dest).result["id"] for _ in range(3)]
    running = [
        support.start_module("backup_hold", dest=dest, database=database, id=name, state=state)
        for name in names
        for state in ("present", "accepted")
    ]
    assert all(finish_module(process).changed for process in running)
    last = hold(database, dest, names[0])
    assert last.result["held"] == last.result["accepted"] == names


def test_a_damaged_file_is_not_overwritten(database: str, dest: str, made: dict[str, Any]) -> None:
    path = Path(made["path"]).parent / "holds.json"
    path.write_text('{"held": []}')
    assert "holds.json" in hold(database, dest, made["id"]).error
    assert path.read_text() == '{"held": []}'
    newest = run_module("backup_info", dest=dest).result["newest"]
    assert newest["held"] is True  # as long as nobody knows
