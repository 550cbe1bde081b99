# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore with tables: their rows, all other tables empty, and nothing that could take the live one's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration import support
from tests.integration.support import names, run_module, sql, value
from tests.integration.test_pg_restore import backup, foreign, restore

pytestmark = pytest.mark.once("bookworm")

Unused = Callable[[], str]


def test_restores_the_rows_of_some_tables(database: str, dest: str, unused: Unused) -> None:
    archive, target = backup(database, dest), unused()
    wanted = ["treenode__history", "Odd.Schema.odd_table", "a.b"]
    predicted = restore(target, archive, tables=wanted, check=True)
    assert predicted.changed
    assert target not in names()
    done = restore(target, archive, tables=wanted)
    assert done.changed
    assert done.result["tables_compared"] == 2 + 1
    before, after = support.rows(database), support.rows(target)
    assert before.keys() == after.keys()
    assert {name: number for name, number in after.items() if number} == {
        name: before[name] for name in ('public."a.b"', "public.treenode__history", '"Odd.Schema".odd_table')
    }
    assert value(target, "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == "0"
    refused = run_module("database_swap", login_db=database, replacement=target, keep_as=unused())
    assert "was never finished" in refused.error
    assert support.rows(database) == before


def test_refuses_what_the_archive_does_not_hold(database: str, dest: str, unused: Unused) -> None:
    archive, target = backup(database, dest, materializations="safe"), unused()
    for check in (True, False):
        error = restore(target, archive, tables=["treenode", "treenode_edge"], check=check).error
        assert "has no rows of treenode_edge" in error
        assert "no rows of nosuch" in restore(target, archive, tables=["nosuch"], check=check).error
        assert (
            "tables go into a database of their own"
            in restore(database, archive, tables=["treenode"], in_place=True).error
        )
    assert target not in names()


def test_finds_tables_of_a_foreign_archive(database: str, tmp_path: Path, unused: Unused) -> None:
    archive, target = foreign(database, tmp_path, "c"), unused()
    sql(database, "DELETE FROM treenode__history")
    assert restore(target, str(archive), tables=["treenode__history"], owner=support.OWNER).changed
    assert value(target, "SELECT count(*) FROM treenode__history") == "200"
