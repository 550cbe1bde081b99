# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module clone_target lets nobody's work be replaced by a copy, and knows a copy again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.instances import finish, start

pytestmark = pytest.mark.once("trixie")


def test_nobodys_work_is_replaced_by_a_copy(double_database: Callable[..., str], dest: str) -> None:
    database = double_database("2030.06.20", 1000)
    other = double_database("2030.06.20", 1000)
    backup = finish(start("pg_dump", login_db=other, dest=dest))["path"]

    def target(name: str, **more: Any) -> dict[str, Any]:
        return finish(start("clone_target", login_db=name, archive=backup, **more))

    assert "the backup is of this very database" in target(other, replace=True)["msg"]
    assert "it was no copy until now, and has 1000 treenodes" in target(database)["msg"]
    planned = target(database, replace=True, _ansible_check_mode=True)
    assert planned["changed"] and "failed" in target(database)
    marked = target(database, replace=True)
    assert (marked["changed"], marked["marked"], marked["treenodes"]) == (True, False, 1000)
    again = target(database)
    assert (again["changed"], again["marked"]) == (False, True)
    gone = target("there_is_none")
    assert (gone["changed"], gone["there"]) == (False, False)
