# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""job_lock: a play holds a database from task to task, and gives it away again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import files
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support
from tests.integration.support import Run, run_module
from tests.integration.test_locks import seen_by
from tests.integration.test_pg_dump import backups, dump
from tests.integration.test_pg_dump_faults import wait_for

pytestmark = pytest.mark.once("bookworm")


@pytest.fixture
def lock(database: str) -> Iterator[Callable[..., Run]]:
    """The module on a database, whose lock is free in the end."""

    def run(check: bool = False, **args: Any) -> Run:
        return run_module("job_lock", check=check, login_db=database, **args)

    yield run
    run(state="released", force=True)


def test_a_play_holds_a_database_and_its_tasks_work_on_it(lock: Callable[..., Run], database: str, dest: str) -> None:
    assert lock(check=True, job="upgrade (AWX job 7)").changed
    assert not lock(state="released").changed  # a check takes nothing
    held = lock(job="upgrade (AWX job 7)")
    assert held.changed
    pid, token = held.result["holder"]["pid"], held.result["token"]
    named = f"is locked by upgrade (AWX job 7) (pid {pid}, since "
    assert named in dump(database, dest).error
    assert dump(database, dest).result["holder"]["pid"] == pid
    assert named in dump(database, dest, lock_token="wrong").error
    assert backups(dest, database) == []
    for check in (True, False):
        assert named in lock(check=check, job="another").error
    by_tcp = {"login_host": "127.0.0.1", "login_user": support.OWNER, "login_password": support.PASSWORD}
    assert named in dump(database, dest, **by_tcp).error
    made = dump(database, dest, lock_token=token)
    assert backups(dest, database) == [made.result["id"]]
    assert dump("postgres", dest).changed  # another database is nobody's business

    released = lock(state="released", token=token)
    assert released.changed
    assert released.result["holder"]["pid"] == pid
    assert not os.path.exists(f"/proc/{pid}")
    assert not lock(state="released", token=token).changed
    assert dump(database, dest).changed


def test_a_second_play_waits(lock: Callable[..., Run], database: str) -> None:
    first = lock(job="first", max_age="2")
    started = time.monotonic()
    second = lock(job="second", wait=30)
    assert second.changed
    assert time.monotonic() - started < 10
    assert second.result["token"] != first.result["token"]
    late = lock(state="released", token=first.result["token"])
    assert not late.changed
    assert "held by second" in str(late.result["warnings"])
    assert "locked by second" in lock().error


def test_what_a_dead_play_left_is_released_by_force(lock: Callable[..., Run]) -> None:
    held = lock(job="upgrade", max_age="3h")
    assert "held by upgrade" in lock(state="released").error
    predicted = lock(state="released", force=True, check=True)
    assert predicted.changed
    assert os.path.exists(f"/proc/{held.result['holder']['pid']}")
    assert lock(state="released", force=True).changed
    assert not lock(state="released", force=True).changed


def test_it_ends_with_its_leash(lock: Callable[..., Run]) -> None:
    with subprocess.Popen(["sh", "-c", "read -r _", "our leash"], stdin=subprocess.PIPE) as leash:
        holder = lock(leash="our leash").result["holder"]["pid"]
        assert seen_by(holder, [leash.pid])
        assert "locked by a play" in lock().error
    assert lock(wait=60, job="next").changed


def test_to_hold_it_again_with_its_own_token_changes_nothing(lock: Callable[..., Run]) -> None:
    assert lock(token="mine").changed
    assert not lock(token="mine").changed
    assert "locked by" in lock(token="yours").error


def test_a_backup_that_runs_is_not_ended(lock: Callable[..., Run], server: Server, database: str, dest: str) -> None:
    support.sql(database, "CREATE TABLE slow AS SELECT generate_series(1, 10) n")
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE slow IN ACCESS EXCLUSIVE MODE")
        running = support.start_module("pg_dump", login_db=database, dest=dest)
        wait_for(lambda: os.path.exists(dest))
        found = lock(state="released", force=True)
        assert f"held by backing up database {database} (pid {running.pid}" in found.error
        assert "is at work" in found.error
    assert support.finish_module(running).changed


def test_refuses_what_cannot_be_meant(lock: Callable[..., Run]) -> None:
    assert "over at once" in lock(max_age="0").error
    assert "is none" in lock(max_age="soon").error


def test_the_jobs_that_write_to_a_database_wait_for_their_turn(
    lock: Callable[..., Run], database: str, dest: str, unused: Callable[[], str]
) -> None:
    """Each but those that only read; what a check predicts needs no turn."""
    path, other = dump(database, dest).result["path"], unused()
    assert run_module("pg_restore", login_db=other, archive=path, restore_roles=True).changed
    token = lock(job="upgrade").result["token"]
    project = {"project_path": "/nonexistent", "virtualenv": "/nonexistent"}
    jobs: dict[str, dict[str, Any]] = {
        "pg_dump": {"login_db": database, "dest": dest},
        "pg_restore": {"login_db": database, "archive": path, "in_place": True},
        "database_copy": {"login_db": database, "name": unused()},
        "database_swap": {"login_db": database, "replacement": other, "keep_as": unused()},
        "migrate": {"login_db": database, **project},
        "rebuild_materializations": {"login_db": database, **project},
    }
    for name, arguments in jobs.items():
        assert "is locked by upgrade (pid " in run_module(name, **arguments).error, name
        for more in ({"check": True}, {"lock_token": token}):
            assert "is locked" not in str(run_module(name, **arguments, **more).result.get("msg")), name


def test_two_backups_at_once_take_turns(server: Server, database: str, dest: str) -> None:
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE treenode IN ACCESS EXCLUSIVE MODE")  # the first one cannot get on
        first = support.start_module("pg_dump", login_db=database, dest=dest)
        wait_for(lambda: os.path.exists(dest))
        second = support.start_module("pg_dump", login_db=database, dest=dest, lock_wait=60)
        refused = dump(database, dest)
    assert f"is locked by backing up database {database} (pid {first.pid}, since 20" in refused.error
    made = [support.finish_module(process) for process in (first, second)]
    assert sorted(run.result["id"] for run in made) == backups(dest, database)
    assert made[0].result["manifest"]["finished"] < made[1].result["manifest"]["started"]


def test_two_clusters_with_one_folder_take_turns(database: str, dest: str) -> None:
    """Their databases are two, with a lock each, and of one name."""
    folder = store.folder(dest, database)
    with files.lock(os.path.join(folder, store.LOCK), "the other cluster's backup"):
        refused = dump(database, dest)
        assert "is locked by the other cluster's backup (pid " in refused.error
        waiting = support.start_module("pg_dump", login_db=database, dest=dest, lock_wait=60)
        time.sleep(1)
        assert backups(dest, database) == []
    assert support.finish_module(waiting).changed


def test_a_backup_is_not_pruned_while_it_is_restored(database: str, dest: str, unused: Callable[[], str]) -> None:
    old = dump(database, dest).result
    newest = dump(database, dest).result["id"]
    running = support.start_module("pg_restore", login_db=unused(), archive=old["path"], restore_roles=True)
    rules = {"keep_last": 1, "keep_daily": 0, "keep_weekly": 0, "keep_monthly": 0}
    options = {"check": True, "dest": dest, "database": database, **rules}

    def why_it_stays() -> list[str]:
        kept = run_module("backup_prune", **options).result["kept"]
        return next((entry["reasons"] for entry in kept if entry["id"] == old["id"]), [])

    assert wait_for(why_it_stays) == ["somebody is reading it"]
    assert support.finish_module(running).changed
    assert [entry["id"] for entry in run_module("backup_prune", **options).result["gone"]] == [old["id"]]
    assert newest in backups(dest, database)
