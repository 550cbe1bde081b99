# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's backup job when something goes wrong: it says so, everywhere, once, and to whom it was told to."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store

from tests.integration import support
from tests.integration.cli import Program, configure
from tests.integration.offsite import Account
from tests.integration.support import CHECKOUT, run_module, sql
from tests.integration.test_pg_dump import backups
from tests.integration.test_pg_dump_faults import INCOMPRESSIBLE, wait_for

pytestmark = pytest.mark.once("bookworm")

HOOKS = CHECKOUT / "examples/hooks"


def remembering(folder: Path) -> dict[str, Any]:
    """Return hooks that append to files what they are told."""
    told = f"(cat; echo) >> {folder}/$1.json; env | grep ^CATMAID_ | LC_ALL=C sort > {folder}/$1.env"
    return {f"on_{name}": [["/bin/sh", "-c", told, "sh", name]] for name in ("success", "failure")}


def told(folder: Path, name: str) -> list[Any]:
    path = folder / f"{name}.json"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_backs_up_the_others_when_one_fails(
    program: Program, database: str, dest: str, tmp_path: Path, unused: Callable[[], str]
) -> None:  # fmt: skip
    missing = unused()
    config = configure(tmp_path, databases=[missing, database], dest=dest, hooks=remembering(tmp_path))
    done = program("backup", config=config)
    assert done.rc == 1
    assert f'"{missing}" does not exist' in done.err.replace("\\\\", "\\") or "does not exist" in done.err
    (report,) = told(tmp_path, "failure")
    assert told(tmp_path, "success") == []
    assert report["ok"] is False
    assert [about["ok"] for about in report["databases"].values()] == [False, True]
    assert "does not exist" in report["message"]
    environment = (tmp_path / "failure.env").read_text()
    assert "CATMAID_RESULT=failed\n" in environment
    assert "CATMAID_INSTANCE=it\n" in environment
    assert "does not exist" in program("check", config=config).out

    config = configure(tmp_path, databases=[database], dest=dest, hooks=remembering(tmp_path))
    assert program("backup", config=config).rc == 0
    assert [report["ok"] for report in told(tmp_path, "success")] == [True]
    assert program("check", config=config).rc == 0


def test_backs_up_all_databases(program: Program, database: str, dest: str, tmp_path: Path) -> None:
    """What is to be left out of the application's database is not looked for in others."""
    wanted = {"project": {"database": database}, "dump": {"exclude_table_data": ["nosuch"]}}
    config = configure(tmp_path, databases="all", dest=dest, **wanted)
    report = program.json("backup", config=config, rc=1)
    assert set(report["databases"]) == support.names() - {"postgres", "template0", "template1"}
    assert "nosuch" in report["databases"][database]["message"]
    assert not any("nosuch" in about["message"] for name, about in report["databases"].items() if name != database)


def test_a_database_that_was_dropped_is_told_for_a_week_and_not_for_ever(
    program: Program, database: str, dest: str, tmp_path: Path, unused: Callable[[], str]
) -> None:  # fmt: skip
    gone = unused()
    support.sql("postgres", f"CREATE DATABASE {support.quoted(gone)}")
    config = configure(tmp_path, databases="all", dest=dest)
    assert program("backup", config=config).rc == 0
    assert program("check", config=config).rc == 0
    support.drop(gone)
    assert program("backup", config=config).rc == 0
    done = program("check", config=config)
    assert done.rc == 1
    assert "the server has no such database any more" in done.out
    (made,) = (Path(dest) / store.safe(gone)).glob("*_2*/manifest.json")
    made.write_text(json.dumps({**json.loads(made.read_text()), "finished": "2026-01-01T03:00:00.000000Z"}))
    assert program("check", config=config).rc == 0


def test_fails_by_a_hook_that_fails_and_keeps_the_backup(
    program: Program, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    hooks = {"on_success": [["/bin/sh", "-c", "echo out of paper >&2; exit 3"], ["/usr/bin/touch", f"{tmp_path}/ran"]]}
    config = configure(tmp_path, databases=[database], dest=dest, hooks=hooks)
    done = program("backup", config=config)
    assert done.rc == 1
    assert "running the hook /bin/sh: sh failed with code 3: out of paper" in done.err
    assert (tmp_path / "ran").exists()
    assert len(backups(dest, database)) == 1
    assert "(the backups are there)" in program("check", config=config).out

    hooks = {"on_success": [["/bin/sleep", "100"]], "timeout": 0.5}
    config = configure(tmp_path, databases=[database], dest=dest, hooks=hooks)
    assert "/bin/sleep was ended after" in program("backup", config=config).err


def test_an_unwritable_folder_fails_and_is_told(
    program: Program, database: str, tmp_path: Path
) -> None:  # fmt: skip
    dest = tmp_path / "read-only"
    dest.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", dest], check=True)
    try:
        config = configure(tmp_path, databases=[database], dest=str(dest), hooks=remembering(tmp_path))
        done = program("backup", config=config)
        assert done.rc == 1
        assert "Read-only file system" in done.err
        state = json.loads((tmp_path / "state/it/job.json").read_text())
        assert (state["ok"], state["running"]) == (False, None)
        assert "Read-only file system" in told(tmp_path, "failure")[0]["message"]
        assert "Read-only file system" in program("check", config=config).out
    finally:
        subprocess.run(["umount", dest], check=True)


def test_a_hook_that_leaves_something_behind_holds_nobody_up(
    program: Program, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    hooks = {"on_success": [["/bin/sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/left; echo said >&2; exit 3"]]}
    config = configure(tmp_path, databases=[database], dest=dest, hooks=hooks)
    try:
        assert "sh failed with code 3: said" in program("backup", config=config).err
    finally:
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)


def test_a_long_message_is_told(program: Program, dest: str, tmp_path: Path) -> None:
    # As a variable it would be longer than the kernel lets one be.
    names = [f"{'long ' * 30}{number}" for number in range(250)]
    hooks = remembering(tmp_path)
    for variable in ("MESSAGE", "DATABASES"):
        hooks["on_failure"].append(["/bin/sh", "-c", f'printf %s "$CATMAID_{variable}" > {tmp_path}/{variable}'])
    config = configure(tmp_path, databases=names, dest=dest, login={"port": 1}, hooks=hooks)
    assert program("backup", config=config).rc == 1
    (report,) = told(tmp_path, "failure")
    assert len(report["message"]) > 131_072
    assert (tmp_path / "MESSAGE").read_text() == report["message"][:2000]
    assert json.loads((tmp_path / "DATABASES").read_text()) == names


@pytest.mark.parametrize("metrics", ["missing", "gone later"])
def test_makes_the_backup_although_nobody_can_watch(
    program: Program, database: str, dest: str, tmp_path: Path, metrics: str
) -> None:  # fmt: skip
    folder = tmp_path / "metrics"
    config = configure(tmp_path, databases=[database], dest=dest, metrics_dir=str(folder))
    if metrics == "gone later":
        folder.mkdir()
        assert program("backup", config=config).rc == 0
        next(folder.iterdir()).unlink()
        folder.rmdir()
    before = len(backups(dest, database)) if os.path.isdir(dest) else 0
    done = program("backup", config=config)
    assert done.rc == 1
    assert "writing the metrics" in done.err
    assert len(backups(dest, database)) == before + 1


def test_copies_then_prunes_and_not_when_a_copy_fails(
    program: Program,
    database: str,
    dest: str,
    tmp_path: Path,
) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    target = {"name": "disk", "type": "rclone", "backend": "local", "path": str(tmp_path / "away"), "encrypt": False}
    settings = {"databases": [database], "dest": dest, "retention": {"last": 1}, "metrics_dir": str(metrics)}
    config = configure(tmp_path, targets=[target], **settings)

    def copied_for() -> str:
        return str(json.loads(next(Path(dest).rglob("status.json")).read_text())["copy"]["last"]["job"])

    first = program.json("backup", "--job", "the night's", config=config)["databases"][database]
    assert first["targets"] == {"disk": True}
    assert copied_for() == "the night's"
    assert [path.name for path in (tmp_path / "away").rglob(f"{first['id']}.tar")]
    assert 'target="disk"' in next(metrics.iterdir()).read_text()

    (tmp_path / "file").touch()
    broken = {**target, "name": "broken", "path": str(tmp_path / "file" / "away")}
    config = configure(tmp_path, targets=[broken, target], **settings)
    done = program("backup", config=config)
    assert done.rc == 1
    assert "broken: " in done.err
    assert len(backups(dest, database)) == 2
    assert len(list((tmp_path / "away").rglob("*.tar"))) == 2
    judged = program("check", config=config)
    assert (judged.rc, "copy of" in judged.out) == (2, True)
    # By the module, too, what was mended is noted.
    by_module = {"database": database, "dest": dest, "targets": [target], "requested_by": "a test"}
    assert not run_module("backup_copy", **by_module).failed
    assert copied_for() == "a test"
    assert "copy of" not in program("check", config=config).out


def test_stops_publishing_when_it_is_told_to(
    program: Program, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    folder = tmp_path / "metrics"
    folder.mkdir()
    program("backup", config=configure(tmp_path, databases=[database], dest=dest, metrics_dir=str(folder)))
    assert len(list(folder.iterdir())) == 1
    assert program("backup", config=configure(tmp_path, databases=[database], dest=dest)).rc == 0
    assert list(folder.iterdir()) == []


def test_tells_by_mail_and_webhook_that_pg_dump_was_killed(
    program: Program, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    sql(database, INCOMPRESSIBLE)
    with mail_server() as (mail_port, mails), web_server() as (web_port, posts):
        url = tmp_path / "url"
        url.write_text(f"http://127.0.0.1:{web_port}/secret-path\n")
        hooks = {
            "on_failure": [
                [str(HOOKS / "mail"), "--server", f"127.0.0.1:{mail_port}", "admin@example.org"],
                [str(HOOKS / "webhook"), str(url)],
            ]
        }
        config = configure(tmp_path, databases=[database], dest=dest, hooks=hooks)
        running = program.start("backup", config=config)
        os.kill(wait_for(lambda: support.processes("pg_dump", dest))[0], signal.SIGKILL)
        output = running.communicate(timeout=60)[0]
    assert running.returncode == 1
    assert "SIGKILL" in output
    assert "secret-path" not in output
    ((receivers, mail),) = mails
    assert receivers == ["admin@example.org"]
    assert "FAILED" in mail
    assert "SIGKILL" in mail
    ((path, post),) = posts
    assert path == "/secret-path"
    assert "SIGKILL" in post["text"]
    assert post["report"]["ok"] is False
    assert backups(dest, database) == []
    judged = program("check", config=config)
    assert (judged.rc, "SIGKILL" in judged.out) == (2, True)
    # Nobody has to be told again.
    assert "there is nothing to tell" in program("report-failure", config=config).out


def test_says_no_success_when_it_is_killed_itself(
    program: Program, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    config = configure(tmp_path, databases=[database], dest=dest, hooks=remembering(tmp_path))
    assert program("backup", config=config).rc == 0
    sql(database, INCOMPRESSIBLE)
    running = program.start("backup", config=config)
    wait_for(lambda: support.processes("pg_dump", dest))
    running.send_signal(signal.SIGSTOP)
    assert "there is nothing to tell" in program("report-failure", config=config).out  # it is not dead
    running.kill()
    running.communicate()
    judged = program("check", config=config)
    assert judged.rc == 2
    assert "it ended without a word" in judged.out
    assert told(tmp_path, "failure") == []

    wait_for(lambda: not support.processes("pg_dump", dest))
    assert program("report-failure", config=config).rc == 0
    (report,) = told(tmp_path, "failure")
    assert "it ended without a word" in report["message"]
    assert program("report-failure", config=config).rc == 0
    assert len(told(tmp_path, "failure")) == 1
    assert program("check", config=config).rc == 2
    assert program("backup", config=config).rc == 0
    assert program("check", config=config).rc == 0


def test_tells_of_a_job_that_could_not_begin(program: Program, dest: str, tmp_path: Path) -> None:
    config = configure(tmp_path, databases=["none"], dest=dest, hooks=remembering(tmp_path))
    assert program("report-failure", "--invocation", "1", config=config).rc == 0
    assert "could not even begin" in told(tmp_path, "failure")[0]["message"]
    assert program("report-failure", "--invocation", "1", config=config).rc == 0
    assert len(told(tmp_path, "failure")) == 1
    assert program("report-failure", "--invocation", "2", config=config).rc == 0
    assert len(told(tmp_path, "failure")) == 2


def test_tidies_up_and_tells_when_it_is_stopped(
    program: Program, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    sql(database, INCOMPRESSIBLE)
    hooks = remembering(tmp_path)
    hooks["on_failure"].append(["/bin/sh", "-c", f"kill -TERM $$; touch {tmp_path}/deaf"])
    config = configure(tmp_path, databases=[database], dest=dest, hooks=hooks)
    running = program.start("backup", config=config)
    wait_for(lambda: support.processes("pg_dump", dest))
    running.terminate()
    output = running.communicate(timeout=30)[0]
    assert running.returncode == 1
    assert "interrupted by SIGTERM" in output
    assert "Traceback" not in output
    assert backups(dest, database) == []
    assert not support.processes("pg_dump", dest)
    assert "by SIGTERM" in told(tmp_path, "failure")[0]["message"]
    assert not (tmp_path / "deaf").exists()  # a hook can be ended, too
    assert "by SIGTERM" in program("check", config=config).out


@contextmanager
def mail_server() -> Iterator[tuple[int, list[tuple[list[str], str]]]]:
    """Take mails, in the words of RFC 5321, and keep them."""
    mails: list[tuple[list[str], str]] = []

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            receivers: list[str] = []
            self.wfile.write(b"220 sink\r\n")
            for raw in self.rfile:
                verb, line = raw[:4].upper(), raw.decode().strip()
                if verb == b"RCPT":
                    receivers.append(line.partition("<")[2].partition(">")[0])
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    text = b"".join(iter(self.rfile.readline, b".\r\n"))
                    mails.append((receivers, text.decode()))
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
                if verb == b"QUIT":
                    return

    with serving(socketserver.TCPServer(("127.0.0.1", 0), Session)) as port:
        yield port, mails


@contextmanager
def web_server() -> Iterator[tuple[int, list[tuple[str, Any]]]]:
    """Take posts and keep them."""
    posts: list[tuple[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with serving(http.server.HTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield port, posts


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_tells_how_far_a_copy_is(
    program: Program, noisy: str, dest: str, tmp_path: Path, account: Account
) -> None:  # fmt: skip
    shelf = {"name": "shelf", "backend": "local", "path": str(tmp_path / "away"), "encrypt": False}
    targets = [shelf, account.rsync(name="host", encrypt=False)]
    done = program("backup", config=configure(tmp_path, databases=[noisy], dest=dest, targets=targets))
    assert done.rc == 0, done.text
    (made,) = backups(dest, noisy)
    for told in (f"copying {made}.tar to shelf", f"reading {made}.tar back from shelf", f"copying {made}.tar to host"):
        assert f"{told}: 100 % (" in done.out
    assert ".json" not in done.out
