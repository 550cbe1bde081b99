# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts go one after the other, as a check has told, and also while people are served."""

from __future__ import annotations

import json


def test_the_first_failure_stops_all_further_hosts(instances, play, serves):
    result = play("upgrade", catmaid_version="2030.09.10", catmaid_serial=1)
    assert result.rc != 0
    first, second = instances
    assert "was undone" in result.messages(first.name)
    assert result.tasks(second.name) == []
    serves(first)


def test_each_host_has_a_version_of_its_own_and_stays_where_it_got_to(instances, play, serves):
    """One after the other; the second one fails. Then the first one goes back: nobody has written anything since."""
    first, second = instances
    wanted = {first.name: "dev", second.name: "2030.09.10"}
    version = f"{{{{ {json.dumps(wanted)}[inventory_hostname] }}}}"
    failed = play("upgrade", catmaid_version=version, catmaid_serial=1, catmaid_upgrade_backup=False)
    assert failed.rc != 0
    assert failed.messages(first.name) == "", failed.output
    assert first.version().startswith("2030.12.21.dev2+g")
    serves(first, first.version())
    assert "was undone: 2030.06.20 serves again" in failed.messages(second.name)
    serves(second)
    result = play("rollback", "--limit", first.name)
    assert result.rc == 0, result.output
    serves(first)
    last = first.run("tail -n 1 /var/lib/catmaid/upgrade-history.jsonl")
    assert json.loads(last)["result"] == "rolled back"


def test_check_mode_predicts_the_upgrade(instances, play, serves):
    """Of a release that is prepared; what is left to do is told as it then happens."""
    assert play("upgrade", "--tags", "prepare", catmaid_version="2030.12.21").rc == 0
    predicted = play("upgrade", "--check", catmaid_version="2030.12.21")
    assert predicted.rc == 0, predicted.output
    for instance in instances:
        serves(instance)
    # Nobody has traced for a minute, or will have when it has waited.
    result = play("upgrade", catmaid_version="2030.12.21", catmaid_upgrade_guard="wait", catmaid_upgrade_guard_idle=1)
    assert result.rc == 0, result.output
    for instance in instances:
        serves(instance, "2030.12.21")
        assert predicted.changed(instance.name) == result.changed(instance.name)


def test_a_development_version_is_recognized_and_goes_online(instances, play, tmp_path, serves):
    """Its code writes its version in another way than git; its migration adds a column, as a rehearsal shows."""
    rehearsed = {"catmaid_upgrade_rehearsal": True, "catmaid_upgrade_report": str(tmp_path)}
    online = {"catmaid_upgrade_mode": "auto", "catmaid_upgrade_online_seconds": 300}
    result = play("upgrade", catmaid_version="dev", **rehearsed, **online)
    assert result.rc == 0, result.output
    for instance in instances:
        last = json.loads(instance.run("tail -n 1 /var/lib/catmaid/upgrade-history.jsonl"))
        assert (last["mode"], last["migrations"]) == ("online", 1)
        told = json.loads((tmp_path / f"{instance.name}.json").read_text())["rehearsal"]
        assert [step["name"] for step in told["migrations"]] == ["catmaid.0011_add_deep_link_public_flag"]
        assert "it can go online" in (tmp_path / f"{instance.name}.md").read_text()
        assert instance.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'catmaid_drill%'") == "0"
    again = play("upgrade", catmaid_version="dev")
    for instance in instances:
        serves(instance, instance.version())
        assert instance.version().startswith("2030.12.21.dev2+g")
        assert again.changed(instance.name) == []
