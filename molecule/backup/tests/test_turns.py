# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One job at a time works on a database, also when it is a play of many tasks, and also when that has died."""

from __future__ import annotations

import time

HOLDER = "pgrep -fc 'catmaid.admin job [l]ock' || true"
RESTORE = {"catmaid_restore_confirm": "catmaid"}


def holders(instance) -> int:
    return int(instance.run(HOLDER))


def wait_for_holders(instances, process) -> None:
    deadline = time.monotonic() + 300
    while not all(holders(instance) for instance in instances):
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
    assert [holders(instance) for instance in instances] == [0, 0]


def test_a_play_that_was_killed_leaves_word_and_is_overridden(instances, play):
    running = play.start("restore", **RESTORE)
    wait_for_holders(instances, running)
    running.kill()
    running.communicate()
    assert [holders(instance) for instance in instances] == [1, 1]
    refused = play("restore", **RESTORE)
    assert refused.rc != 0
    for instance in instances:
        message = refused.messages(instance.name)
        assert "is locked by restore of latest" in message
        assert "If its play has died, release it" in message
        assert not instance.is_in_maintenance()
    again = play("restore", catmaid_lock_force=True, catmaid_lock_wait=60, **RESTORE)
    assert again.rc == 0, again.output
    assert [holders(instance) for instance in instances] == [0, 0]
