# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One job at a time works on a database, also when it is a play of many tasks, and also when that has died."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

pytestmark = pytest.mark.once("trixie")

# A holder has the folder of the process open with which it ends.
TIED = "readlink $(pgrep -f 'catmaid.admin job [l]ock' | sed 's|.*|/proc/&/fd/*|') | grep -c ^/proc/ || true"
HOLDER = "pgrep -fc 'catmaid.admin job [l]ock' || true"
# As over a connection that no process can be tied to.
LOCK = {"login_db": "catmaid", "job": "a lost play", "leash": ""}
LOSE = ["--become", "--become-user", "postgres", "-m", "catmaid.admin.job_lock", "-a", json.dumps(LOCK)]
RESTORE = {"catmaid_restore_confirm": "catmaid"}


def holders(instance) -> int:
    return int(instance.run(HOLDER))


def wait_for_holders(instances, process, what: str = HOLDER) -> None:
    deadline = time.monotonic() + 300
    while not all(int(instance.run(what)) for instance in instances):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)


def test_a_backup_during_a_restore_is_told_who_is_at_work(instances, play):
    running = play.start("restore", **RESTORE)
    wait_for_holders(instances, running)
    refused = play("backup")
    assert refused.rc != 0
    for instance in instances:
        assert "is locked by restore of latest by ansible-playbook of" in str(refused.tasks(instance.name))
    assert play.finish(running).rc == 0
    assert [holders(instance) for instance in instances] == [0] * len(instances)


def test_the_turn_of_a_play_that_was_killed_ends_with_it(instances, play):
    running = play.start("restore", **RESTORE)
    wait_for_holders(instances, running, TIED)
    play.kill(running)
    # What it had begun on a host may go on for a moment, and has the database for itself until then.
    again = play("restore", catmaid_lock_wait=60, **RESTORE)
    assert again.rc == 0, again.output
    assert [holders(instance) for instance in instances] == [0] * len(instances)


def test_the_turn_of_a_play_that_nothing_is_tied_to_is_overridden(instances, play):
    subprocess.run(["ansible", play.hosts, "-i", str(play.inventory), *LOSE], check=True, stdout=subprocess.DEVNULL)
    assert [holders(instance) for instance in instances] == [1] * len(instances)
    refused = play("restore", **RESTORE)
    assert refused.rc != 0
    for instance in instances:
        message = refused.messages(instance.name)
        assert "is locked by a lost play" in message
        assert "If its play has died, release it" in message
        assert not instance.is_in_maintenance()
    again = play("restore", catmaid_lock_force=True, **RESTORE)
    assert again.rc == 0, again.output
    assert [holders(instance) for instance in instances] == [0] * len(instances)
