# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups when server, disk, clock and tables misbehave: what was there stays whole, and nothing half is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.cli import Program, configure
from tests.integration.cluster_fixtures import Cluster
from tests.integration.support import run_module, sql
from tests.integration.test_pg_dump import backups, dump, manifest_rows
from tests.integration.test_pg_dump_faults import INCOMPRESSIBLE, wait_for

pytestmark = pytest.mark.once("trixie")

# The engine with its clock set wrong: what a host writes whose time was later put right.
WITH_THE_CLOCK_WRONG = """
import sys
from datetime import timedelta
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import archive, store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server
right = store.now
store.now = lambda: right() + timedelta(days=2)
print(archive.create(archive.Request(Server(), sys.argv[1], sys.argv[2]))[1].id)
"""


def stays(dest: str, database: str, kept: list[str]) -> bool:
    """Tell whether there are these backups and no other, whole to the last byte."""
    found = run_module("backup_info", dest=dest, verify=True).result["backups"]
    return sorted(b["id"] for b in found) == sorted(kept) == backups(dest, database) and all(b["sound"] for b in found)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT"])
def test_leaves_nothing_whole_when_it_is_ended(database: str, dest: str, how: str) -> None:
    kept = dump(database, dest).result["id"]
    before = set(Path("/tmp").glob("catmaid-admin*"))
    sql(database, INCOMPRESSIBLE)
    running = support.start_module("pg_dump", login_db=database, dest=dest)
    wait_for(lambda: support.processes("pg_dump", dest))
    running.send_signal(signal.Signals[how])
    running.communicate()
    assert running.returncode != 0
    wait_for(lambda: not support.processes("pg_dump", dest))
    found = run_module("backup_info", dest=dest, verify=True)
    assert [b["id"] for b in found.result["backups"]] == [kept]
    again = dump(database, dest).result["id"]
    assert stays(dest, database, [kept, again])
    assert set(Path("/tmp").glob("catmaid-admin*")) == before


def test_survives_that_the_server_stops(cluster: Cluster, managed: str, dest: str) -> None:
    login = {"login_db": managed, "dest": dest, **cluster.login}
    kept = run_module("pg_dump", **login).result["id"]
    cluster.sql(managed, f"SET ROLE {support.quoted(cluster.login['login_user'])}; {INCOMPRESSIBLE}")
    running = support.start_module("pg_dump", **login)
    wait_for(lambda: support.processes("pg_dump", dest))
    at_work = support.processes("pg_dump", dest)
    for pid in at_work:
        os.kill(pid, signal.SIGSTOP)  # or it may have ended before the server
    cluster.control("stop", "--mode", "immediate")
    for pid in at_work:
        os.kill(pid, signal.SIGCONT)
    try:
        failed = support.finish_module(running)
        down = run_module("pg_dump", **login)
    finally:
        cluster.control("start")
    # How a lost server is told depends on where in its work pg_dump was.
    assert f"dumping database {managed}: pg_dump failed" in failed.error
    assert "Connection refused" in down.error
    assert stays(dest, managed, [kept])
    assert stays(dest, managed, [kept, run_module("pg_dump", **login).result["id"]])


def test_a_table_that_is_dropped_meanwhile_is_in_it_or_not(database: str, dest: str) -> None:
    """Whoever drops a table waits for the dump or gets it in between: the backup is of one moment in any case."""
    kept = dump(database, dest).result["id"]
    sql(database, INCOMPRESSIBLE)
    # A table that has vanished would be doubted, which is another test's matter.
    options = {"jobs": 1, "materializations": "include", "shrink_percent": 0}
    running = support.start_module("pg_dump", login_db=database, dest=dest, **options)
    wait_for(lambda: support.processes("pg_dump", dest))
    sql(database, 'DROP TABLE "a.b", node_query_cache')
    made = support.finish_module(running)
    rows = manifest_rows(made.result)
    assert rows["public", "treenode"] == rows["public", "treenode_edge"] == 2000
    assert (("public", "a.b") in rows) is (("public", "node_query_cache") in rows)
    assert stays(dest, database, [kept, made.result["id"]])


def test_a_backup_from_the_future_is_not_the_newest(database: str, dest: str) -> None:
    wrong = subprocess.run(
        [sys.executable, "-c", WITH_THE_CLOCK_WRONG, database, dest],
        capture_output=True, text=True, check=True, cwd="/", env=os.environ | {"PYTHONPATH": "/opt"},
    ).stdout.strip()  # fmt: skip
    assert run_module("backup_info", dest=dest).result["newest"]["id"] == wrong
    made = dump(database, dest, min_age="1h")
    assert made.changed
    found = run_module("backup_info", dest=dest, verify=True)
    assert [b["id"] for b in found.result["backups"]] == [made.result["id"], wrong]
    assert found.result["newest"]["id"] == made.result["id"]
    assert not dump(database, dest, min_age="1h").changed
    pruned = run_module("backup_prune", dest=dest, database=database, keep_last=1, keep_daily=0)
    assert not pruned.changed
    assert "Look at the clock" in str(pruned.result["warnings"])
    assert stays(dest, database, [made.result["id"], wrong])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own that /etc/fstab knows, mounted."""
    folder = tmp_path / "back ups of 1"
    folder.mkdir()
    table = Path("/etc/fstab")
    before = table.read_text(encoding="utf-8") if table.exists() else None
    line = f"tmpfs {str(folder).replace(' ', chr(92) + '040')} tmpfs size=40m,noauto 0 0\n"
    table.write_text(f"{before or ''}# /nothing /else none\n{line}", encoding="utf-8")
    subprocess.run(["mount", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=False)
    if before is None:
        table.unlink()
    else:
        table.write_text(before, encoding="utf-8")


def test_refuses_a_disk_that_cannot_be_written(database: str, disk: Path) -> None:
    dest = str(disk)
    kept = dump(database, dest).result["id"]
    subprocess.run(["mount", "-o", "remount,ro", dest], check=True)
    refused = dump(database, dest)
    assert "Read-only file system" in refused.error
    assert stays(dest, database, [kept])
    # and of a database that has no folder there yet
    assert "Read-only file system" in run_module("pg_dump", login_db="postgres", dest=dest).error
    subprocess.run(["mount", "-o", "remount,rw", dest], check=True)
    assert stays(dest, database, [kept, dump(database, dest).result["id"]])


def test_refuses_a_disk_that_is_not_mounted(database: str, disk: Path) -> None:
    dest = str(disk / "below" / "it")
    subprocess.run(["umount", str(disk)], check=True)
    for check in (True, False):
        refused = dump(database, dest, check=check)
        assert f"nothing is mounted on {disk} (/etc/fstab names it)" in refused.error
    assert list(disk.iterdir()) == []
    subprocess.run(["mount", str(disk)], check=True)
    assert stays(dest, database, [dump(database, dest).result["id"]])


def test_old_backups_go_from_a_full_disk(database: str, disk: Path) -> None:
    dest = str(disk)
    made = [dump(database, dest).result["id"] for _number in range(2)]
    subprocess.run(["dd", "if=/dev/zero", f"of={disk}/filler", "bs=64k"], check=False, capture_output=True)
    assert os.statvfs(disk).f_bfree == 0
    assert "catmaid-admin prune" in dump(database, dest).error
    pruned = run_module("backup_prune", dest=dest, database=database, keep_last=1, keep_daily=0, keep_weekly=0)
    assert [gone["id"] for gone in pruned.result["gone"]] == made[:1]
    os.unlink(disk / "filler")
    assert stays(dest, database, made[1:])


def test_room_is_made_by_the_rules_and_never_at_the_cost_of_the_newest(
    database: str, disk: Path, tmp_path: Path, program: Program
) -> None:  # fmt: skip
    dest, media = str(disk), tmp_path / "media"
    media.mkdir()
    (media / "film").write_bytes(os.urandom(7 << 20))  # so that the disk has room for a fourth backup no more
    options: dict[str, Any] = {"media_path": str(media)}
    made = [dump(database, dest, **options).result["id"] for _number in range(3)]
    assert "catmaid-admin prune" in dump(database, dest, **options).error
    assert "the rules let go 0 bytes" in dump(database, dest, make_room={"keep_last": 4}, **options).error
    assert stays(dest, database, made)
    options["make_room"] = {"keep_last": 1}
    predicted = dump(database, dest, check=True, **options)
    assert [gone["id"] for gone in predicted.result["gone"]] == made[:2]
    assert stays(dest, database, made)
    done = dump(database, dest, **options)
    assert [gone["id"] for gone in done.result["gone"]] == made[:2]
    assert stays(dest, database, [made[2], done.result["id"]])
    roomy = dump(database, dest, **options)
    assert roomy.result["gone"] == []

    values = {"databases": [database], "dest": dest, "dump": {"media_path": str(media)}, "retention": {"last": 1}}
    job = program("backup", config=configure(tmp_path, **values))
    assert job.rc == 0, job.text
    assert "to make room, 2 backups were removed first" in job.out
    assert len(backups(dest, database)) == 1
