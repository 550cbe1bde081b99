# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role postgres_tuning: what the server says after it, and that nothing is left when it is taken back."""

from __future__ import annotations

# As in converge.yml
SMALL = {
    "catmaid_postgres_tuning_memory": "2GB",
    "catmaid_postgres_tuning_cores": 2,
    "catmaid_postgres_tuning_demands": {"workers": 2, "clients": 10},
    "catmaid_postgres_tuning_statements": True,
    "catmaid_postgres_tuning_per_database": True,
}
FILES = "find /etc/postgresql /var/lib/postgresql/*/main/postgresql.auto.conf -type f -exec sha256sum {} + | sort"
SOURCE = "SELECT DISTINCT substring(sourcefile from '[^/]*$') FROM pg_settings WHERE name IN ('{}')"
OF_ROLE = "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'catmaid'::regrole"
OF_TABLE = "SELECT relname, reloptions FROM pg_class WHERE relname IN ('treenode', 'review') ORDER BY 1"
TARGET = (
    "SELECT nullif(attstattarget, -1) FROM pg_attribute WHERE attname = 'skeleton_id'"
    " AND attrelid = 'treenode'::regclass"
)
STARTED = "SELECT pg_postmaster_start_time()"


def result(done, name: str) -> dict:
    (found,) = [told["ansible_facts"] for task, told in done.tasks(name) if task.endswith("Keep the results")]
    return found["catmaid_postgres_tuning_result"]


def test_the_server_has_what_was_advised(instances):
    for instance in instances:
        names = "', '".join(["shared_buffers", "work_mem", "effective_cache_size", "max_wal_size", "jit_above_cost"])
        assert instance.sql(SOURCE.format(names)) == "zz-catmaid.conf"
        assert instance.sql("SHOW jit_above_cost") == "1e+06"
        assert instance.sql("SHOW shared_preload_libraries") == "pg_stat_statements"
        assert instance.sql("SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
        # A quarter of less than 2 GB
        assert 128 < int(instance.sql("SELECT setting::int / 128 FROM pg_settings WHERE name = 'shared_buffers'")) < 512


def test_role_tables_and_columns_have_theirs(instances):
    for instance in instances:
        told = instance.sql(OF_ROLE + " AND setdatabase = (SELECT oid FROM pg_database WHERE datname = 'catmaid')")
        assert "client_encoding=UTF8" in told and "TimeZone=UTC" in told
        assert "autovacuum_analyze_scale_factor=0.01" in instance.sql(OF_TABLE)
        assert instance.sql(TARGET) == "3000"


def test_upkeep_is_a_tag(instances, play):
    for instance in instances:
        instance.sql("DELETE FROM treenode WHERE id % 2 = 0")
    assert play("tune", "--tags", "vacuum_analyze", catmaid_postgres_tuning_reindex=True,
                catmaid_postgres_tuning_jobs=1).rc == 0  # fmt: skip
    for instance in instances:
        assert instance.sql("SELECT reltuples FROM pg_class WHERE oid = 'treenode'::regclass") == "3500"


def test_what_is_elsewhere_otherwise_and_missing_is_told(instances, play):
    done = play("tune", "--check", catmaid_postgres_tuning_tables=[{"table": "none", "statistics": {"a": 1}}], **SMALL)
    assert done.rc == 0
    for instance in instances:
        found = result(done, instance.name)
        assert found["skipped"] == ["statistics of column none.a: there is no column a in a table none"]
        assert found["conflicts"] == []
        assert instance.sql(TARGET) == "3000"  # it was a check
    refused = play("tune", **{**SMALL, "catmaid_postgres_tuning_settings": {"work_mem": "1GB"}})
    assert refused.rc != 0
    assert "the kernel ends the database" in refused.messages("catmaid-bookworm")


def test_own_values_and_no_restart_by_default(instances, play):
    started = [instance.sql(STARTED) for instance in instances]
    own = {
        "catmaid_postgres_tuning_advised": False,
        "catmaid_postgres_tuning_settings": {"work_mem": "3MB", "max_locks_per_transaction": 128},
        "catmaid_postgres_tuning_file": "zz-other",
        "catmaid_postgres_tuning_disk": "hdd",
        "catmaid_postgres_tuning_parts": ["database"],
        "catmaid_postgres_tuning_role_settings": {},
        "catmaid_postgres_tuning_tables": [],
    }
    done = play("tune", **own)
    assert done.rc == 0
    for instance, before in zip(instances, started):
        assert result(done, instance.name)["pending_restart"] == ["max_locks_per_transaction"]
        assert instance.sql(STARTED) == before
        assert instance.sql("SHOW work_mem") == "3MB"
        assert instance.sql(OF_ROLE) == ""
    assert play("tune", catmaid_tuning_state="absent", catmaid_postgres_tuning_file="zz-other").rc == 0


def test_all_is_taken_back(instances, play):
    """Also by somebody who would have to restart the server: it is restarted once more, and all is as it was."""
    gone = play("tune", catmaid_tuning_state="absent", catmaid_postgres_tuning_restart=True)
    assert gone.rc == 0
    for instance in instances:
        assert instance.run(FILES) == instance.run("cat /root/before-tuning")
        assert instance.sql("SHOW shared_buffers") == "128MB"
        assert instance.sql(OF_ROLE) == ""
        assert instance.sql(OF_TABLE) == "review|{autovacuum_vacuum_scale_factor=0.1}\ntreenode|"
        assert instance.sql(TARGET) == ""
        assert instance.run("ls /var/lib/catmaid | grep -c settings || true") == "0"
    again = play("tune", catmaid_tuning_state="absent", catmaid_postgres_tuning_restart=True)
    assert [again.changed(instance.name) for instance in instances] == [[], []]
