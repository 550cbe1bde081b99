# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a backup is, told while it is made."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import archive
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import catalog, progress, reading
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Progress

from tests.integration import support

pytestmark = pytest.mark.once("trixie")

# What is slow to compress: some seconds are needed to see a dump run.
FILL = """
SET ROLE {owner};
CREATE TABLE "Large %" AS SELECT n, md5(n::text) a, md5((n + 1)::text) b FROM generate_series(1, 300000) n;
CREATE TABLE middle AS SELECT n, md5(n::text) a, md5((n + 1)::text) b FROM generate_series(1, 150000) n;
RESET ROLE;
ANALYZE middle;
"""
SLOW = {"compression": "gzip", "compression_level": 9, "jobs": 1}
WATCHER = """
    SELECT pid FROM pg_stat_activity WHERE application_name = 'catmaid.admin' AND datname = current_database()
       AND query LIKE '%pg_stat_progress_copy%' AND pid <> pg_backend_pid()
"""
COPYING = r"""
    SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY public."Large \%" %'
"""


@pytest.fixture(scope="module")
def large(template: str) -> Iterator[str]:
    """A database whose dump takes some seconds."""
    name = support.unused("large")
    owner = support.quoted(support.OWNER)
    support.sql("postgres", f"CREATE DATABASE {support.quoted(name)} TEMPLATE {support.quoted(template)} OWNER {owner}")
    support.sql(name, FILL.format(owner=owner))
    yield name
    support.drop(name)


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(what)


class Backup:
    """A backup that reports, made by a process of its own: to log in it is another user for a moment, altogether."""

    def __init__(self, server: Server, database: str, dest: str, told: Path) -> None:
        self._told = told
        request = archive.Request(server, database, dest, on_progress=self._tell, **SLOW)
        self._process = multiprocessing.get_context("fork").Process(target=archive.create, args=(request,))
        self._process.start()

    def _tell(self, progress: Progress) -> None:
        with open(self._told, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress)) + "\n")

    def finish(self) -> list[Progress]:
        """Wait for a success and return what was told."""
        self._process.join()
        assert self._process.exitcode == 0
        return [Progress(**json.loads(line)) for line in self._told.read_text(encoding="utf-8").splitlines()]


def leftovers(dest: str) -> list[str]:
    """Return what a backup that was not finished has left."""
    return [str(path) for path in Path(dest).glob("*/.partial-*")]


def test_tells_each_phase_in_steps_that_never_go_back(
    server: Server, large: str, dest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(progress, "SECONDS", 0.3)
    monkeypatch.setattr(reading, "SECONDS", 0.1)
    seen = Backup(server, large, dest, tmp_path / "told").finish()
    phases = list(dict.fromkeys(told.what for told in seen))
    assert phases == [f"{doing} {large}" for doing in ("backing up", "reading the rows of", "reading back")]
    for phase in phases:
        told = [one for one in seen if one.what == phase]
        assert all(a.done <= b.done and a.seconds <= b.seconds for a, b in pairwise(told))
        assert told[-1].percent == 100
        assert told[0].total == told[-1].total > 0
    dumped = [told for told in seen if told.what == phases[0]]
    assert len({told.percent for told in dumped} - {0, 100}) >= 3
    assert {"Large %", "middle"} <= {told.item for told in dumped}


def test_a_watcher_that_loses_its_connection_harms_nothing(
    server: Server, large: str, dest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(progress, "SECONDS", 0.05)  # or a fast dump has ended before the first look
    backup = Backup(server, large, dest, tmp_path / "told")
    pid = until(lambda: support.sql(large, WATCHER), "nobody watches")[0][0]
    support.sql(large, f"SELECT pg_terminate_backend({pid})")
    assert backup.finish()[-1].percent == 100
    assert len(list(Path(dest).glob("*/*/manifest.json"))) == 1


def test_finds_the_tables_by_the_statements_of_an_old_server_too(
    server: Server, large: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    with server.connect(large, autocommit=True) as connection:
        tables = catalog.tables(connection)
        backup = Backup(server, large, dest, tmp_path / "told")
        names = {table.oid: table.name for table in tables}
        found = until(lambda: progress.running(connection, tables, version=130000), "pg_dump was not found")
        newer = progress.running(connection, tables)
        backup.finish()
        assert progress.running(connection, tables, version=130000) == {}
        assert progress.running(connection, tables) == {}
    assert {names[oid] for oid in found} <= {"Large %", "middle"}
    assert newer.keys() == found.keys()
    assert all(copied.rows >= 0 and copied.bytes >= 0 for copied in newer.values())


def test_a_module_keeps_its_progress_in_a_file_and_cleans_up_when_it_is_told_to_end(
    large: str, dest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "progress"
    monkeypatch.setenv("CATMAID_ADMIN_PROGRESS", str(path))
    process = support.start_module("pg_dump", login_db=large, dest=dest, **SLOW)

    def line() -> str:
        return json.loads(path.read_text()).get("line", "") if path.exists() else ""

    until(lambda: support.sql(large, COPYING), "the table was not dumped")
    dumping = support.processes("pg_dump", dest)
    assert dumping
    for pid in dumping:
        os.kill(pid, signal.SIGSTOP)  # or a fast machine would be done before anybody has looked
    first = until(lambda: "Large" in line() and line(), "no table was told")
    assert f"backing up {large}: " in first
    assert " % (" in first
    assert path.stat().st_mode & 0o777 == 0o600
    assert leftovers(dest)
    os.kill(process.pid, signal.SIGTERM)
    for pid in dumping:
        os.kill(pid, signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert leftovers(dest) == []
    assert not path.exists()
    assert support.processes("pg_dump", dest) == []


def test_a_module_that_nobody_looks_at_writes_no_progress(database: str, dest: str, tmp_path: Path) -> None:
    assert support.run_module("pg_dump", login_db=database, dest=dest).changed
    assert not any("progress" in name for name in os.listdir(tmp_path))
