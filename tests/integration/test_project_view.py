# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""project_view: the rows of one project, and of no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration import support
from tests.integration.double_fixtures import OLDEST, generate
from tests.integration.support import run_module, sql, value

pytestmark = pytest.mark.once("bookworm")

THERE = "SELECT count(*) FROM pg_views WHERE schemaname = 'project_1'"


def view(database: str, project: int, **options: Any) -> support.Run:
    return run_module("project_view", login_db=database, project=project, **options)


def test_shows_one_projects_rows_as_a_check_said(double_database: Callable[..., str]) -> None:
    database = double_database(OLDEST, 0)
    generate(database, 1000, project=1)
    generate(database, 500, project=2)
    predicted = view(database, 1, check=True, diff=True)
    assert predicted.changed
    assert value(database, THERE) == "0"
    done = view(database, 1, diff=True)
    assert done.changed
    assert done.result["diff"] == predicted.result["diff"]
    assert set(done.result["made"]) >= {"project", "treenode", "connector", "treenode__history"}
    assert done.result["rows"]["treenode"] == 1000
    assert done.result["rows"]["project"] == 1
    for table in ("treenode", "connector", "location"):
        shown = sql(database, f"SELECT count(*), min(project_id), max(project_id) FROM project_1.{table}")
        number = value(database, f"SELECT count(*) FROM ONLY {table} WHERE project_id = 1")
        assert shown == [[number, *(["1", "1"] if number != "0" else ["", ""])]]
    for check in (True, False):
        assert not view(database, 1, check=check).changed
    assert view(database, 2).result["rows"]["treenode"] == 500
    for check in (True, False):
        error = view(database, 77, check=check).error
        assert "there is no such project" in error
        assert "There are: 1 (" in error


def test_refuses_a_database_that_is_none_of_catmaid(database: str) -> None:
    assert "no table project" in view(database, 1).error


def test_a_check_takes_a_database_that_is_to_be_restored_for_one_with_the_project() -> None:
    predicted = view("double_not_restored_yet", 1, check=True)
    assert (predicted.changed, predicted.result["schema"]) == (True, "project_1")
    assert view("double_not_restored_yet", 1).error
