# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest backup brings everything back, and backups are proven again later."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.once("trixie")

DERIVED = {
    "treenode_edge": "t",
    "treenode_connector_edge": "t",
    "connector_geom": "t",
    "catmaid_stats_summary": "to_jsonb(t) - 'id'",  # the number of a row of statistics is new each time
    "catmaid_skeleton_summary": "t",
}


def contents(instance, until: str) -> dict[str, str]:
    """Return what is in the derived tables, in those of statistics up to some hour."""
    limits = {"catmaid_stats_summary": f"WHERE date <= '{until}'"}
    return {
        table: instance.sql(
            f"SELECT count(*), sum(hashtextextended(({row})::text, 0)) FROM {table} t {limits.get(table, '')}"
        )
        for table, row in DERIVED.items()
    }


def test_level_exclude_brings_back_all_of_the_summaries(instances, play):
    assert play("rebuild").rc == 0  # the statistics of an instance that has never counted them are empty
    for instance in instances:
        instance.sql("UPDATE catmaid_skeleton_summary SET last_editor_id = (SELECT min(id) FROM auth_user)")
    # When another hour is over until they are restored, it is counted, too.
    hours = [instance.sql("SELECT max(date) FROM catmaid_stats_summary") for instance in instances]
    before = [contents(*one) for one in zip(instances, hours, strict=True)]
    assert all(
        int(instance.sql("SELECT sum(num_imported_nodes) FROM catmaid_skeleton_summary")) for instance in instances
    )
    result = play("backup", catmaid_backup_materializations="exclude", catmaid_backup_min_age="0")
    assert result.rc == 0, result.output
    for instance in instances:
        instance.sql("TRUNCATE catmaid_skeleton_summary, catmaid_stats_summary")
    result = play("restore", catmaid_restore_confirm="catmaid")
    assert result.rc == 0, result.output
    assert [contents(*one) for one in zip(instances, hours, strict=True)] == before


def test_backups_are_proven_again_and_a_damaged_one_is_named(instances, play):
    result = play("verify")
    assert result.rc == 0, result.output
    for instance in instances:
        assert result.changed(instance.name) == []
        folder = instance.run("ls -d /var/backups/catmaid/catmaid/catmaid_* | head -n 1")
        instance.run(f"cp -a {folder} {folder}_harmed && truncate -s -1 {folder}_harmed/globals.sql")
    result = play("verify")
    assert result.rc != 0
    for instance in instances:
        assert "1 damaged: /var/backups/catmaid/catmaid/catmaid_" in result.messages(instance.name)
        assert "_harmed: globals.sql: " in result.messages(instance.name)
        told = result.results(instance.name)["catmaid_verify"]
        assert not told["ok"] and len(told["damaged"]) == 1 and told["damaged"][0].endswith("_harmed")
        assert told["backups"] == int(instance.run("ls -d /var/backups/catmaid/catmaid/catmaid_* | wc -l"))
        instance.run("rm -r /var/backups/catmaid/catmaid/catmaid_*_harmed")
    assert play("verify").rc == 0
