# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is proven by the instance's own application: by a playbook, and by the confined unit of a timer."""

from __future__ import annotations

import json

STATUS = "/var/backups/catmaid/catmaid/status.json"


def drill(instance) -> dict:
    """Return what the status has of the last drill."""
    return json.loads(instance.run(f"cat {STATUS}"))["drill"]["last"]


def test_the_application_answers_from_the_newest_backup(instances, play):
    before = {instance.name: instance.databases() for instance in instances}
    result = play("drill")
    assert result.rc == 0, result.output
    for instance in instances:
        assert result.changed(instance.name) == []
        (done,) = [told for task, told in result.tasks(instance.name) if task.startswith("Let the application answer")]
        assert done["smoke"]["version"] == instance.version()
        assert done["smoke"]["nodes"] == 500
        assert instance.databases() == before[instance.name]
        assert drill(instance)["ok"]


def test_the_timers_unit_can_do_the_same(instances, play):
    assert play("schedule").rc == 0
    for instance in instances:
        before = instance.databases()
        started = instance.host.run("systemctl start catmaid-drill.service")
        lines = instance.run("journalctl --sync; journalctl -u catmaid-drill.service -o cat")
        assert started.rc == 0, lines
        assert f"release {instance.version()} answers 5 pages right" in lines
        assert (drill(instance)["job"], drill(instance)["smoke"]) == ("timer", True)
        assert instance.databases() == before


def test_a_drill_that_fails_on_one_host_fails_the_play_and_lets_the_others_finish(instances, play):
    bad, good = instances
    bad.run("mv /opt/catmaid/current/static /opt/catmaid/current/away")
    try:
        result = play("drill")
    finally:
        bad.run("mv /opt/catmaid/current/away /opt/catmaid/current/static")
    assert result.rc != 0
    assert "/ answers 500" in result.messages(bad.name)
    assert result.messages(good.name) == ""
    assert (drill(bad)["ok"], drill(good)["ok"]) == (False, True)
    assert play("schedule", catmaid_schedule_backup="none").rc == 0
