# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal shows how far a backup, a restore or a rebuild is, and otherwise nothing is different."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.once("bookworm")

INVENTORY = Path(__file__).resolve().parents[2] / "shared/inventory"
DATABASE = "slow to dump"
DEST = "/var/tmp/progress"
PASSWORD = "not-the-password-of-anybody"
FILL = """CREATE TABLE {name} AS
    SELECT n, md5(n::text) a, md5((n + 1)::text) b FROM generate_series(1, {rows}) n"""
SLOW = {"login_db": DATABASE, "dest": DEST, "compression": "gzip", "compression_level": 9, "jobs": 1}
QUICK = {**SLOW, "compression_level": 1, "jobs": 2}
PG_DUMP = "^[^ ]*/pg_dump .*--file"  # not setpriv, which becomes it, nor one that is asked for its version
PG_RESTORE = "^[^ ]*/pg_restore .*--exit-on-error"
RESTORED = "slow to restore"
PROJECT = {"project_path": "/opt/catmaid/current/source", "virtualenv": "/opt/catmaid/current/env"}
HELD = "LOCK TABLE catmaid_skeleton_summary IN ACCESS SHARE MODE; SELECT pg_sleep(600)"
TOLD = re.compile(rf"^\[(catmaid-[a-z]+)\] backing up {DATABASE}: (\d+) % \(", re.MULTILINE)

SLEEPING = "FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module", autouse=True)
def _slow_database(instances):
    for instance in instances:
        instance.sql(f'CREATE DATABASE "{DATABASE}"', "postgres")
        for name, rows in (("one", 150000), ("two", 60000)):
            instance.sql(FILL.format(name=name, rows=rows), DATABASE)
    yield
    for instance in instances:
        instance.sql(f'DROP DATABASE "{DATABASE}"', "postgres")
        instance.run(f"rm -rf {DEST}")


class Tasks:
    """Plays tasks on some hosts and keeps their results."""

    def __init__(self, folder: Path, hosts: str) -> None:
        self._folder = folder
        self._hosts = hosts

    def start(self, *tasks: dict[str, Any], options: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start ansible-playbook, with the output that people see."""
        listed = []
        for number, task in enumerate(tasks):
            content = f"{{{{ result{number} | to_json }}}}"
            path = f"{self._folder}/{{{{ inventory_hostname }}}}.{number}"
            listed += [
                {"name": f"Task {number}", "register": f"result{number}", "ignore_errors": True, **task},
                {"ansible.builtin.copy": {"content": content, "dest": path}, "name": "Keep the result",
                 "delegate_to": "localhost", "become": False, "no_log": True, "check_mode": False},
            ]  # fmt: skip
        play = {"hosts": self._hosts, "gather_facts": False, "become": True, "strategy": "free", "tasks": listed}
        playbook = self._folder / "playbook.yml"
        playbook.write_text(json.dumps([play]), encoding="utf-8")
        with open(self._folder / "output", "w", encoding="utf-8") as output:
            return subprocess.Popen(
                ["ansible-playbook", "-i", str(INVENTORY), str(playbook), *options],
                env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1"},
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def play(self, *tasks: dict[str, Any], options: tuple[str, ...] = ()) -> str:
        """Play to the end and return the output."""
        return self.finish(self.start(*tasks, options=options))

    def until_told(self, instances, words: str) -> None:
        """Wait until the terminal has told of each host what begins with these words, a regular expression."""
        output = self._folder / "output"
        for instance in instances:
            line = re.compile(rf"^\[{instance.name}\] {words}", re.MULTILINE)
            until(lambda line=line: line.search(output.read_text(encoding="utf-8")), f"not shown: {line.pattern}")

    def finish(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end and return the output, which pytest shows too if the test fails."""
        process.wait(timeout=600)
        output = (self._folder / "output").read_text(encoding="utf-8")
        print(output)
        return output

    def result(self, instance: Any, number: int) -> dict[str, Any]:
        """Return what a task left on a host."""
        return json.loads((self._folder / f"{instance.name}.{number}").read_text(encoding="utf-8"))


@pytest.fixture
def tasks(tmp_path, play):
    """Play tasks."""
    return Tasks(tmp_path, play.hosts)


def dump(**arguments: Any) -> dict[str, Any]:
    """Return a task's action."""
    return {"catmaid.admin.pg_dump": arguments}


def shape(value: Any) -> Any:
    """Return a value's structure: its keys and types."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else type(value).__name__


def until(condition, what):
    """Wait for something to become true."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def running(instance) -> str:
    """Return the processes of a dump and of its module."""
    return instance.run("pgrep -af '[A]nsiballZ_[p]g_dump|[p]g_dump.*slow to' || true")


def at_once(what, instances) -> None:
    """Do something on all hosts at the same time."""
    with ThreadPoolExecutor(len(instances)) as pool:
        list(pool.map(what, instances))


def hold(instance, program=PG_DUMP) -> None:
    """Wait for a program and stop it there: how fast the machine is shall not matter."""
    instance.run(f"timeout 180 sh -c 'until pkill -STOP -f \"{program}\"; do sleep 0.05; done'")


def go_on(instance, program=PG_DUMP) -> None:
    """Let it go on."""
    instance.run(f"pkill -CONT -f '{program}' || true")


def slow_down(instance) -> None:
    """Let a pg_dump that was stopped go on in small steps, to its end."""
    step = f'pkill -CONT -f "{PG_DUMP}"; sleep 0.2'
    instance.run(f"timeout 180 sh -c 'while pkill -STOP -f \"{PG_DUMP}\"; do sleep 1.5; {step}; done'")


def leftovers(instance) -> str:
    """Return what background jobs have left."""
    folders = "/root/.ansible_async /root/.ansible/tmp"
    return instance.run(f"find {folders} -mindepth 1 ! -name 'ansible-local*' 2>/dev/null || true")


def test_progress_is_shown_and_the_result_is_the_same(instances, tasks):
    quiet_output = tasks.play({**dump(**QUICK), "no_log": True}, options=("-vvv",))
    assert "async_wrapper" not in quiet_output
    assert DATABASE not in quiet_output
    quiets = [tasks.result(instance, 0) for instance in instances]
    process = tasks.start(dump(**SLOW))
    at_once(hold, instances)
    at_once(slow_down, instances)
    output = tasks.finish(process)
    for instance, quiet in zip(instances, quiets, strict=True):
        percents = [int(percent) for name, percent in TOLD.findall(output) if name == instance.name]
        assert percents and percents[0] < 100, output
        assert percents == sorted(percents)
        live = tasks.result(instance, 0)
        assert live["changed"] is quiet["changed"] is True
        # Sizes and times apart, and the first one has nobody to be compared with.
        for result in (live, quiet):
            result["manifest"].pop("compared_with")
        assert shape(live) == shape(quiet)
        assert leftovers(instance) == ""


def test_failures_are_the_same_and_no_secret_shows(instances, tasks):
    wrong = dump(**{**QUICK, "login_host": "localhost", "login_password": PASSWORD})
    output = tasks.play(wrong, {**wrong, "no_log": True}, dump(**QUICK, nosuch=1), options=("-vvv",))
    assert "async_wrapper" in output
    assert PASSWORD not in output
    for instance in instances:
        live, quiet, unknown = (tasks.result(instance, number) for number in range(3))
        assert live == quiet
        assert live["failed"] is True
        assert "Unsupported parameters" in unknown["msg"]
        assert leftovers(instance) == ""
        assert instance.run(f"grep -rls {PASSWORD} /root/.ansible /root/.ansible_async /tmp /var/tmp || true") == ""


def test_check_mode_is_synchronous(instances, tasks):
    output = tasks.play(dump(**SLOW), options=("--check", "-vvv"))
    assert "async_wrapper" not in output
    assert "backing up" not in output
    for instance in instances:
        assert tasks.result(instance, 0)["changed"] is True


def test_the_background_job_that_a_user_wants_is_ansibles_own(instances, tasks):
    output = tasks.play({**dump(**QUICK), "async": 120, "poll": 1})
    assert not TOLD.search(output)
    for instance in instances:
        result = tasks.result(instance, 0)
        assert result["changed"] is True
        assert result["ansible_job_id"]


def test_an_interrupt_ends_the_job_and_the_next_run_is_clean(instances, tasks):
    process = tasks.start(dump(**SLOW))
    at_once(hold, instances)
    process.send_signal(signal.SIGINT)
    output = tasks.finish(process)
    assert process.returncode != 0, output
    for instance in instances:
        until(lambda instance=instance: running(instance) == "", f"it goes on: {running(instance)}")
        until(lambda instance=instance: leftovers(instance) == "", f"left: {leftovers(instance)}")
    tasks.play(dump(**QUICK))
    for instance in instances:
        assert tasks.result(instance, 0)["changed"] is True
        assert instance.run(f"find {DEST} -name '.partial-*'") == ""


def test_a_job_that_was_killed_with_its_wrapper_is_a_failure(instances, tasks):
    process = tasks.start(dump(**SLOW))
    at_once(hold, instances)
    for instance in instances:
        instance.run("pkill -KILL -f '[a]nsible-tmp-.*/([A]nsiballZ_pg_dump|async_wrapper)'")
        go_on(instance)
    tasks.finish(process)
    for instance in instances:
        assert "ended without a result" in tasks.result(instance, 0)["msg"]
        assert leftovers(instance) == ""


def test_a_copy_tells_how_far_it_is(instances, tasks):
    shelf = {"name": "shelf", "backend": "local", "path": f"{DEST}/away", "encrypt": False, "bandwidth": 1000}
    copy = {"catmaid.admin.backup_copy": {"dest": DEST, "database": DATABASE, "targets": [shelf]}}
    output = tasks.play(dump(**QUICK), copy)
    for instance in instances:
        assert re.search(rf"^\[{instance.name}\] copying \S+\.tar to shelf: \d+ % \(", output, re.MULTILINE), output
        assert tasks.result(instance, 1)["targets"][0]["ok"] is True
        assert leftovers(instance) == ""


def test_a_restore_tells_how_far_it_is(instances, tasks):
    restore = {"catmaid.admin.pg_restore": {"login_db": RESTORED, "archive": "{{ result0.path }}"}}
    process = tasks.start(dump(**QUICK), restore)
    at_once(lambda instance: hold(instance, PG_RESTORE), instances)
    try:
        tasks.until_told(instances, f"(making the tables|loading the rows|building the indexes) of {RESTORED}: ")
    finally:
        at_once(lambda instance: go_on(instance, PG_RESTORE), instances)
    tasks.finish(process)
    for instance in instances:
        assert tasks.result(instance, 1)["rows_compared"] == 210000
        assert instance.sql("SELECT count(*) FROM one", RESTORED) == "150000"
        assert leftovers(instance) == ""
        instance.sql(f'DROP DATABASE "{RESTORED}"', "postgres")


def test_a_rebuild_tells_what_it_is_at(instances, tasks):
    for instance in instances:
        instance.run(f"systemd-run --quiet --collect --unit=viewer --uid=postgres psql -Xqc 'BEGIN; {HELD}' catmaid")
        until(lambda instance=instance: instance.sql(f"SELECT count(*) {SLEEPING}", "postgres") == "1", "nobody reads")
    options = {"login_db": "catmaid", "materializations": ["skeleton_summary"], "force": True, "lock_timeout": 0}
    process = tasks.start({"catmaid.admin.rebuild_materializations": {**options, **PROJECT}})
    try:
        tasks.until_told(instances, "rebuilding skeleton_summary of catmaid, 1 of 1: catmaid_skeleton_summary, ")
    finally:
        for instance in instances:
            instance.sql(f"SELECT pg_terminate_backend(pid) {SLEEPING}", "postgres")
    tasks.finish(process)
    for instance in instances:
        assert tasks.result(instance, 0)["rebuilt"] == ["skeleton_summary"]
        assert leftovers(instance) == ""
