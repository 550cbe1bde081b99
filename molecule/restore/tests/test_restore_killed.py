# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play that is killed in any phase leaves the live data as it was, and the next one brings the application back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

ROLE = Path(__file__).parents[3] / "roles/restore/tasks"
CONFIRM = {"catmaid_restore_confirm": "catmaid"}
AGAIN = {"catmaid_lock_force": True, "catmaid_lock_wait": 120, **CONFIRM}
# The task to be killed at, of a phase whose first one is not where it hurts most
AT = {"beside": "Restore into", "swap": "Rename both databases", "start": "Start the application"}
# There is nothing to be done in these, unless something else went wrong before.
NOT_ALWAYS = {"recover": "see the last test", "prepare": "test_restore_code.py", "back": "test_restore.py"}


def phases() -> list[str]:
    """Return the phases of the role: its files of tasks, in the order in which they run."""
    found = []
    for name in ("live", "swap"):
        text = (ROLE / f"{name}.yml").read_text(encoding="utf-8")
        found += [line.rpartition(" ")[2].removesuffix(".yml") for line in text.splitlines() if "_tasks: " in line]
    return list(dict.fromkeys(found))


def heading(phase: str) -> str:
    """Return how the task begins that a play is to be killed at."""
    first = yaml.safe_load((ROLE / f"{phase}.yml").read_text(encoding="utf-8"))[0]["name"]
    return f"{phase.capitalize()} | {AT[phase]}" if phase in AT else first


def kill_at(play, phase: str) -> None:
    """Run a restore until it gets to a phase, and kill it as a power cut does: at once, and all its processes."""
    argv = ["ansible-playbook", "-i", str(play.inventory), "catmaid.admin.restore", "-e", json.dumps(AGAIN)]
    environment = os.environ | {"ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1", "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    seen = ""
    for line in running.stdout:
        seen += line
        if line.startswith("TASK [") and heading(phase) in line:
            time.sleep(0.3)  # the hosts have it by then
            break
    alive = running.poll() is None
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert alive, seen


@pytest.fixture(scope="module", autouse=True)
def rows(instances):
    """How many treenodes there are on each host: after every test as many as before."""
    return {instance: instance.treenodes() for instance in instances}


def test_there_is_a_row_for_every_phase():
    files = {path.stem for path in ROLE.glob("*.yml")} - {"main", "live", "scratch"}
    assert set(phases()) | NOT_ALWAYS.keys() == files
    assert AT.keys() <= set(phases())


@pytest.mark.parametrize("phase", [phase for phase in phases() if phase not in NOT_ALWAYS])
def test_a_play_that_was_killed_there_has_not_touched_the_live_data(instances, play, rows, phase):
    kill_at(play, phase)
    for instance in instances:
        deadline = time.monotonic() + 60
        while "catmaid" not in instance.databases():  # in the moment of the renames
            assert time.monotonic() < deadline
        assert instance.treenodes() == rows[instance]
        if phase not in ("swap", "start"):
            assert instance.get("/projects/")[0] == 200


def test_the_next_one_brings_the_application_back_even_if_it_fails_itself(instances, play, rows):
    kill_at(play, "swap")
    result = play("restore", catmaid_restore_backup="nosuch", **AGAIN)
    assert result.rc != 0
    for instance in instances:
        assert "There is no verified backup nosuch" in result.messages(instance.name)
        assert not instance.is_in_maintenance()
        assert instance.get("/projects/")[0] == 200
        assert instance.treenodes() == rows[instance]


def test_the_next_one_goes_on_and_leaves_nothing_behind(instances, play, rows):
    result = play("restore", **AGAIN)
    assert result.rc == 0, result.output
    for instance in instances:
        assert instance.treenodes() == rows[instance]
        assert instance.get("/projects/")[0] == 200
        left = instance.databases() - {"catmaid"}
        assert all(name.startswith(("catmaid_before_restore_", "catmaid_failed_restore_")) for name in left)
        assert {"restore.json", "maintenance.html"}.isdisjoint(instance.run("ls /var/lib/catmaid").split())
