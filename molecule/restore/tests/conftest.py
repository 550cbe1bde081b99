# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killing a restore where it hurts."""

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
WANTED = {"catmaid_lock_force": True, "catmaid_lock_wait": 120, "catmaid_restore_confirm": "catmaid"}
# The task to be killed at, of a phase whose first one is not where it hurts most
AT = {
    "recover": "Start the application",
    "prepare": "Make its virtual environment",
    "move": "Let the application's role",
    "beside": "Restore into",
    "swap": "Rename both databases",
    "settings": "Ask them where they lead",
    "start": "Start the application",
    "back": "Put the old database",
}


class Killer:
    """Kills plays. ``at`` are the tasks for that, of the phases that have one of their own."""

    at = AT

    def __init__(self, play) -> None:
        self.where = ["-i", str(play.inventory), "--limit", play.hosts]

    def __call__(self, phase: str, at: str = "", **wanted: object) -> None:
        """Run a restore until it gets to a phase, or to its task ``at``, and kill all of it, as a power cut does."""
        heading = f"{phase.capitalize()} | {at}" if at else self.heading(phase)
        variables = json.dumps({**WANTED, **wanted})
        argv = ["ansible-playbook", *self.where, "catmaid.admin.restore", "-e", variables]
        environment = os.environ | {"ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1"}
        running = subprocess.Popen(
            argv, env=environment | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        seen = ""
        for line in running.stdout:
            seen += line
            if line.startswith("TASK [") and heading in line:
                time.sleep(0.3)  # the hosts have it by then
                break
        else:
            pytest.fail(f"It never came to {heading}:\n{seen}")
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()

    def heading(self, phase: str) -> str:
        """Return how the task begins that a play is to be killed at."""
        first = yaml.safe_load((ROLE / f"{phase}.yml").read_text(encoding="utf-8"))[0]["name"]
        return f"{phase.capitalize()} | {AT[phase]}" if phase in AT else first


@pytest.fixture(scope="module")
def kill_at(play) -> Killer:
    """Run a restore until it gets to a phase, and kill it."""
    return Killer(play)
