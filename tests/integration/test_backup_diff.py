# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup_diff: what was done to a database between two backups. The unit tests have the table of all cases."""

from __future__ import annotations

import pytest

from tests.integration.support import run_module, sql

pytestmark = pytest.mark.once("trixie")


def test_tells_what_was_done(database: str, dest: str) -> None:
    first = run_module("pg_dump", login_db=database, dest=dest).result
    refused = run_module("backup_diff", dest=dest, database=database)
    assert "Two are needed" in refused.error
    sql(
        database,
        """INSERT INTO location (x) SELECT n FROM generate_series(1, 3) n;
        UPDATE treenode__history SET x = -x WHERE id = 10; DROP TABLE "a.b";
        INSERT INTO django_migrations (app, name) VALUES ('catmaid', '0002_more')""",
    )
    run_module("pg_dump", login_db=database, dest=dest)  # suspicious: a table is gone
    for check in (False, True):
        told = run_module("backup_diff", check=check, dest=dest, database=database)
        assert not told.changed
        tables = {table["name"]: table for table in told.result["tables"]}
        assert tables["location"]["change"] == 3
        assert (tables["a.b"]["before"], tables["a.b"]["after"]) == (2, None)
        assert (tables["treenode__history"]["change"], tables["treenode__history"]["contents"]) == (0, "different")
        # Derived tables have no fingerprint: as many rows are no proof.
        assert {name for name, table in tables.items() if table["contents"] == "unknown"} == {
            "treenode_edge", "node_query_cache", "node_grid_cache_cell"
        }  # fmt: skip
        assert set(tables) == {
            "location", "a.b", "treenode__history", "django_migrations", "treenode_edge", "node_query_cache",
            "node_grid_cache_cell",
        }  # fmt: skip
        assert told.result["migrations_added"] == ["catmaid.0002_more"]
        assert told.result["migrations_removed"] == []
        assert told.result["before"]["id"] == first["id"]
        assert told.result["bytes"]["before"] == first["bytes"]
    back = run_module("backup_diff", dest=dest, database=database, before=told.result["after"]["id"], after=first["id"])
    assert back.result["migrations_removed"] == ["catmaid.0002_more"]
    assert "there is no backup nosuch" in run_module("backup_diff", dest=dest, database=database, after="nosuch").error
