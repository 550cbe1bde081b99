# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan tells what an upgrade means, changes nothing, and stops what must not begin."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.once("bookworm")

NEXT = "2030.12.21"
SOURCE = "/opt/catmaid/current/source"
STARTED = "systemctl show --value --property ActiveEnterTimestampMonotonic catmaid.service"
GIT = f"runuser -u catmaid -- git -C {SOURCE}"


def test_a_plan_is_a_report_and_changes_nothing(instances, play, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = play("upgrade", "--tags", "plan", catmaid_version="latest_release", catmaid_upgrade_report="told")
    assert result.rc == 0, result.output
    for instance in instances:
        assert result.changed(instance.name) == []
        shown = [task["msg"] for name, task in result.tasks(instance.name) if name.endswith("Plan | Show")]
        assert any("can not be reversed by migrating backwards" in line for line in shown[0])
        assert f"catmaid_upgrade_notes_acknowledged: {NEXT}" in shown[0][-1]
        told = json.loads((tmp_path / f"told/{instance.name}.json").read_text())
        assert (told["from"]["describe"], told["to"]["describe"]) == ("2030.06.20", NEXT)
        assert [step["name"] for step in told["migrations"]["steps"]] == ["0009_add_samplers", "0010_tidy_names"]
        assert f"# CATMAID on {instance.name}: 2030.06.20" in (tmp_path / f"told/{instance.name}.md").read_text()
        assert instance.version() == "2030.06.20"


def test_notes_have_to_be_acknowledged(instances, play):
    for acknowledged in ("", "2030.06.20"):
        result = play("upgrade", catmaid_version=NEXT, catmaid_upgrade_notes_acknowledged=acknowledged)
        assert result.rc != 0
        for instance in instances:
            assert f"set catmaid_upgrade_notes_acknowledged: {NEXT}" in result.messages(instance.name)
            assert result.changed(instance.name) == []


def test_half_an_upgrade_is_refused(instances, play):
    for selection in (("--tags", "plan,prepare"), ("--skip-tags", "plan")):
        result = play("upgrade", *selection, catmaid_version=NEXT)
        assert result.rc != 0
        for instance in instances:
            assert "Half an upgrade is none" in result.messages(instance.name)
            assert result.changed(instance.name) == []


def test_a_release_is_prepared_and_rehearsed_while_the_old_one_serves(instances, play):
    since = [instance.run(STARTED) for instance in instances]
    predicted = play("upgrade", "--tags", "prepare", "--check", catmaid_version="dev")
    assert predicted.rc == 0, predicted.output
    assert not instances[0].host.run("ls -d /opt/catmaid/releases/*dev*").stdout
    result = play("upgrade", "--tags", "prepare", catmaid_version="dev")
    assert result.rc == 0, result.output
    # Once more in the day, to know what will be; at night that counts, and forbids what takes too long. Texts are what
    # the command line and surveys give.
    rehearsed = {"catmaid_version": "dev", "catmaid_upgrade_rehearsal": "true"}
    again = play("upgrade", "--tags", "prepare", **rehearsed)
    assert again.rc == 0, again.output
    night = play("upgrade", catmaid_upgrade_max_downtime="1", catmaid_upgrade_backup="false", **rehearsed)
    assert night.rc != 0
    for instance, before in zip(instances, since):
        assert predicted.changed(instance.name) and result.changed(instance.name)
        done = [name for name, task in result.tasks(instance.name) if not task.get("skipped")]
        assert not any("Switch" in name or "backup" in name for name in done)
        assert [name.rpartition(" : ")[2] for name in again.changed(instance.name)] == ["Make a verified backup"]
        (told,) = [task for name, task in again.tasks(instance.name) if "Migrate a copy of the database" in name]
        assert told["rehearsed"] and not told["reused"] and told["predicted"]["downtime"] > 1
        assert "people would wait about" in night.messages(instance.name)
        assert json.loads(instance.run("cat /var/lib/catmaid/upgrade-rehearsal.json"))["time"] == told["time"]
        assert instance.version() == "2030.06.20" and instance.run(STARTED) == before
        assert instance.run("cat /opt/catmaid/releases/*/env/complete-* | wc -l")


def test_what_serves_can_be_verified_by_itself(instances, play):
    for check in ((), ("--check",)):
        result = play("upgrade", "--tags", "verify", *check)
        assert result.rc == 0, result.output
    broken = instances[0]
    broken.run("systemctl stop catmaid.service")
    failed = play("upgrade", "--tags", "verify")
    broken.run("systemctl start catmaid.service")
    assert failed.rc != 0
    assert "catmaid.service is inactive" in failed.messages(broken.name)
    for instance in instances:
        assert [name for name, task in result.tasks(instance.name) if task.get("changed")] == []
        assert not instance.is_in_maintenance()


def test_local_commits_are_told_and_go_along_when_they_shall(instances, play):
    who = "-c user.name=Ada -c user.email=ada@example.org"
    for instance in instances:
        instance.run(f"runuser -u catmaid -- sh -c 'echo ours > {SOURCE}/lab.txt' && {GIT} add lab.txt")
        instance.run(f"{GIT} {who} commit -q -m 'Greet our lab'")
    refused = play("upgrade", catmaid_version=NEXT)
    planned = play("upgrade", "--tags", "plan", catmaid_version=NEXT, catmaid_upgrade_local_commits="rebase")
    for instance in instances:
        instance.run(f"{GIT} reset -q --hard HEAD~1")
        assert "Greet our lab" in refused.messages(instance.name)
        assert refused.changed(instance.name) == []
        (plan,) = [task for name, task in planned.tasks(instance.name) if "Compare it" in name]
        assert plan["release"]["describe"].startswith(f"{NEXT}-1-g")
    assert refused.rc != 0 and planned.rc == 0
