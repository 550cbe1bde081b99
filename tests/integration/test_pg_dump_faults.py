# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump when it is killed, meets another one, or the disk is full: nothing is left that looks like a backup."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.support import run_module, sql
from tests.integration.test_pg_dump import backups, dump

pytestmark = pytest.mark.once("trixie")

# Random bytes, which no compression makes smaller: 25 MB of them.
INCOMPRESSIBLE = """
    CREATE TABLE noise AS
    SELECT (SELECT string_agg(sha512((n * 20 + i)::text::bytea), '') FROM generate_series(1, 15) i)
      FROM generate_series(1, 25000) n
"""


def test_lets_only_one_run_at_a_time(database: str, dest: str) -> None:
    sql(database, INCOMPRESSIBLE)
    first = support.start_module("pg_dump", login_db=database, dest=dest)
    wait_for(lambda: [n for n in backups(dest, database) if n.startswith(".partial-")])
    first.send_signal(signal.SIGSTOP)  # or it may be done before the second one begins
    second = dump(database, dest)
    first.send_signal(signal.SIGCONT)
    assert f"is locked by backing up database {database} (pid {first.pid}" in second.error
    done = support.finish_module(first)
    assert done.changed
    assert backups(dest, database) == [done.result["id"]]


def test_leaves_nothing_when_pg_dump_is_killed(database: str, dest: str) -> None:
    kept = dump(database, dest)
    sql(database, INCOMPRESSIBLE)
    running = support.start_module("pg_dump", login_db=database, dest=dest)
    os.kill(wait_for(lambda: support.processes("pg_dump", dest))[0], signal.SIGKILL)
    assert "SIGKILL" in support.finish_module(running).error
    assert backups(dest, database) == [kept.result["id"]]
    wait_for(lambda: not support.processes("pg_dump", dest))


def test_cleans_up_after_itself_was_killed(database: str, dest: str) -> None:
    sql(database, INCOMPRESSIBLE)
    running = support.start_module("pg_dump", login_db=database, dest=dest)
    wait_for(lambda: support.processes("pg_dump", dest))
    running.kill()
    running.communicate()
    left = backups(dest, database)
    assert [name.startswith(".partial-") for name in left] == [True]
    wait_for(lambda: not support.processes("pg_dump", dest))
    listed = run_module("backup_info", dest=dest)
    assert listed.result["backups"] == []
    assert [os.path.basename(path) for path in listed.result["incomplete"]] == left
    made = dump(database, dest)
    assert backups(dest, database) == [made.result["id"]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """A function that makes a small disk of its own."""
    folder = tmp_path / "disk"

    def make(megabytes: int) -> str:
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
        return str(folder)

    yield make
    subprocess.run(["umount", str(folder)], check=True)


def test_refuses_a_disk_that_is_too_small(database: str, small_disk: Callable[[int], str]) -> None:
    sql(database, INCOMPRESSIBLE)
    dest = small_disk(20)
    for check in (True, False):
        assert "are needed (by the size of its tables)" in dump(database, dest, check=check).error
    assert backups(dest, database) == []


def test_leaves_nothing_on_a_full_disk(database: str, small_disk: Callable[[int], str]) -> None:
    dest = small_disk(26)
    kept = dump(database, dest)
    sql(database, INCOMPRESSIBLE)
    refused = dump(database, dest, compression="gzip", compression_level=2)
    assert "No space left on device" in refused.error
    assert backups(dest, database) == [kept.result["id"]]
    assert run_module("backup_info", dest=dest, verify=True).result["newest"]["id"] == kept.result["id"]


def wait_for(look: Callable[[], Any], seconds: float = 20) -> Any:
    """Return what ``look`` gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("it did not happen")
