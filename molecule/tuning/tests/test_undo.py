# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last of this scenario's tests: PostgreSQL is as it was before, every byte of its files."""

from __future__ import annotations

HOST = "catmaid-trixie"
LEFT = """
SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = 'catmaid'::regrole
UNION ALL SELECT relname || ' ' || coalesce(reloptions::text, '') FROM pg_class WHERE relname IN ('treenode', 'review')
UNION ALL SELECT attname || ' ' || attstattarget FROM pg_attribute WHERE attrelid = 'treenode'::regclass
  AND attstattarget > 0 ORDER BY 1"""
FILES = "find /etc/postgresql /var/lib/postgresql/*/main/postgresql.auto.conf -type f -exec sha256sum {} + | sort"


def test_all_of_postgresql_is_taken_back(instances, play):
    host = instances[1]
    absent = {"catmaid_hosts": HOST, "catmaid_tuning_state": "absent", "catmaid_postgres_tuning_restart": True}
    assert play("tune", **absent).rc == 0
    assert host.run(FILES) == host.run("cat /root/before-tuning")
    assert host.sql("SHOW shared_buffers") == "128MB"
    assert host.sql(LEFT).splitlines() == ["review {autovacuum_vacuum_scale_factor=0.1}", "treenode "]
    assert play("tune", **absent).changed(HOST) == []
