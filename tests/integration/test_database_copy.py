# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""database_copy: a whole copy under its name, or none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support
from tests.integration.support import names, quoted, run_module, sql
from tests.integration.test_pg_restore import PROPERTIES

pytestmark = pytest.mark.once("trixie")

Unused = Callable[[], str]


def copy(database: str, name: str, **options: Any) -> support.Run:
    return run_module("database_copy", login_db=database, name=name, **options)


def test_checks_copies_and_drops(database: str, unused: Unused) -> None:
    sql(
        database,
        f"COMMENT ON DATABASE {quoted(database)} IS 'live'; ALTER DATABASE {quoted(database)} CONNECTION LIMIT 9;"
        f'ALTER DATABASE {quoted(database)} SET search_path TO public, "Odd.Schema";'
        f"ALTER ROLE {quoted(support.OWNER)} IN DATABASE {quoted(database)} SET catmaid.user_id TO '7 \"x\"';"
        f"GRANT TEMP ON DATABASE {quoted(database)} TO {quoted(support.OWNER)} WITH GRANT OPTION",
    )
    name = unused()
    for check in (True, False):
        made = copy(database, name, check=check, diff=True)
        assert made.changed
        assert made.result["diff"]["before"] == {name: None}
        assert made.result["diff"]["after"][name]["owner"] == support.OWNER
        assert (name in names()) is not check
    assert support.rows(name) == support.rows(database)
    assert sql(name, PROPERTIES) == sql(database, PROPERTIES)

    sql(database, "DELETE FROM treenode")
    for check in (True, False):
        assert not copy(database, name, check=check).changed
    assert support.rows(name)["public.treenode"] == 2000

    for check in (True, False):
        assert copy(database, name, state="absent", check=check).changed
        assert (name in names()) is check
    for check in (True, False):
        assert not copy(database, name, state="absent", check=check).changed
    assert database in names()


@pytest.mark.parametrize("state", ["present", "absent"])
def test_names_who_is_connected_or_ends_them(
    server: Server, database: str, unused: Unused, state: str
) -> None:  # fmt: skip
    name = unused()
    if state == "absent":
        assert copy(database, name).changed
    busy = database if state == "present" else name
    with server.connect(busy, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("SET application_name TO 'a viewer'")
        for check in (True, False):
            refused = copy(database, name, state=state, check=check)
            assert "a viewer" in refused.error
            assert (name in names()) is (state == "absent")
        assert copy(database, name, state=state, end_sessions=True, check=True).changed
        cursor.execute("SELECT 1")
        assert copy(database, name, state=state, end_sessions=True).changed
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
    assert (name in names()) is (state == "present")


def test_copies_while_clients_come_back_all_the_time(server: Server, database: str, unused: Unused) -> None:
    stop = threading.Event()
    name = unused()

    def visit() -> None:
        while not stop.is_set():
            try:
                with server.connect(database, autocommit=True) as connection:
                    connection.cursor().execute("SELECT pg_sleep(0.2)")
            except CatmaidError:
                time.sleep(0.01)

    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    try:
        made = copy(database, name, end_sessions=True)
    finally:
        stop.set()
        for visitor in visitors:
            visitor.join()
    assert made.changed
    assert support.rows(name) == support.rows(database)


@pytest.mark.parametrize(
    ("name", "message"),
    [("same", "name is login_db itself"), ("", "is no name for a database"), ("x" * 64, "is no name for a database")],
)
def test_says_what_is_wrong(database: str, name: str, message: str) -> None:
    before = names()
    for check in (True, False):
        assert message in copy(database, database if name == "same" else name, check=check).error
        assert "there is no database nosuch" in copy("nosuch", "copy of nosuch", check=check).error
    assert names() == before


def test_removes_what_a_killed_run_left(database: str, unused: Unused) -> None:
    name = unused()
    left = name.encode()[:52].decode("utf-8", "ignore") + ".unfinished"
    sql("postgres", f"CREATE DATABASE {quoted(left)}")
    assert copy(database, name).changed
    assert left not in names()
