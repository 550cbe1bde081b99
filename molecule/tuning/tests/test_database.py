# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role postgres_tuning: what the server says after it, and what it tells. All is taken back in test_undo."""

from __future__ import annotations

import pytest

HOST = "catmaid-trixie"
OF_ROLE = "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'catmaid'::regrole"
OF_TABLE = "SELECT relname, reloptions FROM pg_class WHERE relname IN ('treenode', 'review') ORDER BY 1"
TARGET = (
    "SELECT nullif(attstattarget, -1) FROM pg_attribute WHERE attname = 'skeleton_id'"
    " AND attrelid = 'treenode'::regclass"
)
STARTED = "SELECT pg_postmaster_start_time()"


@pytest.fixture(scope="module")
def host(instances):
    return instances[1]


@pytest.fixture(scope="module")
def tune(play):
    """Run the playbook on the host that is tuned."""
    return lambda *arguments, **variables: play("tune", *arguments, catmaid_hosts=HOST, **variables)


def result(done) -> dict:
    (found,) = [told["ansible_facts"] for task, told in done.tasks(HOST) if task.endswith("Keep the results")]
    return found["catmaid_postgres_tuning_result"]


def test_the_server_has_what_was_advised(host):
    names = "', '".join(["shared_buffers", "work_mem", "effective_cache_size", "max_wal_size", "jit_above_cost"])
    source = f"SELECT DISTINCT substring(sourcefile from '[^/]*$') FROM pg_settings WHERE name IN ('{names}')"
    assert host.sql(source) == "zz-catmaid.conf"
    assert host.sql("SHOW jit_above_cost") == "1e+06"
    assert host.sql("SELECT setting::int > 16384 FROM pg_settings WHERE name = 'shared_buffers'") == "t"


def test_role_tables_and_columns_have_theirs(host):
    told = host.sql(OF_ROLE + " AND setdatabase = 0")
    assert "client_encoding=UTF8" in told
    assert "TimeZone=UTC" in told
    assert "autovacuum_analyze_scale_factor=0.01" in host.sql(OF_TABLE)
    assert host.sql(TARGET) == "3000"


def test_upkeep_is_a_tag(host, tune):
    host.sql("DELETE FROM treenode WHERE id % 2 = 0")
    done = tune("--tags", "vacuum_analyze", catmaid_postgres_tuning_reindex=True, catmaid_postgres_tuning_jobs=1)
    assert done.rc == 0
    assert host.sql("SELECT reltuples FROM pg_class WHERE oid = 'treenode'::regclass") == "3500"


def test_drift_is_found(host, tune):
    assert tune("--tags", "verify", catmaid_tuning_report="").rc == 0
    host.sql("ALTER SYSTEM SET work_mem TO '3MB'")
    host.sql("ALTER TABLE treenode ALTER skeleton_id SET STATISTICS 30")
    host.sql("SELECT pg_reload_conf()")
    found = tune("--tags", "verify", catmaid_tuning_report="")
    assert found.rc != 0
    assert "work_mem is 3MB by /var/lib/postgresql/17/main/postgresql.auto.conf" in found.messages(HOST)
    assert "statistics of column treenode.skeleton_id" in found.messages(HOST)
    host.sql("ALTER SYSTEM RESET work_mem")
    host.sql("ALTER TABLE treenode ALTER skeleton_id SET STATISTICS 3000")
    host.sql("SELECT pg_reload_conf()")
    assert tune("--tags", "verify", catmaid_tuning_report="").rc == 0


def test_own_values_and_no_restart_by_default(host, tune):
    """In files of another name beside those that are there."""
    started = host.sql(STARTED)
    done = tune(
        catmaid_postgres_tuning_advised=False,
        catmaid_postgres_tuning_settings={"work_mem": "3MB", "max_locks_per_transaction": 128, "geqo": False},
        catmaid_postgres_tuning_leave_out=["geqo"],
        catmaid_postgres_tuning_file="zzz-other",
        catmaid_postgres_tuning_role_settings={"timezone": "UTC"},
        catmaid_postgres_tuning_per_database=True,
        catmaid_postgres_tuning_tables=[{"table": "none", "statistics": {"a": 1}}],
    )
    assert done.rc == 0
    assert result(done)["pending_restart"] == ["max_locks_per_transaction"]
    assert result(done)["skipped"] == ["statistics of column none.a: there is no column a in a table none"]
    assert result(done)["conflicts"] == []
    assert host.sql(STARTED) == started
    assert host.sql("SHOW work_mem") == "3MB"
    assert host.sql("SHOW geqo") == "on"
    assert host.sql(OF_ROLE) == "{TimeZone=UTC}"
    assert host.sql(TARGET) == ""
    assert tune(catmaid_tuning_state="absent", catmaid_postgres_tuning_file="zzz-other").rc == 0
    predicted = tune("--check", catmaid_postgres_tuning_statements=True, catmaid_tuning_report="")
    rows = {row["name"]: row["wanted"] for row in result(predicted)["settings"]}
    assert rows["shared_preload_libraries"] == "pg_stat_statements"
    # As converge.yml left it
    assert tune(catmaid_postgres_tuning_restart=True).rc == 0
