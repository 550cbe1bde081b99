# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job lock: one holder at a time among all users of a host, and never one that is gone."""

from __future__ import annotations

import json
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import locks
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import identity
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support

pytestmark = pytest.mark.once("bookworm")

HOLD = """
import sys, time
from ansible_collections.catmaid.admin.plugins.module_utils.engine import locks
with locks.hold(sys.argv[1], sys.argv[2], token=sys.argv[3]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def key() -> Iterator[str]:
    """The name of a lock that nobody holds in the end."""
    name = f"7/../odd {support.ODD} {uuid.uuid4().hex}"
    yield name
    locks.release(name, force=True)
    assert locks.holder(name) is None


@pytest.fixture
def other() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that starts a process that holds a lock."""
    with ExitStack() as stack:

        def start(key: str, job: str = "their job", user: str = "root", token: str = "") -> subprocess.Popen[str]:
            account = pwd.getpwnam(user)
            process = subprocess.Popen(
                [sys.executable, "-c", HOLD, key, job, token],
                stdout=subprocess.PIPE,
                text=True,
                cwd="/",
                user=account.pw_uid,
                group=account.pw_gid,
                env=os.environ | {"PYTHONPATH": str(support.CHECKOUT.parents[2])},
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            return process

        yield start


def notes(key: str) -> list[str]:
    return [path for path, _ in locks._notes(key)]


@pytest.mark.parametrize(("theirs", "ours"), [("root", "root"), ("nobody", "root"), ("root", "nobody")])
def test_a_second_one_is_told_who_holds_it(
    key: str, other: Callable[..., subprocess.Popen[str]], theirs: str, ours: str
) -> None:
    process = other(key, "making a \x1b[31mbackup", theirs)
    refusal = subprocess.run(
        [sys.executable, "-c", HOLD, key, "our job", ""],
        capture_output=True, text=True, check=False, cwd="/", user=ours,
        env=os.environ | {"PYTHONPATH": str(support.CHECKOUT.parents[2])},
    ).stderr.splitlines()[-1]  # fmt: skip
    today = time.strftime("%Y-%m-%dT", time.gmtime())
    assert f"our job: it is locked by making a [31mbackup (pid {process.pid}, since {today}" in refusal
    found = locks.holder(key)
    assert found is not None
    assert (found.pid, found.user) == (process.pid, pwd.getpwnam(theirs).pw_uid)


def test_it_waits_as_long_as_told(key: str, other: Callable[..., subprocess.Popen[str]]) -> None:
    process = other(key)
    started = time.monotonic()
    with pytest.raises(CatmaidError, match=r"their job .* after 0.5 seconds"), locks.hold(key, "ours", wait=0.5):
        pass
    assert 0.5 <= time.monotonic() - started < 2
    process.send_signal(signal.SIGSTOP)  # it holds on all the same
    with pytest.raises(CatmaidError), locks.hold(key, "ours"):
        pass
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -KILL {process.pid}"])
    with locks.hold(key, "ours", wait=20):
        assert locks._note(key).job == "ours"  # type: ignore[union-attr]
    killer.wait()


def test_a_killed_holder_holds_nothing_and_its_note_says_nothing(
    key: str, other: Callable[..., subprocess.Popen[str]]
) -> None:
    process = other(key, user="nobody")
    process.kill()
    process.wait()
    (stale,) = notes(key)
    assert locks.holder(key) is None
    with locks.hold(key, "ours"):
        assert locks._note(key).job == "ours"  # type: ignore[union-attr]
    assert notes(key) == [stale]


def test_a_note_whose_number_another_process_has_now_says_nothing(key: str) -> None:
    with locks.hold(key, "ours"):
        (path,) = notes(key)
        with open(path, encoding="utf-8") as file:
            note = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**note, "born": "1"}, file)
    assert locks._note(key) is None
    os.unlink(path)


def test_what_others_write_into_the_folder_does_no_harm(key: str, other: Callable[..., subprocess.Popen[str]]) -> None:
    process = other(key)
    folder, nobody = locks.folder(), pwd.getpwnam("nobody").pw_uid
    base = locks._path(key)
    for number, text in enumerate(["", "{", "[]", '{"pid": 1}', '{"job": 1, "pid": "x"}'], start=1):
        with open(f"{base}.{number}.json", "w", encoding="utf-8") as file:
            file.write(text)
        os.chown(file.name, number, 0)
    os.symlink("/etc/passwd", f"{base}.77.json")
    os.mkfifo(f"{base}.78.json")
    with open(f"{base}.79.json", "w", encoding="utf-8") as file:  # root's name in it, nobody's file
        json.dump({"job": "lies", "pid": 1, "since": "9", "born": locks._born(1), "until": "", "token": ""}, file)
    os.chown(file.name, nobody, 0)
    found = locks.holder(key)
    assert found is not None
    assert found.pid == process.pid
    for name in os.listdir(folder):
        if name.startswith(os.path.basename(base) + "."):
            os.unlink(os.path.join(folder, name))


def test_the_folder_is_for_everybody_and_owned_by_root(key: str, other: Callable[..., subprocess.Popen[str]]) -> None:
    with locks.hold(key, "ours"):
        pass
    found = os.stat(locks.folder())
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o1777)
    os.chown(locks.folder(), pwd.getpwnam("nobody").pw_uid, 0)  # as if nobody had come first
    other(key, user="nobody").kill()
    with locks.hold(key, "ours", wait=5):
        assert os.stat(locks.folder()).st_uid == 0


def test_a_job_within_a_job_of_this_process_is_let_through(key: str) -> None:
    with locks.hold(key, "outer"):
        with locks.hold(key, "inner"):
            pass
        assert locks._note(key).job == "outer"  # type: ignore[union-attr]
    assert notes(key) == []


def test_a_play_holds_it_by_a_process_that_lets_its_jobs_through(key: str) -> None:
    note = locks.start_holder(key, "upgrade", "secret token", 60)
    found = locks.holder(key)
    assert found == note
    refused = r"locked by upgrade \(pid .*, until .* state: released, force: true"
    with pytest.raises(CatmaidError, match=refused), locks.hold(key, "backup"):
        pass
    with pytest.raises(CatmaidError, match="locked by upgrade"), locks.hold(key, "backup", token="another"):
        pass
    with locks.hold(key, "backup", token="secret token"):
        assert locks.holder(key) == note
    assert locks.holder(key) == note  # it was not the job's to give away
    with open(f"/proc/{note.pid}/cmdline", "rb") as argv, open(f"/proc/{note.pid}/environ", "rb") as environment:
        assert argv.read().split(b"\0")[5:] == [b"catmaid.admin job lock", b"60", b"upgrade", b"", b""]
        assert environment.read() == b""
    with open(notes(key)[0], encoding="utf-8") as file:
        assert "secret" not in file.read()
    assert locks.release(key, "another") is None
    with pytest.raises(CatmaidError, match="held by upgrade"):
        locks.release(key)
    assert locks.release(key, "secret token") == note
    assert locks.holder(key) is None
    assert locks.release(key, "secret token") is None
    assert notes(key) == []
    with locks.hold(key, "backup", token="secret token"):  # the play's lock is over: the job takes its own
        assert locks._note(key).job == "backup"  # type: ignore[union-attr]


def test_a_job_that_goes_on_without_its_play_has_the_database_for_itself(
    key: str, other: Callable[..., subprocess.Popen[str]]
) -> None:
    locks.start_holder(key, "upgrade", "token", 60)
    first, second = other(key, "migrating", token="token"), other(key, "rebuilding", token="token", user="nobody")
    assert locks.release(key, "token")
    for process in (first, second):
        named = rf"locked by (migrating|rebuilding) \(pid ({first.pid}|{second.pid}), "
        for token in ("", "token"):
            with pytest.raises(CatmaidError, match=named), locks.hold(key, "backup", token=token):
                pass
        with pytest.raises(CatmaidError, match=named):
            locks.start_holder(key, "another play", "another", 60)
        with pytest.raises(CatmaidError, match="is at work"):
            locks.release(key, force=True)
        process.kill()
        process.wait()
    assert locks.holder(key) is None
    with locks.hold(key, "backup"):
        assert notes(key + locks.WORK) == []


def seen_by(sleeper: int, leash: list[int]) -> int:
    """Wait until the holder of a lock has seen one of these processes, and return which."""
    wanted = {f"/proc/{pid}": pid for pid in leash}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for entry in os.scandir(f"/proc/{sleeper}/fd"):
            with suppress(OSError):
                if os.readlink(entry.path) in wanted:
                    return wanted[os.readlink(entry.path)]
        time.sleep(0.1)
    raise AssertionError("it was never seen")


def test_it_ends_with_its_leash(key: str) -> None:
    word = f"leash-{uuid.uuid4().hex}"
    leash = [subprocess.Popen(["sh", "-c", "while read -r _; do :; done", word], stdin=subprocess.PIPE) for _ in "ab"]
    note = locks.start_holder(key, "upgrade", "token", 600, leash=word)
    first = seen_by(note.pid, [process.pid for process in leash])
    for process in sorted(leash, key=lambda process: process.pid != first):
        assert locks.holder(key) == note  # the other one is there still
        assert seen_by(note.pid, [process.pid]) == process.pid
        process.communicate()
    with locks.hold(key, "backup", wait=60):
        pass


def test_a_leash_that_was_never_seen_is_none(key: str) -> None:
    locks.start_holder(key, "upgrade", "token", 2, leash="nobody's word")
    with pytest.raises(CatmaidError, match="locked by upgrade"), locks.hold(key, "backup", wait=1):
        pass
    with locks.hold(key, "backup", wait=60):
        pass


def test_it_ends_by_itself_at_its_age(key: str) -> None:
    note = locks.start_holder(key, "upgrade", "token", 0.4)
    assert locks.holder(key) == note
    with locks.hold(key, "backup", wait=10):
        pass


def test_what_is_at_work_is_not_ended_by_force(key: str, other: Callable[..., subprocess.Popen[str]]) -> None:
    process = other(key)
    with pytest.raises(CatmaidError, match="is at work"):
        locks.release(key, force=True)
    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_long_name_is_one(other: Callable[..., subprocess.Popen[str]]) -> None:
    long = "ü" * 63 + uuid.uuid4().hex
    other(long)
    with pytest.raises(CatmaidError), locks.hold(long, "ours"):
        pass


def test_a_database_has_one_lock_whatever_the_way_to_it(
    server: Server, database: str, unused: Callable[[], str]
) -> None:
    by_tcp = Server(host="127.0.0.1", user=support.OWNER, password=support.PASSWORD)
    assert identity.database_key(server, database) == identity.database_key(by_tcp, database)
    assert identity.database_key(server, database) != identity.database_key(server, "postgres")
    missing = unused()
    assert identity.database_key(server, missing).endswith(f"-{missing}")


def test_without_rights_the_address_tells(database: str) -> None:
    """On a managed server the number of the cluster may be out of reach."""
    for name in (database, "postgres"):
        support.sql(name, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        by_tcp = Server(host="localhost", user=support.OWNER, password=support.PASSWORD)
        assert identity.database_key(by_tcp, database) == f"local:5432-{database}"
    finally:
        for name in (database, "postgres"):
            support.sql(name, "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
