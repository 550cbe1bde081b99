# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever goes wrong, the old release serves the old data."""

from __future__ import annotations

import json
import re
import time

import pytest

pytestmark = pytest.mark.once("trixie")

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
TIED = "ls -l /proc/$(pgrep -of 'catmaid.admin [j]ob lock')/fd | grep -q '> /proc/'"


def wait_for(running, condition, instance) -> None:
    """Wait until it is so on a host, while a play runs."""
    deadline = time.monotonic() + 180
    while not condition(instance):
        assert time.monotonic() < deadline and running.poll() is None, running.poll()
        time.sleep(0.5)


def is_locked(instance) -> bool:
    """Tell whether what holds the lock has seen the process that ends with the play."""
    return instance.host.run(TIED).rc == 0


def migrates(instance) -> bool:
    """Tell whether it has come to the slow part of a migration."""
    return instance.sql(SLEEPING, "postgres") != "0"


@pytest.fixture
def slow(instances):
    """A migration that takes long enough for something to happen to it."""
    for instance in instances:
        instance.sql("ALTER DATABASE catmaid SET catmaid.slow_seconds = 300")
    yield
    for instance in instances:
        instance.sql("ALTER DATABASE catmaid RESET catmaid.slow_seconds")


def test_a_migration_that_raises_leaves_the_old_release_serving(instances, play, serves):
    result = play("upgrade", catmaid_version="2030.09.10")
    assert result.rc != 0
    for instance in instances:
        assert "was undone: 2030.06.20 serves again" in result.messages(instance.name)
        serves(instance)
        # the evidence is kept
        assert any(name.startswith("catmaid_failed_upgrade_") for name in instance.databases())
        assert "0010" in instance.run("cat /var/lib/catmaid/failed/*/upgrade.json")


def test_a_release_that_answers_with_errors_is_undone(instances, play, serves):
    result = play("upgrade", catmaid_version="broken-start")
    assert result.rc != 0
    for instance in instances:
        assert "was undone" in result.messages(instance.name)
        serves(instance)


def test_a_play_that_is_killed_leaves_no_lock(instances, play):
    """It waits for people when its controller is gone; the play of the next test gets the lock."""
    for instance in instances:
        instance.sql("UPDATE treenode SET edition_time = now() WHERE id = (SELECT max(id) FROM ONLY treenode)")
    options = {"catmaid_upgrade_backup": False, "catmaid_upgrade_guard": "wait", "catmaid_upgrade_guard_wait": 1}
    running = play.start("upgrade", catmaid_version="2030.12.21", catmaid_upgrade_guard_idle=60, **options)
    for instance in instances:
        wait_for(running, is_locked, instance)
    play.kill(running)


def test_killing_the_migration_leaves_the_old_release_serving(instances, play, serves, slow):
    running = play.start("upgrade", catmaid_version="2030.12.21", catmaid_lock_wait=120)
    for instance in instances:
        wait_for(running, migrates, instance)
    # Visitors are told why, and until when.
    for instance in instances:
        status, page = instance.get("/", "-D", "/tmp/head")
        assert status == 503 and re.search(r"(?m)^Retry-After: [1-9]0+\b", instance.run("cat /tmp/head"))
        assert "is being upgraded to 2030.12.21" in page
        assert re.search(r"back at about \d\d:\d\d UTC", page)
    # Nobody else gets a turn meanwhile, and is told who has it.
    backup = play("backup")
    assert backup.rc != 0
    for instance in instances:
        assert "is locked by upgrade to 2030.12.21 by ansible-playbook of" in str(backup.tasks(instance.name))
        assert re.match(r"catmaid\.00\d\d_\w+, \d of \d", instance.run("cat /var/lib/catmaid/upgrade-step"))
        instance.run("pkill -KILL -f 'catmaid.admin [m]igrate'")
    result = play.finish(running)
    assert result.rc != 0
    for instance in instances:
        assert f"[{instance.name}] upgrading to 2030.12.21: " in result.shown
        assert "was undone" in result.messages(instance.name)
        serves(instance)


def test_the_power_fails_in_a_migration(instances, play, serves, slow):
    """And the controller is gone with it. What boots brings back what was."""
    (instance,) = instances
    options = {"catmaid_upgrade_backup": False, "catmaid_version": "2030.12.21"}
    running = play.start("upgrade", **options)
    wait_for(running, migrates, instance)
    play.kill(running)
    instance.crash()
    deadline = time.monotonic() + 120
    while instance.get("/version")[0] != 200:
        assert time.monotonic() < deadline, instance.run("journalctl --boot --no-pager --unit 'catmaid*'")
        time.sleep(0.5)
    serves(instance)
    assert json.loads(instance.run("tail -n 1 /var/lib/catmaid/upgrade-history.jsonl"))["result"] == "undone"


def test_edited_code_is_not_left_behind(instances, play):
    for instance in instances:
        instance.run("echo '# ours' >> /opt/catmaid/current/source/django/projects/manage.py")
    try:
        result = play("upgrade", catmaid_version="2030.12.21")
    finally:
        for instance in instances:
            instance.run("git -C /opt/catmaid/current/source -c safe.directory='*' checkout -q -- .")
    for instance in instances:
        assert "were edited" in result.messages(instance.name)
        assert result.changed(instance.name) == []


def test_an_unknown_version_is_explained(instances, play):
    result = play("upgrade", catmaid_version="2030.06.21")
    for instance in instances:
        assert "Similar names" in result.messages(instance.name)
        assert result.changed(instance.name) == []


def test_an_interpreter_that_does_not_fit_is_refused_before_anything_stops(instances, play, serves):
    result = play("upgrade", catmaid_version="maintenance/2030.01.15", catmaid_python="/usr/bin/python3.5")
    for instance in instances:
        assert "/usr/bin/python3.5 cannot be run" in result.messages(instance.name)
        instance.run(
            "printf '#!/bin/sh\\necho 3.5\\n' > /usr/local/bin/old-python && chmod 0755 /usr/local/bin/old-python"
        )
    result = play("upgrade", catmaid_version="maintenance/2030.01.15", catmaid_python="/usr/local/bin/old-python")
    for instance in instances:
        assert "runs on Python 3.8" in result.messages(instance.name)
        serves(instance)
