# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""database_swap: the old database or the new one, and nothing between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support
from tests.integration.support import names, quoted, run_module, sql, value
from tests.integration.test_pg_restore import PROPERTIES

pytestmark = pytest.mark.once("bookworm")

Unused = Callable[[], str]
OID = "SELECT oid FROM pg_database WHERE datname = current_database()"


@pytest.fixture
def replacement(unused: Unused) -> str:
    """A database to take the place of another one."""
    name = unused()
    sql("postgres", f"CREATE DATABASE {quoted(name)}")
    sql(name, "CREATE TABLE is_new (a int)")
    return name


def swap(database: str, replacement: str, keep_as: str, **options: Any) -> support.Run:
    return run_module("database_swap", login_db=database, replacement=replacement, keep_as=keep_as, **options)


def test_checks_swaps_and_refuses_to_swap_again(database: str, replacement: str, unused: Unused) -> None:
    sql(
        database,
        f"COMMENT ON DATABASE {quoted(database)} IS 'live'; ALTER DATABASE {quoted(database)} CONNECTION LIMIT 9;"
        f'ALTER DATABASE {quoted(database)} SET search_path TO public, "Odd.Schema";'
        f"ALTER ROLE {quoted(support.OWNER)} IN DATABASE {quoted(database)} SET work_mem TO '7MB';"
        f"REVOKE ALL ON DATABASE {quoted(database)} FROM PUBLIC;"
        f"ALTER DATABASE {quoted(replacement)} SET work_mem TO '1MB';"
        f"ALTER ROLE postgres IN DATABASE {quoted(replacement)} SET work_mem TO '2MB'",
    )
    properties, keep_as = sql(database, PROPERTIES), unused()
    old, new = value(database, OID), value(replacement, OID)

    predicted = swap(database, replacement, keep_as, check=True, diff=True)
    assert predicted.changed
    assert (value(database, OID), value(replacement, OID), keep_as in names()) == (old, new, False)

    done = swap(database, replacement, keep_as, diff=True)
    assert done.changed
    assert done.result["diff"] == predicted.result["diff"]
    assert {name: what["oid"] for name, what in done.result["before"].items()} == {
        database: int(old),
        replacement: int(new),
    }
    assert {name: what["oid"] for name, what in done.result["after"].items()} == {
        database: int(new),
        keep_as: int(old),
    }
    assert (value(database, OID), value(keep_as, OID), replacement in names()) == (new, old, False)
    assert value(database, "SELECT to_regclass('is_new')") == "is_new"
    assert sql(database, PROPERTIES) == properties
    # The old one as well, but for the comment, which tells what it was.
    ((*kept, comment, roles),) = sql(keep_as, PROPERTIES)
    assert [[*kept, "live", roles]] == properties
    assert comment.startswith("catmaid.admin: ")
    assert comment.endswith("; live")

    for check in (True, False):
        assert f"there is no database {replacement}" in swap(database, replacement, keep_as, check=check).error


def test_renames_when_the_live_one_is_gone(replacement: str, unused: Unused) -> None:
    live, keep_as, new = unused(), unused(), value(replacement, OID)
    done = swap(live, replacement, keep_as)
    assert done.changed
    assert done.result["before"][live] is None
    assert set(done.result["after"]) == {live}
    assert value(live, OID) == new
    assert {replacement, keep_as}.isdisjoint(names())


def test_refuses_names_that_do_not_fit(database: str, replacement: str, unused: Unused) -> None:
    before = names()
    for check in (True, False):
        assert "a database postgres already" in swap(database, replacement, "postgres", check=check).error
        assert "must differ" in swap(database, replacement, database, check=check).error
        assert "is no name for a database" in swap(database, replacement, "ü" * 32, check=check).error
        assert "there is no database" in swap(database, unused(), unused(), check=check).error
    assert names() == before


def test_swaps_while_clients_come_back_all_the_time(
    server: Server, database: str, replacement: str, unused: Unused
) -> None:
    stop = threading.Event()
    old, new = value(database, OID), value(replacement, OID)
    seen: list[str] = []
    refused: list[str] = []

    def visit() -> None:
        while not stop.is_set():
            try:
                with server.connect(database, autocommit=True) as connection:
                    cursor = connection.cursor()
                    cursor.execute(f"SELECT pg_sleep(0.1), ({OID})")
                    seen.append(str(cursor.fetchone()[1]))
            except CatmaidError as error:
                refused.append(str(error))
                time.sleep(0.01)

    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    try:
        with server.connect(database, autocommit=True):  # idle, and so never out of the way by itself
            time.sleep(0.3)
            done = swap(database, replacement, unused())
            time.sleep(0.3)
    finally:
        stop.set()
        for visitor in visitors:
            visitor.join()
    assert done.changed
    assert done.result["sessions_ended"] > 0
    assert set(seen) == {old, new}
    assert seen == sorted(seen, key=[old, new].index)  # first the old one only, then the new one only
    # Nobody but those who were ended, or who asked in the very moment of the renames, was sent away.
    for message in refused:
        assert any(text in message for text in ("terminating connection", "does not exist", "server closed")), message


def test_changes_nothing_when_it_fails_halfway(database: str, replacement: str, unused: Unused) -> None:
    # The owner of the old database may rename his own, but not the other one.
    sql("postgres", f"ALTER ROLE {quoted(support.OWNER)} CREATEDB")
    try:
        old, new, keep_as = value(database, OID), value(replacement, OID), unused()
        refused = swap(
            database,
            replacement,
            keep_as,
            login_host="localhost",
            login_user=support.OWNER,
            login_password=support.PASSWORD,
        )
        assert "must be owner of database" in refused.error
        assert support.PASSWORD not in refused.output
        assert (value(database, OID), value(replacement, OID), keep_as in names()) == (old, new, False)
    finally:
        sql("postgres", f"ALTER ROLE {quoted(support.OWNER)} NOCREATEDB")
