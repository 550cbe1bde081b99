# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An edit is kept if nothing is worse then, and what was there before can be looked at by the command that it tells."""

from __future__ import annotations

import json
import shlex

import pytest

pytestmark = pytest.mark.once("trixie")

# By names, as a restore may change the order of columns
NODES = """SELECT count(*), sum(hashtextextended(concat_ws('/', id, parent_id, skeleton_id, location_x, location_y,
    location_z, edition_time, txid), 0)) FROM ONLY treenode"""
MOVED = "UPDATE treenode SET location_x = location_x + 7 WHERE parent_id IS NULL; -- COMMIT;"
RUNS = "catmaid.admin.direct_edit : Run it, and keep what it does if nothing is worse then"


def test_an_edit_is_kept_and_what_was_before_can_be_looked_at(instances, play, tmp_path):
    file = tmp_path / "an edit.sql"
    file.write_text(MOVED)
    before = [instance.sql(NODES) for instance in instances]
    planned = play("direct_edit", "--check", catmaid_direct_edit_file=str(file))
    assert planned.rc == 0, planned.output
    for instance, nodes in zip(instances, before):
        assert planned.changed(instance.name) == [RUNS]
        assert instance.sql(NODES) == nodes

    done = play("direct_edit", catmaid_direct_edit_file=str(file), catmaid_direct_edit_confirm="catmaid")
    assert done.rc == 0, done.output
    for instance, nodes in zip(instances, before):
        assert done.changed(instance.name) == [RUNS]
        assert instance.sql(NODES) != nodes
        assert instance.run("ls /tmp | grep -c catmaid-edit || true") == "0"

    instance = instances[0]
    line = json.loads(instance.run("tail -n 1 /var/backups/catmaid-edits/direct-edits.jsonl"))
    assert line["file"] == "an edit.sql" and line["by"]
    wanted = json.loads(shlex.split(line["undo"])[-1])
    restored = play("restore", "--limit", instance.name, catmaid_restore_to="scratch", **wanted)
    assert restored.rc == 0, restored.output
    (scratch,) = [name for name in instance.databases() if name.startswith("catmaid_scratch_")]
    assert instance.sql(NODES, scratch) == before[0]
    instance.run(f"cd / && runuser -u postgres -- dropdb {scratch}")
