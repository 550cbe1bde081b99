# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module superuser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.double_fixtures import Release, psql
from tests.integration.instances import Instance

pytestmark = pytest.mark.once("trixie")

MODULE = "superuser"
USER = {"username": "o'brien", "email": "admin@example.org", "password": "pass \"word' \\\\1"}
FOUND = "SELECT count(*), bool_and(is_superuser), bool_and(is_active) FROM auth_user WHERE username = 'o''brien'"


def test_it_makes_the_user_once(double_release: Callable[..., Release], double_database: Callable[..., str]) -> None:
    database = double_database("2030.06.20", 1000)
    here = Instance(double_release("2030.06.20", database), database)
    assert here.check(MODULE, **USER)["changed"]
    assert psql(database, FOUND).startswith("0")

    said = here.run(MODULE, **USER)
    assert said["changed"]
    assert USER["password"] not in str(said)
    assert psql(database, FOUND) == "1|t|t"
    # Django itself takes the password
    login = "from django.contrib.auth import authenticate as a; assert a(username='o\\'brien', password='''%s''')"
    here.release.manage("shell", "-c", login % USER["password"].replace("\\", "\\\\"))

    assert not here.run(MODULE, **USER)["changed"]
    assert not here.run(MODULE, **{**USER, "password": "another"})["changed"]


def test_a_user_who_is_none_is_not_made_one(
    double_release: Callable[..., Release], double_database: Callable[..., str]
) -> None:
    database = double_database("2030.06.20", 1000)
    here = Instance(double_release("2030.06.20", database), database)
    assert "no active superuser" in here.fail(MODULE, **{**USER, "username": "tracer1"})["msg"]
    assert psql(database, "SELECT is_superuser FROM auth_user WHERE username = 'tracer1'") == "f"
