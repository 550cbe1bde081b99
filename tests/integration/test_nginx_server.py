# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx_server: nginx works by the numbers that are wanted, or by those from before, and serves all the time."""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import Run, run_module

CONFIG = Path("/etc/nginx/nginx.conf")
MORE = {"worker_processes": "1", "worker_connections": 300, "worker_rlimit_nofile": 5000, "multi_accept": True}


def server(check: bool = False, **args: Any) -> Run:
    return run_module("nginx_server", check=check, diff=True, **args)


def is_served() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=30)
    connection.request("GET", "/")
    return connection.getresponse().status == 200


def open_files() -> set[int]:
    """Return how many files each process may have open that serves."""
    listed = subprocess.run(["pgrep", "-f", "nginx: worker process$"], check=True, capture_output=True, text=True)
    found = set()
    for process in listed.stdout.split():
        limits = Path(f"/proc/{process}/limits").read_text(encoding="ascii")
        found.add(int(next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3]))
    return found


@pytest.fixture
def before() -> Iterator[str]:
    """The file as the distribution has it, which comes back in the end."""
    subprocess.run(["systemctl", "reset-failed", "nginx"], check=False)
    subprocess.run(["systemctl", "restart", "nginx"], check=True)
    text = CONFIG.read_text(encoding="utf-8")
    yield text
    CONFIG.write_text(text, encoding="utf-8")
    subprocess.run(["systemctl", "restart", "nginx"], check=True)


def test_numbers_come_and_change_and_go(before: str) -> None:
    os.chmod(CONFIG, 0o640)
    predicted = server(check=True, **MORE)
    assert predicted.changed
    assert CONFIG.read_text(encoding="utf-8") == before
    done = server(**MORE)
    assert done.changed
    assert done.result["diff"] == predicted.result["diff"]
    assert (done.result["path"], CONFIG.stat().st_mode & 0o777) == (str(CONFIG), 0o640)
    assert open_files() == {5000}
    assert is_served()
    shown = subprocess.run(["nginx", "-T", "-q"], check=True, capture_output=True, text=True).stdout
    assert "worker_processes 1;" in shown and "worker_connections 300;" in shown and "multi_accept on;" in shown
    assert not server(**MORE).changed
    fewer = {**MORE, "multi_accept": False, "worker_rlimit_nofile": 4000}
    assert server(**fewer).changed
    assert open_files() == {4000}
    assert "multi_accept off;" in CONFIG.read_text(encoding="utf-8")
    assert server(state="absent", check=True).changed
    assert server(state="absent").changed
    assert CONFIG.read_text(encoding="utf-8") == before
    assert not server(state="absent").changed
    os.chmod(CONFIG, 0o644)


def test_what_cannot_be_changes_nothing(before: str, tmp_path: Path) -> None:
    for check in (True, False):
        assert "invalid value" in server(check=check, worker_processes="many").error
    # More than the kernel has for anybody, so nginx only complains and goes on.
    refused = server(worker_processes="1", worker_rlimit_nofile=2**31).error
    assert "its processes may open" in refused and "nginx.conf is as it was before" in refused
    assert CONFIG.read_text(encoding="utf-8") == before
    assert is_served()
    (tmp_path / "nginx.conf").write_text("# nothing\n")
    assert "has no block events" in server(config_dir=str(tmp_path)).error
