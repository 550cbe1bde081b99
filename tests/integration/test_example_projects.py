# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module example_projects."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.double_fixtures import Release, psql
from tests.integration.instances import Instance

pytestmark = pytest.mark.once("trixie")

MODULE = "example_projects"
USER = {"username": "o'brien", "email": "admin@example.org", "password": "secret"}
TITLES = "SELECT string_agg(title, ', ' ORDER BY title) FROM project WHERE id > 0"


def test_they_are_made_once(double_release: Callable[..., Release], double_database: Callable[..., str]) -> None:
    database = double_database("2030.06.20", treenodes=0)
    here = Instance(double_release("2030.06.20", database), database)
    assert "no active superuser" in here.fail(MODULE, username="o'brien")["msg"]
    here.run("superuser", **USER)

    assert here.check(MODULE, username="o'brien")["changed"]
    assert psql(database, TITLES) == ""
    said = here.run(MODULE, username="o'brien")
    assert said["changed"] and "Default Project" in said["projects"]
    assert psql(database, TITLES) == ", ".join(said["projects"])
    assert here.run(MODULE, username="o'brien") == {**said, "changed": False}


def test_projects_of_others_are_left_alone(
    double_release: Callable[..., Release], double_database: Callable[..., str]
) -> None:
    database = double_database("2030.06.20", treenodes=0)
    here = Instance(double_release("2030.06.20", database), database)
    here.run("superuser", **USER)
    psql(database, "INSERT INTO project (title) VALUES ('My flies')")
    said = here.run(MODULE, username="o'brien")
    assert (said["changed"], said["projects"], psql(database, TITLES)) == (False, ["My flies"], "My flies")
