# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host backs up by itself, by timer or by cron, and says so when it does not."""

from __future__ import annotations

import json
import re
import time

import pytest

pytestmark = pytest.mark.once("bookworm")

UNIT = "catmaid-backup"
DRILL = "catmaid-drill"
STATE = "/var/lib/catmaid-admin/catmaid"
METRICS = "/var/lib/prometheus/node-exporter"
# Finds pg_dump at work: neither one that is asked for its version, nor the shell that has this in its own command line
DUMPS = "bin/pg_dump .*[-]-file="
NOBODY = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
NOW = """[Timer]
OnCalendar=
OnActiveSec=200ms
RandomizedDelaySec=0
AccuracySec=100ms
"""


def wait_for(look, *arguments):
    """Return what look gives, called with these arguments, as soon as it gives something."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = look(*arguments)
        if found:
            return found
        time.sleep(0.3)
    raise AssertionError("it did not happen")


def backups(instance, dest="/var/backups/catmaid/catmaid") -> list[str]:
    """Return the names of the backups, oldest first."""
    return instance.run(f"mkdir -p {dest} && ls {dest} | grep ^catmaid_ || true").split()


def journal(instance, since: str, unit: str = UNIT) -> str:
    """Return what the journal has of a unit."""
    instance.run("journalctl --sync")
    return instance.run(f"journalctl -u {unit} -o cat --since '{since}'")


def tells(instance, words: str, since: str, unit: str = UNIT) -> bool:
    """Tell whether a unit has written these words."""
    return words in journal(instance, since, unit)


def went_well(instance) -> bool:
    """Tell whether the last job did."""
    return json.loads(instance.run(f"cat {STATE}/job.json"))["ok"]


def now(instance) -> str:
    """Return the host's time, as the journal wants it."""
    return instance.run("date '+%Y-%m-%d %H:%M:%S.%N'")[:-3]


def judged(instance) -> tuple[int, str]:
    """Return what the plugin for Nagios says."""
    result = instance.host.run("catmaid-admin check")
    return result.rc, result.stdout


def told(instance) -> dict:
    """Return what the hook was told, and let it forget that."""
    text = wait_for(lambda: instance.host.run(f"cat {STATE}/told.json").stdout)
    instance.run(f"rm {STATE}/told.json")
    return json.loads(text)


def test_the_units_are_right_and_confined(instances):
    for instance in instances:
        for unit in (UNIT, DRILL):
            files = " ".join(f"/etc/systemd/system/{unit}{kind}" for kind in (".timer", ".service", "-failed.service"))
            checked = instance.host.run(f"systemd-analyze verify {files}")
            assert (checked.rc, checked.stdout, checked.stderr) == (0, "", "")
            assert instance.host.run(f"systemd-analyze security --threshold=35 {unit}.service").rc == 0
            assert instance.host.run(f"systemctl is-enabled {unit}.timer").stdout.strip() == "enabled"
        assert "Sun " in instance.run(f"systemctl list-timers {DRILL}.timer")
        assert instance.run("stat -c '%a %U' /etc/catmaid-admin/catmaid.json") == "600 root"


def test_the_timer_makes_a_verified_backup(instances):
    since = {instance.name: now(instance) for instance in instances}
    for instance in instances:
        instance.run(f"mkdir -p /run/systemd/system/{UNIT}.timer.d")
        instance.run(f"printf '{NOW}' > /run/systemd/system/{UNIT}.timer.d/now.conf")
        instance.run(f"systemctl daemon-reload && systemctl restart {UNIT}.timer")
    for instance in instances:
        wait_for(tells, instance, "done, 1 database", since[instance.name])
        instance.run(f"rm -r /run/systemd/system/{UNIT}.timer.d")
        instance.run(f"systemctl daemon-reload && systemctl restart {UNIT}.timer")
        (name,) = backups(instance)
        lines = journal(instance, since[instance.name])
        assert re.search(f"^catmaid: backup {re.escape(name)} is verified: [0-9]+ bytes, 11000 rows", lines, re.M)
        listed = json.loads(instance.run("catmaid-admin list --json"))["backups"]
        assert [(one["id"], one["requested_by"], one["sound"]) for one in listed] == [(name, "timer", True)]
        assert json.loads(instance.run("catmaid-admin info --json"))["source"]["describe"] == "2030.01.15"
        assert instance.run("catmaid-admin verify") == f"{name}: ok"
        assert judged(instance)[0] == 0
        assert name in judged(instance)[1]
        metrics = instance.run(f"cat {METRICS}/*.prom")
        assert re.search(r'^catmaid_backup_rows\{database="catmaid",[^}]*\} 11000$', metrics, re.M)
        assert re.search(r'^catmaid_backup_verify_last_run_success\{database="catmaid",[^}]*\} 1$', metrics, re.M)
        assert instance.run(f"runuser -u nobody -- cat {METRICS}/*.prom") == metrics
        assert instance.host.run("runuser -u nobody -- cat /etc/catmaid-admin/catmaid.json").rc != 0


def test_a_drill_restores_it_and_leaves_nothing(instances):
    """In the unit's confinement. (That the application is asked there, too, is the test of another scenario.)"""
    for instance in instances:
        (name,) = backups(instance)
        since = now(instance)
        started = instance.host.run(f"systemctl start {DRILL}.service")
        lines = journal(instance, since, DRILL)
        assert started.rc == 0, lines
        assert re.search(f"^catmaid: restoring {re.escape(name)} into catmaid_drill_[0-9a-f]+$", lines, re.M)
        assert "as its manifest says: 11000 rows in 2 tables" in lines
        assert instance.databases() == {"catmaid"}
        assert "catmaid_backup_drill_last_success_timestamp_seconds" in instance.run(f"cat {METRICS}/*.prom")
        assert instance.host.run("catmaid-admin check --max-drill-age 1h").rc == 0


def test_a_killed_drill_is_told_and_tidied_up_by_the_other_unit(instances):
    for instance in instances:
        instance.run(
            f"systemctl start --no-block {DRILL}.service; until pgrep -f '[p]ostgres: .* catmaid_drill_' >/dev/null;"
            f" do sleep 0.01; done; systemctl kill --signal=KILL {DRILL}.service"
        )
        report = told(instance)
        assert (report["what"], report["ok"]) == ("drill", False)
        assert "it ended without a word" in report["message"]
        assert instance.databases() == {"catmaid"}
        assert judged(instance)[0] == 2
        assert instance.host.run(f"systemctl start {DRILL}.service").rc == 0
        assert judged(instance)[0] == 0


def test_a_killed_pg_dump_is_told_everywhere(instances):
    for instance in instances:
        before, since = backups(instance), now(instance)
        failed = instance.host.run(
            f"systemctl start --no-block {UNIT}.service; until pkill -KILL -f '{DUMPS}'; do sleep 0.01; done;"
            f" while systemctl is-active -q {UNIT}.service || [ $(systemctl is-active {UNIT}.service) = activating ];"
            " do sleep 0.1; done; systemctl is-failed catmaid-backup.service"
        )
        assert failed.stdout.strip() == "failed", failed
        assert "SIGKILL" in journal(instance, since)
        report = told(instance)
        assert (report["ok"], report["databases"]["catmaid"]["ok"]) == (False, False)
        assert "SIGKILL" in report["message"]
        assert judged(instance)[0] == 2
        assert backups(instance) == before
        assert 'last_run_success{database="catmaid",folder="/var/backups/catmaid/catmaid"} 0' in instance.run(
            f"cat {METRICS}/*.prom"
        )
        # The unit for jobs that died finds that there is nothing to add.
        wait_for(tells, instance, "nothing to tell", since, f"{UNIT}-failed")
        assert instance.host.run(f"test -e {STATE}/told.json").rc != 0


def test_a_killed_job_is_told_by_the_other_unit(instances):
    for instance in instances:
        before = backups(instance)
        instance.run(
            f"systemctl start --no-block {UNIT}.service; until pgrep -f '{DUMPS}' >/dev/null; do sleep 0.01; done;"
            f" systemctl kill --signal=KILL {UNIT}.service"
        )
        assert "it ended without a word" in told(instance)["message"]
        assert judged(instance)[0] == 2
        assert backups(instance) == before


def test_a_job_that_cannot_begin_is_told_too(instances):
    for instance in instances:
        instance.run("mv /var/backups/catmaid /var/backups/away")
        assert instance.host.run(f"systemctl start {UNIT}.service").rc != 0
        assert "could not even begin" in told(instance)["message"]
        instance.run("mv /var/backups/away /var/backups/catmaid")
        instance.run(f"systemctl start {UNIT}.service")
        assert judged(instance)[0] == 0
        instance.run("systemctl reset-failed")


def test_a_time_that_nobody_understands_leaves_the_timer(instances, play):
    for arguments in (["--check"], []):
        result = play("schedule", *arguments, catmaid_schedule_calendar="3am")
        for instance in instances:
            assert "catmaid_schedule_calendar is '3am'" in result.messages(instance.name)
            assert instance.run(f"systemctl show {UNIT}.timer -p LoadState --value") == "loaded"
            assert instance.run(f"systemctl show {UNIT}.timer -p NextElapseUSecRealtime --value")
            assert "3am" not in instance.run(f"systemctl cat {UNIT}.timer")


def test_another_user_and_another_instance(instances, play, tmp_path, monkeypatch):
    """Without root: the job runs as the server's administrator, beside the first instance's, into an awkward folder."""
    hook = tmp_path / "hooks/mine"  # as in the folder of a lab, in which Ansible is called
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\n")
    monkeypatch.chdir(tmp_path)
    folder = "/var/backups/by postgres, 100 %n"
    mine = {"catmaid_service": "second.lab", "catmaid_backup_dir": folder}
    dump = {
        "jobs": 1,
        "compression": "gzip",
        "compression_level": 1,
        "exclude_table_data": ["noise"],
        "exclude_tables": [],
        "allow_incomplete": True,
        "globals": False,
        "lock_wait_timeout": 7,
    }
    mine |= {f"catmaid_backup_{name}": value for name, value in dump.items()}
    result = play("schedule", catmaid_schedule_user="postgres", catmaid_schedule_hooks=["hooks/mine"], **mine)
    assert result.rc == 0, result.output
    for instance in instances:
        assert instance.run("cat /etc/catmaid-admin/hooks/mine") == "#!/bin/sh"
        told = json.loads(instance.run("catmaid-admin config --instance second.lab --json"))["dump"]
        assert {name: told[name] for name in dump} == dump
        assert json.loads(instance.run("catmaid-admin config --instance catmaid --json"))["dump"]["jobs"] is None
        unit = "second.lab-backup.service"
        started = instance.host.run(f"systemctl start {unit}")
        assert started.rc == 0, instance.run(f"journalctl -u {unit} -n 20 -o cat")
        assert len(backups(instance, f"'{folder}/catmaid'")) == 1
        assert instance.host.run("systemctl start second.lab-drill.service").rc == 0
        assert instance.run("stat -c '%a %U %G' /etc/catmaid-admin/second.lab.json") == "640 root postgres"
        assert instance.run(f"stat -c %U '{folder}'") == "postgres"
        assert instance.host.run("catmaid-admin list").rc == 2  # which of the two?
        assert instance.host.run("catmaid-admin check --instance second.lab").rc == 0
    assert play("schedule", catmaid_schedule_backup="none", **mine).rc == 0
    for instance in instances:
        assert instance.run("ls /etc/systemd/system | grep second.lab || true") == ""
        assert instance.host.run(f"systemctl is-active {UNIT}.timer").rc == 0
        instance.run("rm /etc/catmaid-admin/second.lab.json")


def test_cron_does_the_same_and_the_timer_is_gone(instances, play):
    """By cron itself, and with a file whose name cron would cut."""
    cron = {
        "catmaid_schedule_backup": "cron",
        "catmaid_schedule_cron": "* * * * *",
        "catmaid_schedule_config": "/etc/catmaid-admin/100 %.json",
        "catmaid_backup_min_age": "1h",
        "catmaid_db_admin_password": "",
        "catmaid_backup_encryption": {"method": "age", "recipients": [NOBODY]},
    }
    for instance in instances:
        instance.run("dpkg --purge age")  # the job needs it now, so it is installed
        instance.run("systemctl start cron.service")
        instance.run("rm -rf /var/backups/catmaid/catmaid /etc/catmaid-admin/*.json")
    predicted = play("schedule", "--check", **cron)
    result = play("schedule", **cron)
    assert result.rc == 0, result.output
    for instance in instances:
        assert predicted.changed(instance.name) == result.changed(instance.name)
        assert any("Programs | Install their packages" in task for task in result.changed(instance.name))
        assert instance.run("age --version")
        assert (
            instance.run(
                f"systemctl list-unit-files --no-legend '{UNIT}*' '{DRILL}*';"
                f" ls /etc/systemd/system | grep -e {UNIT} -e {DRILL} || true"
            )
            == ""
        )
        assert instance.run(f"ls /var/lib/systemd/timers | grep -e {UNIT} -e {DRILL} || true") == ""
        assert "drill --job cron" in instance.run("grep ^0.5 /etc/cron.d/catmaid-backup")
        listed = wait_for(backups, instance)
        wait_for(went_well, instance)
        assert len(listed) == 1
        assert json.loads(instance.run("catmaid-admin info --json"))["requested_by"] == "cron"

    result = play("schedule", **cron | {"catmaid_schedule_backup": "none"})
    assert result.rc == 0, result.output
    for instance in instances:
        assert result.changed(instance.name) == ["catmaid.admin.schedule : Cron | Remove the job"]
        assert instance.run("ls /etc/cron.d | grep catmaid || true") == ""
        assert judged(instance)[0] == 0


def test_no_secret_is_shown(instances, play):
    secret = "s3cr3t-'quoted\"-pass"
    more = {"catmaid_db_admin_password": secret, "catmaid_schedule_backup": "none"}
    result = play("schedule", "-vvv", "--diff", callback="default", **more)
    assert result.rc == 0, result.output[-3000:]
    for hidden in (secret, json.dumps(secret)[1:-1]):
        assert hidden not in result.output
    for instance in instances:
        assert json.loads(instance.run("cat /etc/catmaid-admin/catmaid.json"))["login"]["password"] == secret
        assert instance.run("stat -c %a /etc/catmaid-admin/catmaid.json") == "600"
        assert secret not in instance.run("catmaid-admin config --instance catmaid")
