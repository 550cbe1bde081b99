# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is noted of a job that failed, and how check judges that: no failure hides another one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration.cli import Program, configure
from tests.integration.cluster_fixtures import APPLICATION, PASSWORD, Cluster
from tests.integration.support import run_module
from tests.integration.test_backup_job import remembering, told
from tests.integration.test_pg_dump import backups
from tests.integration.test_pg_dump_faults import wait_for

pytestmark = pytest.mark.once("bookworm")


def test_a_login_that_fails_is_noted_and_watched(
    program: Program, cluster: Cluster, managed: str, dest: str, tmp_path: Path, pgpass: Callable[..., str]
) -> None:  # fmt: skip
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    login = {"host": cluster.name, "port": cluster.port, "user": APPLICATION}
    settings = {"databases": [managed], "dest": dest, "metrics_dir": str(metrics)}
    config = configure(tmp_path, login={**login, "password": "wrong"}, **settings)

    def run(succeeds: bool, message: str) -> None:
        assert program("backup", config=config).rc == (0 if succeeds else 1)
        about = json.loads(next(Path(dest).rglob("status.json")).read_text())["backup"]
        assert (about.get("running"), about["last"]["ok"]) == (None, succeeds)
        assert message in about["last"]["message"]
        assert about["last"]["job"]
        assert re.search(rf"^catmaid_backup_last_run_success{{.*}} {int(succeeds)}$", _only(metrics), re.MULTILINE)
        judged = program("check", config=config)
        assert judged.rc == (0 if succeeds else 2)
        assert message in judged.out

    run(False, "password authentication failed")  # before there is any backup
    config = configure(tmp_path, login={**login, "password": PASSWORD}, **settings)
    run(True, "")
    config = configure(tmp_path, login={**login, "pgpass": pgpass(cluster.passline(), 0o644)}, **settings)
    run(False, "its mode is 0644")
    config = configure(tmp_path, login={**login, "password": PASSWORD}, **settings)
    cluster.control("stop", "--mode=fast")
    try:
        run(False, "connecting to database")
    finally:
        cluster.control("start")
    # Nothing new is made where a young one is there, and yet all is well again.
    config = configure(tmp_path, login={**login, "password": PASSWORD}, dump={"min_age": "1h"}, **settings)
    run(True, "")
    assert len(backups(dest, managed)) == 1
    # Who only looks notes nothing.
    before = next(Path(dest).rglob("status.json")).read_bytes()
    wrong = {**cluster.login, "login_password": "wrong"}
    assert "authentication" in run_module("pg_dump", check=True, login_db=managed, dest=dest, **wrong).error
    assert next(Path(dest).rglob("status.json")).read_bytes() == before


def test_a_lock_that_is_refused_is_noted_and_leaves_the_mark_of_who_has_it(
    program: Program, server: Server, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    config = configure(tmp_path, databases=[database], dest=dest)
    other = configure(tmp_path, "other", databases=[database], dest=dest)
    status = Path(dest, store.safe(database), "status.json")

    def runs(process: subprocess.Popen[str]) -> bool:
        mark = status.exists() and json.loads(status.read_text())["backup"].get("running")
        return bool(mark) and mark["pid"] == process.pid

    # Without any backup that is critical. With a young one it is not: another job was at work, as is its right.
    for judged in (2, 1):
        with server.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLE treenode IN ACCESS EXCLUSIVE MODE")  # the first one cannot get on
            running = program.start("backup", config=config)
            wait_for(lambda process=running: runs(process))
            assert "it is locked by" in program("backup", config=other).err
            assert "it is locked by" in json.loads(status.read_text())["backup"]["last"]["message"]
            assert runs(running)
            assert program("check", config=other).rc == judged
        output = running.communicate(timeout=100)[0]
        assert running.returncode == 0, output
        about = json.loads(status.read_text())["backup"]
        assert (about["last"]["ok"], about["running"]) == (True, None)
        assert [program("check", config=one).rc for one in (config, other)] == [0, 0]


def test_each_failure_is_judged_by_itself(
    program: Program, database: str, dest: str, tmp_path: Path, unused: Callable[[], str]
) -> None:  # fmt: skip
    # One database cannot be pruned, which is a warning; the other's folder cannot be made, of which no status tells.
    missing = unused()
    settings = {"dest": dest, "retention": {"last": 1, "max_bytes": "1"}}
    Path(dest).mkdir(mode=0o700)
    Path(dest, store.safe(missing)).touch()
    config = configure(tmp_path, databases=[database, missing], **settings)
    assert program("backup", config=config).rc == 1
    judged = program("check", config=config)
    assert judged.rc == 2
    assert "prune of " in judged.out
    assert f"{missing}: the job of " in judged.out
    assert "cannot make" in judged.out

    config = configure(tmp_path, databases=[database], hooks={"on_failure": [["/bin/false"]]}, **settings)
    assert program("backup", config=config).rc == 1
    judged = program("check", config=config)
    assert judged.rc == 2
    assert "prune of " in judged.out
    assert "running the hook /bin/false" in judged.out
    config = configure(tmp_path, databases=[database], dest=dest)
    assert run_module("pg_dump", login_db=database, dest=dest).changed
    assert run_module("backup_prune", database=database, dest=dest, keep_last=1).changed
    judged = program("check", config=config)
    assert (judged.rc, judged.out[:19]) == (0, "CATMAID BACKUP OK -")


def test_what_may_not_be_read_is_unknown(program: Program, database: str, dest: str, tmp_path: Path) -> None:
    config = configure(tmp_path, databases=[database], dest=dest)
    assert program("backup", config=config).rc == 0
    folder = Path(dest, store.safe(database))
    # Root as anybody else is.
    limited = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    for path in (dest, str(folder), str(tmp_path / "state/it/job.json"), str(config)):
        shutil.chown(path, "postgres", "postgres")
        for command, rc in (("check", 3), ("list", 1), ("info", 1), ("verify", 1)):
            if command != "check" and "back ups" not in path:
                continue
            argv = [*limited, *program.argv(command, config=config)]
            done = subprocess.run(argv, capture_output=True, text=True, env={}, cwd="/")
            assert (done.returncode, "Permission denied" in done.stdout + done.stderr) == (rc, True), path
            assert "Traceback" not in done.stderr
        shutil.chown(path, "root", "root")
    assert program("check", config=config).rc == 0


def test_an_error_of_the_system_keeps_no_other_database_from_its_turn(
    program: Program, database: str, dest: str, tmp_path: Path, unused: Callable[[], str]
) -> None:  # fmt: skip
    broken = unused()
    strange = Path(dest, store.safe(broken), ".status.json-x")  # nobody of us leaves a folder of such a name
    strange.mkdir(parents=True)
    os.utime(strange, (0, 0))
    config = configure(tmp_path, databases=[broken, database], dest=dest, hooks=remembering(tmp_path))
    done = program("backup", config=config)
    assert done.rc == 1
    assert "Traceback" not in done.text
    (report,) = told(tmp_path, "failure")
    assert [about["ok"] for about in report["databases"].values()] == [False, True]
    assert f"{strange}: Is a directory" in report["databases"][broken]["message"]


def test_a_job_that_died_is_told_by_the_next_one(
    program: Program, server: Server, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    config = configure(tmp_path, databases=[database], dest=dest, hooks=remembering(tmp_path))
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE treenode IN ACCESS EXCLUSIVE MODE")
        argv = program.argv("backup", config=config)
        running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env={"INVOCATION_ID": "one"}, cwd="/")
        wait_for(Path(dest, store.safe(database), "status.json").exists)
        running.kill()
        running.wait()
    assert told(tmp_path, "failure") == []
    done = program("backup", config=config)
    assert done.rc == 0
    assert "it ended without a word" in done.err
    (report,) = told(tmp_path, "failure")
    assert (report["ok"], "it ended without a word" in report["message"]) == (False, True)
    assert [report["ok"] for report in told(tmp_path, "success")] == [True]
    # Nobody tells it twice, however late he comes.
    assert "nothing to tell" in program("report-failure", "--invocation", "one", config=config).out
    assert program("backup", config=config).rc == 0
    assert "nothing to tell" in program("report-failure", "--invocation", "one", config=config).out
    assert len(told(tmp_path, "failure")) == 1
    assert program("check", config=config).rc == 0


def test_a_job_that_died_is_told_once_by_several_who_find_it_at_a_time(
    program: Program, server: Server, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    # Who tells is not done before the test lets it.
    slowly = f"(cat; echo) >> {tmp_path}/failure.json; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    hooks = {**remembering(tmp_path), "on_failure": [["/bin/sh", "-c", slowly]]}
    config = configure(tmp_path, databases=[database], dest=dest, hooks=hooks)
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE treenode IN ACCESS EXCLUSIVE MODE")
        argv = program.argv("backup", config=config)
        running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env={"INVOCATION_ID": "one"}, cwd="/")
        wait_for(Path(dest, store.safe(database), "status.json").exists)
        running.kill()
        running.wait()
    telling = program.start("report-failure", "--invocation", "one", config=config)
    wait_for(lambda: told(tmp_path, "failure"))
    assert "nothing to tell" in program("report-failure", "--invocation", "one", config=config).out
    assert program("backup", config=config).rc == 0
    Path(tmp_path, "go").touch()
    telling.communicate(timeout=60)
    assert "nothing to tell" in program("report-failure", "--invocation", "one", config=config).out
    assert len(told(tmp_path, "failure")) == 1
    assert [report["ok"] for report in told(tmp_path, "success")] == [True]
    assert program("check", config=config).rc == 0  # of the job that was the last one


def _only(folder: Path) -> str:
    (path,) = folder.iterdir()
    return path.read_text()
