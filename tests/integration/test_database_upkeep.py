# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""database_upkeep: fresh statistics, no dead rows, smaller indexes."""

from __future__ import annotations

import time

from tests.integration.support import run_module, sql, value

DEAD = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'treenode'"


def test_vacuums_analyzes_and_reindexes(database: str) -> None:
    # Autovacuum would do it by itself some time.
    sql(database, "ALTER TABLE treenode SET (autovacuum_enabled = off)")
    sql(database, "CREATE TABLE fresh (id int) WITH (autovacuum_enabled = off)")
    sql(database, "INSERT INTO fresh SELECT generate_series(1, 100)")
    sql(database, "INSERT INTO treenode (x) SELECT n FROM generate_series(1, 20000) n")
    sql(database, "DELETE FROM treenode WHERE id % 10 <> 0")
    deadline = time.monotonic() + 120  # a session's counts are there some time after its end
    while value(database, DEAD) != "19800" and time.monotonic() < deadline:
        time.sleep(0.1)
    predicted = run_module("database_upkeep", check=True, login_db=database)
    assert predicted.changed
    assert "after" not in predicted.result
    assert value(database, "SELECT count(*) FROM pg_stats WHERE tablename = 'fresh'") == "0"

    done = run_module("database_upkeep", login_db=database, reindex=True, jobs=2).result
    assert done["before"]["index_bytes"] > done["after"]["index_bytes"]
    assert done["after"]["never_analyzed"] == 0
    assert done["after"]["invalid"] == []
    assert value(database, "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'fresh'") == "t"
    assert value(database, "SELECT reltuples FROM pg_class WHERE oid = 'treenode'::regclass") == "2200"

    alone = run_module("database_upkeep", login_db=database, vacuum=False, reindex=True, jobs=1)
    assert alone.changed
    assert not run_module("database_upkeep", login_db=database, vacuum=False).changed
    assert "does not exist" in run_module("database_upkeep", login_db=f"{database} none").error
