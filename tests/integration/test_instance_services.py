# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module instance_services: what runs an instance is stopped and started, whoever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.double_fixtures import run
from tests.integration.support import run_module

pytestmark = pytest.mark.once("bookworm")

UNITS = {
    "flylab.target": "[Unit]\nWants=flylab.service flylab-beat.service\n",
    "flylab.service": "[Unit]\nPartOf=flylab.target\n[Service]\nExecStart=sleep infinity\n",
    "flylab-beat.service": "[Unit]\nPartOf=flylab.target\n[Service]\nExecStart=sleep infinity\n",
    "flylab-fails.service": "[Service]\nType=oneshot\nExecStart=false\n",
}
PROGRAM = "supervisor:lab:pages"
PROGRAMS = """\
[program:pages]
command = sleep infinity
[program:fails]
command = false
startretries = 0
autostart = false
[group:lab]
programs = pages, fails
"""
CONFIGURED = Path("/etc/supervisor/conf.d/lab.conf")


@pytest.fixture(scope="module", autouse=True)
def services() -> Iterator[None]:
    """Two units that a target holds together, one that fails, and supervisor with programs."""
    folder = Path("/etc/systemd/system")
    for name, text in UNITS.items():
        (folder / name).write_text(text)
    CONFIGURED.write_text(PROGRAMS)
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "restart", "supervisor", "flylab.target"])
    run(["timeout", "30", "sh", "-c", "until supervisorctl status lab:pages | grep RUNNING; do sleep 0.2; done"])
    yield
    run(["systemctl", "stop", "supervisor", "flylab.target"])
    run(["systemctl", "reset-failed", "flylab-fails.service"], check=False)  # or a later test hears of it
    for path in (CONFIGURED, *(folder / name for name in UNITS)):
        path.unlink()
    run(["systemctl", "daemon-reload"])


def pids() -> list[str]:
    """Return the processes of both units and of the program, without a 0 of what does not run."""
    asked = ["systemctl", "show", "--property=MainPID", "--value", "flylab.service", "flylab-beat.service"]
    found = run(asked).stdout.split() + run(["supervisorctl", "pid", "lab:pages"], check=False).stdout.split()
    return [pid for pid in found if pid.isdigit() and pid != "0"]


def test_all_of_it_stops_and_starts() -> None:
    asked = {"services": ["flylab", PROGRAM]}
    before = pids()
    assert len(before) == 3
    assert not run_module("instance_services", state="started", **asked).changed
    assert run_module("instance_services", check=True, state="stopped", **asked).changed
    assert pids() == before

    stopped = run_module("instance_services", state="stopped", **asked)
    assert stopped.changed and pids() == []
    assert set(stopped.result["services"]) == {"flylab.service", "flylab-beat.service", PROGRAM}
    assert not run_module("instance_services", state="stopped", **asked).changed
    run(["systemctl", "stop", "flylab.target"])
    assert run_module("instance_services", state="started", **asked).changed
    started = pids()
    assert len(started) == 3
    assert run_module("instance_services", state="restarted", **asked).changed
    assert len(set(started) | set(pids())) == 6
    run(["systemctl", "stop", "flylab.target"])  # which knows that it runs
    assert len(pids()) == 1


def test_without_supervisor_its_programs_are_stopped_and_it_is_started() -> None:
    run(["systemctl", "stop", "supervisor"])
    assert not run_module("instance_services", state="stopped", services=[PROGRAM]).changed
    assert run_module("instance_services", state="started", services=[PROGRAM]).changed
    assert run(["supervisorctl", "pid", "lab:pages"]).stdout.strip() in pids()


@pytest.mark.parametrize("name", ["flylab-fails", "flylab-nosuch", "supervisor:lab:fails", "supervisor:lab:nosuch"])
def test_what_does_not_start_is_told(name: str) -> None:
    error = run_module("instance_services", state="started", services=[name]).error
    assert name.removeprefix("supervisor:") in error and "Look at " in error
