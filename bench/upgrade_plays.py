# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run beside run.py: upgrade an instance on a test host as documented and by the collection's playbooks, in turns.

It is the CATMAID double, or a real CATMAID if the variables of tests/journey.py say which one.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.double import build
from tests.integration.double_fixtures import PASSWORD, ROLE
from tests.journey import Journey

REAL = os.environ.get("CATMAID_REPO", "")
VOLUME = "/srv/catmaid.git"
# What the playbook upgrade is told, by variant. The double's two releases are not apart by additions alone.
OURS: dict[str, dict[str, str]] = {"ours": {}}
if os.environ.get("BENCH_ONLINE"):
    OURS["ours, online"] = {"catmaid_upgrade_mode": "online"}
ROLLBACK = {"ours": "rollback", "ours, online": "rollback, online"}
DOCUMENTED = {"documented, warm": "warm", "documented, cold": "cold"}

Row = dict[str, Any]


class Site:
    """The instance on its host, and who asks for its page."""

    def __init__(self, folder: Path, ssh: list[str], on_host: str, **more: Any) -> None:
        self.ssh, self.on_host = ssh, on_host
        self.journey = Journey(folder)
        self.journey.ssh, self.journey.repository, self.journey.image = ssh, VOLUME, ssh[-1].partition("-")[2]
        self.journey.link_interpreters()
        self.journey.write_site(ssh[2], catmaid_db_user=ROLE, catmaid_db_password=PASSWORD, **more)

    def call(self, command: str) -> Row:
        """Run a command of bench.upgrade on the host and return what it tells."""
        told = self.run(f"{self.on_host} -m bench.upgrade {command}")
        return dict(json.loads(told)) if told else {}

    def run(self, command: str) -> str:
        """Run a command on the host and return what it prints."""
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run([*self.ssh, command], check=False, **options)
        if done.returncode:
            raise SystemExit(f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout.strip()

    def install(self) -> None:
        """Install the first release, and keep it."""
        self.journey.play(
            "provision", catmaid_version=self.journey.version_from, catmaid_python=self.journey.python_from
        )
        self.call("keep")

    def fill(self, size: int) -> str:
        """Make a database with so many treenodes, and return its name."""
        name = f"bench{size}"
        self.run(
            f"{self.on_host} -m bench.upgrade fill {name} {size}"
            if REAL
            else f"{self.on_host} -m bench.fill {name} {size} /var/cache/catmaid-bench"
        )
        return name

    def watched(self, work: Callable[[], Row]) -> Row:
        """Do something while the page is asked, and return what became of both."""
        command = [*self.ssh, f"{self.on_host} -m bench.upgrade watch"]
        # Its own pipe for errors, too: ssh makes what it shares with us non-blocking, which Ansible refuses.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as asking:
            time.sleep(2)  # it is asking by then
            started = time.monotonic()
            told = work()
            seconds = round(time.monotonic() - started, 3)
            time.sleep(1)
            asked, errors = asking.communicate()
        if asking.returncode:
            raise SystemExit(f"bench.upgrade watch\n{errors[-2000:]}")
        return {"seconds": seconds, **json.loads(asked), **told}

    def play(self, name: str, **variables: str) -> Row:
        """Run a playbook, and return what the job on the host says of itself."""
        self.journey.play(name, **variables)
        line = self.call("history")
        return {
            "phases": line["seconds"],
            "protect": line["protect_seconds"],
            "maintenance": line["downtime_seconds"],
        }

    def roll_back(self) -> Row:
        """Take the upgrade back by the command on the host."""
        started = time.monotonic()
        self.run("catmaid-admin rollback")
        seconds = round(time.monotonic() - started, 3)
        return {"seconds": seconds, "phases": self.call("history")["seconds"]}

    def rounds(self, filled: str, repetitions: int) -> Iterator[Row]:
        """Yield what each procedure costs, so many times."""
        wanted = {"catmaid_version": self.journey.version_to, "catmaid_python": self.journey.python_to}
        for _round in range(repetitions):
            for variant, pip in DOCUMENTED.items():
                size = self.call(f"reset {filled}")
                done = self.watched(partial(self.call, f"documented {self.journey.version_to} {pip}"))
                yield {"variant": variant, **size, **done}
            for variant, variables in OURS.items():
                size = self.call(f"reset {filled}")
                upgraded = self.watched(partial(self.play, "upgrade", **wanted, **variables))
                yield {"variant": variant, **size, **upgraded}
                yield {"variant": ROLLBACK[variant], **size, **self.watched(self.roll_back)}


def volumes(folder: Path) -> str:
    """Return the mounts that let a host see the repository: the real one, or the double's, which is made."""
    if REAL:
        return f"{REAL}:{VOLUME}:ro {os.environ.get('CATMAID_TEST_VOLUMES', '')}"
    build.build(folder / "double.git", bare=True)
    return f"{folder / 'double.git'}:{VOLUME}:ro"
