# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Background jobs of Ansible's own async_wrapper, looked at and stopped by a real shell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible.modules import async_wrapper
from ansible_collections.catmaid.admin.plugins.plugin_utils import remote_job
from ansible_collections.catmaid.admin.plugins.plugin_utils.remote_job import DONE, GONE, RUNNING, Job

Start = Callable[[str], Job]


def shell(script: str) -> str:
    """Run it as Ansible does on a terminal: with a word behind it, and with complaints among what it prints."""
    argv = ["/bin/sh", "-c", f"{script} && sleep 0"]
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def look(job: Job, wait: float = 0.2) -> remote_job.Seen | None:
    return remote_job.seen(job, shell(job.look(wait)))


def processes(job: Job) -> list[str]:
    found = subprocess.run(["pgrep", "-af", job.temporary], capture_output=True, text=True, check=False).stdout
    return found.splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a Python program as Ansible starts a module in the background."""
    jobs: list[Job] = []

    def run(program: str) -> Job:
        name = f"ansible-tmp-17.{len(jobs)}-{os.getpid()}-{time.monotonic_ns()}"
        job = Job(token=f"token{len(jobs)}", folder=str(tmp_path / "a b"), temporary=str(tmp_path / name))
        os.mkdir(job.temporary)
        module = Path(job.temporary, "AnsiballZ_pg_dump.py")
        module.write_text(f"#!{sys.executable}\nPROGRESS = {job.progress_file!r}\n{program}\n")
        wrapper = shutil.copy(async_wrapper.__file__, job.temporary)
        started = subprocess.run(
            [sys.executable, wrapper, f"j12{len(jobs)}", "600", str(module), "_"],
            env=os.environ | {"ANSIBLE_ASYNC_DIR": job.folder}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        jobs.append(job)
        answer = json.loads(started.stdout)
        job.id, job.results_file = answer["ansible_job_id"], answer["results_file"]
        return job

    yield run
    for job in jobs:
        shell(job.stop())


def test_sees_a_job_run_and_end(start: Start) -> None:
    job = start(
        "import json, time\n"
        "with open(PROGRESS, 'w') as file: json.dump({'line': 'backing up: 42 % (Ü)'}, file)\n"
        "time.sleep(1.5)\n"
        "print('noise'); print(json.dumps({'changed': True, 'rows': [1, 2]}))"
    )
    seen = look(job)
    assert seen
    assert (seen.state, seen.line, seen.content) in [(RUNNING, "backing up: 42 % (Ü)", ""), (RUNNING, "", "")]
    began = time.monotonic()
    seen = look(job, 30)
    assert time.monotonic() - began < 10
    assert seen
    assert seen.state == DONE
    assert json.loads(remote_job.output(seen.content)["stdout"]) == {"changed": True, "rows": [1, 2]}
    shell(job.clean())
    assert os.listdir(job.folder) == []
    seen = look(job)
    assert seen
    assert seen.state == GONE


def test_gives_back_what_the_module_said_if_ansible_cannot_read_it(start: Start) -> None:
    job = start("import sys\nprint('half a {')\nsys.exit('and a reason')")
    seen = look(job, 30)
    assert seen
    assert seen.state == DONE
    output = remote_job.output(seen.content)
    assert output == {"stdout": "half a {\n", "stderr": "and a reason\n", "rc": 1}


def test_the_shell_has_nothing_to_complain_of(start: Start) -> None:
    job = start("print('{}')")

    for script in (job.look(0.2), job.clean(), job.stop()):
        assert "syntax" not in shell(script).lower()


def test_stops_a_job_which_cleans_up_behind_itself(start: Start, tmp_path: Path) -> None:
    job = start(
        "import pathlib, time\n"
        f"left = pathlib.Path({str(tmp_path / 'left')!r})\n"
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *a: (left.unlink(), exit(1)))\n"
        "left.touch()\n"
        "time.sleep(60)"
    )
    other = start("import time\ntime.sleep(60)")
    deadline = time.monotonic() + 10
    while not (tmp_path / "left").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes(job)
    answer = shell(job.stop())
    assert remote_job.was_stopped(job, answer)
    assert processes(job) == []
    assert not (tmp_path / "left").exists()
    seen = look(other)
    assert seen
    assert seen.state == RUNNING


def test_stops_a_job_whose_name_nobody_was_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_job, "STOP_WITHIN", 1)  # it will not listen
    job = start("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)")
    nameless = Job(job.token, job.folder, job.temporary)
    assert remote_job.was_stopped(nameless, shell(nameless.stop()))
    shell(nameless.clean())
    assert processes(job) == []
    assert os.listdir(job.folder) == []


def test_notices_that_a_job_was_killed_with_its_wrapper(start: Start) -> None:
    job = start("import time\ntime.sleep(60)")
    for line in processes(job):
        os.kill(int(line.split()[0]), 9)
    time.sleep(0.1)
    seen = look(job, 5)
    assert seen
    assert seen.state == GONE


@pytest.mark.parametrize("answer", ["", "sudo: a password is required", "token0 unheard of\n", "token0"])
def test_takes_nothing_else_for_an_answer(answer: str) -> None:
    assert remote_job.seen(Job("token0", "~/.ansible_async", "/tmp/ansible-tmp-1"), answer) is None


def test_reads_an_answer_from_a_terminal_with_a_greeting() -> None:
    answer = 'Welcome\r\ntoken0 running\r\n{"line": "42 %"}\r\n\r\n'
    assert remote_job.seen(Job("token0", "~", "/tmp/ansible-tmp-1"), answer) == remote_job.Seen(RUNNING, "42 %")


def test_leaves_the_tilde_to_the_shell() -> None:
    job = Job("token0", "~/.ansible async", "/tmp/ansible-tmp-1")
    assert job.clean().startswith("rm -f ~/'.ansible async/catmaid.admin-token0' ")
