# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""database_settings: settings of roles, tables and columns that hold, and that go back to what was before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support
from tests.integration.support import Run, quoted, run_module, sql, value

DJANGO = {"client_encoding": "UTF8", "default_transaction_isolation": "read committed", "timezone": "UTC"}
CATALOG = """
SELECT coalesce(r.rolname, ''), coalesce(d.datname, ''), s.setconfig::text FROM pg_db_role_setting s
  LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
UNION ALL SELECT c.relname, '', c.reloptions::text FROM pg_class c
  WHERE relkind = 'r' AND relnamespace::regnamespace::text NOT LIKE 'pg_%'
UNION ALL SELECT c.relname, a.attname, nullif(a.attstattarget, -1)::text FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid WHERE relkind = 'r' AND attnum > 0
  AND relnamespace::regnamespace::text NOT LIKE 'pg_%' ORDER BY 1, 2, 3"""


@pytest.fixture
def role() -> Iterator[str]:
    """A role whose name needs quotes."""
    name = support.unused("role")
    literal = support.PASSWORD.replace("'", "''")
    sql("postgres", f"CREATE ROLE {quoted(name)} LOGIN PASSWORD '{literal}'")
    yield name
    sql("postgres", f"DROP ROLE {quoted(name)}")


@pytest.fixture
def change(database: str, tmp_path: Path) -> Callable[..., Run]:
    """A function that runs the module on the database."""

    def run(**args: Any) -> Run:
        return run_module("database_settings", diff=True, login_db=database, state_dir=str(tmp_path / "state"), **args)

    return run


def test_sets_and_goes_back_to_what_was(database: str, role: str, change: Callable[..., Run], tmp_path: Path) -> None:
    sql(database, f"ALTER ROLE {quoted(role)} SET work_mem TO '7MB'; ALTER TABLE treenode SET (fillfactor = 90)")
    sql(database, "ALTER TABLE treenode ALTER x SET STATISTICS 50")
    before = sql(database, CATALOG)
    wanted = {
        "roles": [
            {"role": role, "database": database, "settings": DJANGO, "reason": "Django asks for them"},
            {"role": role, "settings": {"work_mem": "9MB", "search_path": '"Odd.Schema", public'}},
            {"role": "nobody at all", "settings": {"work_mem": "9MB"}},
        ],
        "tables": [
            {
                "table": "treenode",
                "settings": {"autovacuum_vacuum_scale_factor": 0.02, "autovacuum_enabled": True},
                "statistics": {"x": 3000, "not_there": 3000},
            },
            {"table": "Odd.Table*", "schema": "Odd.Schema", "settings": {"fillfactor": 70}, "statistics": {"a": 0}},
            {"table": "not_there", "statistics": {"a": 3}},
        ],
    }  # fmt: skip
    predicted = change(check=True, **wanted)
    assert predicted.changed
    assert sql(database, CATALOG) == before

    done = change(**wanted)
    assert done.changed
    for key in ("diff", "changes", "skipped"):
        assert done.result[key] == predicted.result[key]
    assert done.result["skipped"] == [
        "work_mem of role nobody at all: there is no role nobody at all",
        "statistics of column treenode.not_there: there is no column not_there in a table treenode",
        "statistics of column not_there.a: there is no column a in a table not_there",
    ]
    assert {
        "name": "statistics of column treenode.x", "before": "50", "after": "3000", "reason": "",
    } in done.result["changes"]  # fmt: skip
    # As the application sees it, in this database and in another one
    login = Server(host="localhost", user=role, password=support.PASSWORD)
    shown = "SELECT current_setting('default_transaction_isolation'), current_setting('timezone'),"
    shown += " current_setting('work_mem'), current_setting('search_path')"
    with login.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(shown + ", (SELECT source FROM pg_settings WHERE name = 'TimeZone')")
        assert cursor.fetchone() == ("read committed", "UTC", "9MB", '"Odd.Schema", public', "database user")
    assert value(database, "SELECT reloptions FROM pg_class WHERE oid = 'treenode'::regclass") == (
        "{fillfactor=90,autovacuum_vacuum_scale_factor=0.02,autovacuum_enabled=on}"
    )
    # Statistics that are used at once: all 2000 values are known by their bounds, and not a hundred.
    assert value(database, "SELECT array_length(histogram_bounds, 1) > 1000 FROM pg_stats WHERE tablename = 'treenode'"
                           " AND attname = 'x' AND NOT inherited") == "t"  # fmt: skip
    assert not change(**wanted).changed

    # What is no longer listed goes back, what somebody has changed since stays.
    sql(database, "ALTER TABLE treenode ALTER x SET STATISTICS 60")
    fewer = change(roles=wanted["roles"][:1])
    assert fewer.changed
    assert fewer.result["skipped"] == ["statistics of column treenode.x: it is 60 since, which is not ours, and stays"]
    sql(database, "ALTER TABLE treenode ALTER x SET STATISTICS 50")
    assert change(state="absent", check=True).changed
    assert change(state="absent").changed
    assert sql(database, CATALOG) == before
    assert list(tmp_path.iterdir()) == []
    assert not change(state="absent").changed


def test_all_or_nothing_and_no_wait_for_ever(
    server: Server, database: str, role: str, change: Callable[..., Run], tmp_path: Path
) -> None:
    before = sql(database, CATALOG)
    good = {"role": role, "settings": {"work_mem": "9MB"}}
    refused = change(roles=[good], tables=[{"table": "treenode", "settings": {"fillfactor": 3}}]).error
    assert "setting fillfactor of table treenode" in refused
    assert "Nothing was changed." in refused
    assert "abc is no number" in change(tables=[{"table": "treenode", "statistics": {"x": "abc"}}]).error
    assert sql(database, CATALOG) == before
    # What was kept for what was not set after all does no harm.
    assert not change(state="absent").changed
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_there_yet(role: str, unused: Callable[[], str], tmp_path: Path) -> None:
    done = run_module(
        "database_settings",
        login_db=unused(),
        state_dir=str(tmp_path / "state"),
        roles=[{"role": role, "settings": {"work_mem": "9MB"}}],
        tables=[{"table": "treenode", "statistics": {"x": 3000}}],
        analyze=False,
    )
    assert done.changed
    assert len(done.result["changes"]) == 1
    assert "there is no database" in done.result["skipped"][0]
