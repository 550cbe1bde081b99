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
        told = result.results(instance.name)["catmaid_drill"]
        assert (told["ok"], told["id"], told["rows"]) == (True, done["id"], done["rows"])
        assert told["version"] == instance.version() and told["seconds"] > 0


def test_the_timers_unit_can_do_the_same(instances, play):
    assert play("schedule", catmaid_schedule_statistics="*-*-* 02:00").rc == 0
    for instance in instances:
        before = instance.databases()
        started = instance.host.run("systemctl start catmaid-drill.service")
        lines = instance.run("journalctl --sync; journalctl -u catmaid-drill.service -o cat")
        assert started.rc == 0, lines
        assert f"release {instance.version()} answers 5 pages right" in lines
        assert (drill(instance)["job"], drill(instance)["smoke"]) == ("timer", True)
        assert instance.databases() == before


def test_timers_look_after_the_application_until_they_are_switched_off(instances, play):
    kinds = ("statistics", "vacuum", "caches")
    said = ("node statistics are", "vacuumed and analyzed", "use no cache")
    for instance in instances:
        instance.sql("TRUNCATE catmaid_stats_summary")
        for kind, words in zip(kinds, said, strict=True):
            unit = f"catmaid-{kind}"
            assert instance.run(f"systemctl is-enabled {unit}.timer") == "enabled"
            checked = instance.host.run(f"systemd-analyze verify /etc/systemd/system/{unit}*")
            assert (checked.rc, checked.stderr) == (0, "")
            started = instance.host.run(f"systemctl start {unit}.service")
            lines = instance.run(f"journalctl --sync; journalctl -u {unit}.service -o cat")
            assert (started.rc, words in lines) == (0, True), lines
        assert "02:00" in instance.run("systemctl cat catmaid-statistics.timer")
        assert int(instance.sql("SELECT count(*) FROM catmaid_stats_summary")) > 0
        assert set(json.loads(instance.run("catmaid-admin check --json"))["upkeep"]) == set(kinds)
    off = dict.fromkeys((f"catmaid_schedule_{kind}" for kind in kinds), "")
    assert play("schedule", **off).rc == 0
    for instance in instances:
        assert instance.run("ls /etc/systemd/system | grep -E 'catmaid-(statistics|vacuum|caches)' || true") == ""
        assert instance.run("ls /etc/systemd/system | grep -c catmaid-drill") == "3"


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
    off = dict.fromkeys(("catmaid_schedule_statistics", "catmaid_schedule_vacuum", "catmaid_schedule_caches"), "")
    assert play("schedule", catmaid_schedule_backup="none", **off).rc == 0
