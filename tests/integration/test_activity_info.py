# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module activity_info: who works, and who only has a connection open."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.companions import opened, uwsgi
from tests.integration.double_fixtures import psql
from tests.integration.instances import finish, session_that_runs, start

pytestmark = pytest.mark.once("bookworm")


def activity(database: str, **options: Any) -> dict[str, Any]:
    result = finish(start("activity_info", login_db=database, **options))
    assert not result.get("failed"), result
    return result


@pytest.fixture
def quiet(double_database: Callable[..., str]) -> str:
    """A database with data that is older than what anybody asks for."""
    database = double_database("2030.06.20", 1000)
    psql(
        database,
        "SET session_replication_role = replica;"
        "UPDATE catmaid_transaction_info SET execution_time = execution_time - interval '1 day';"
        "UPDATE location SET edition_time = edition_time - interval '1 day';"
        "UPDATE relation_instance SET edition_time = edition_time - interval '1 day';"
        "UPDATE review SET review_time = review_time - interval '1 day'",
    )
    return database


def test_an_open_connection_is_no_work(quiet: str) -> None:
    with session_that_runs(quiet, "SELECT 1; COMMIT", "the application"):
        found = activity(quiet)
    assert not found["changed"] and not found["busy"]
    assert found["people"] == found["transactions"] == found["requests"] == found["summary"] == []


def test_who_traced_half_a_minute_ago_is_named(quiet: str) -> None:
    user = psql(quiet, "SELECT min(user_id) FROM ONLY treenode")
    psql(quiet, f"UPDATE auth_user SET username = 'ada' WHERE id = {user}")
    made = "clock_timestamp() - interval '30 seconds'"
    psql(
        quiet,
        "INSERT INTO treenode (user_id, editor_id, project_id, location_x, location_y, location_z, skeleton_id,"
        f" edition_time) SELECT {user}, {user}, project_id, 1, 2, 3, skeleton_id, {made} FROM ONLY treenode LIMIT 1",
    )
    found = activity(quiet, seconds=60)
    (ada,) = found["people"]
    assert found["busy"] and (ada["name"], ada["changes"], ada["last"]) == ("ada", 1, "treenode")
    assert 30 <= ada["seconds_ago"] < 60
    assert found["summary"][0].startswith("ada made 1 changes")
    # The log tells better what it was, and of changes that left no row.
    psql(
        quiet,
        "INSERT INTO catmaid_transaction_info (user_id, project_id, change_type, label, execution_time)"
        f" SELECT {user}, 1, 'Backend', 'treenodes.create', {made} + n * interval '1 second'"
        " FROM generate_series(1, 2) n",
    )
    (ada,) = activity(quiet, seconds=60)["people"]
    assert (ada["changes"], ada["last"]) == (2, "treenodes.create")
    assert not activity(quiet, seconds=1)["busy"]


def test_a_transaction_under_way_is_work_unless_it_is_ours(quiet: str) -> None:
    with session_that_runs(quiet, "LOCK TABLE treenode IN ROW EXCLUSIVE MODE", "a long import"):
        found = activity(quiet)
    (under_way,) = found["transactions"]
    assert (under_way["application"], under_way["role"], under_way["state"]) == (
        "a long import",
        "postgres",
        "idle in transaction",
    )
    assert found["busy"] and "a long import" in found["summary"][0] and found["waited"] < 60
    with session_that_runs(quiet, "SELECT 1", "catmaid.admin/backup/1"):
        assert not activity(quiet)["busy"]


def test_it_waits_until_the_last_one_has_gone(quiet: str) -> None:
    with session_that_runs(quiet, "LOCK TABLE treenode IN ROW EXCLUSIVE MODE", "a long import"):
        waiting = start("activity_info", login_db=quiet, wait=300)
        still = finish(start("activity_info", login_db=quiet, wait=1))
        assert still["busy"] and still["waited"] >= 1
        assert waiting.poll() is None
    found = finish(waiting)
    assert not found["busy"] and found["waited"] < 300


def test_a_request_that_is_answered_is_work(quiet: str, tmp_path: Path) -> None:
    with uwsgi(tmp_path) as (address, stats):
        assert urllib.request.urlopen(f"{address}/", timeout=20).read() == b"done"
        assert not activity(quiet, stats_socket=stats)["busy"]
        slow = subprocess.Popen(["curl", "-s", f"{address}/slow?token=secret"], stdout=subprocess.PIPE)
        pipe = opened(tmp_path / "pipe")
        found = activity(quiet, stats_socket=stats)
        os.close(pipe)
        assert slow.communicate()[0] == b"done"
    (request,) = found["requests"]
    assert (request["method"], request["path"], request["client"]) == ("GET", "/slow", "127.0.0.1")
    assert found["busy"] and "secret" not in str(found)


@pytest.mark.parametrize(
    ("socket", "said"),
    [
        ("/run/nowhere.sock", "No such file"),
        ("nowhere", "neither a path nor host:port"),
        ("127.0.0.1:1", "refused"),
    ],
)
def test_a_socket_that_does_not_answer_is_told(quiet: str, socket: str, said: str) -> None:
    result = finish(start("activity_info", login_db=quiet, stats_socket=socket))
    assert result["failed"] and said in result["msg"] and "setting stats" in result["msg"]


def test_a_database_without_catmaid_has_nobody() -> None:
    assert not activity("postgres")["people"]
