# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job of async_wrapper on a host: the shell commands that look at it, stop it and clean up, and what they answer."""

from __future__ import annotations

import json
import posixpath
import shlex
from dataclasses import dataclass
from typing import Any

RUNNING = "running"
DONE = "done"
GONE = "gone"
STOP_WITHIN = 12  # seconds between asking it to end and ending it
PAUSE = 0.2

# No line break at the end of these: Ansible puts "&& sleep 0" behind them.
# async_wrapper writes this file whole or not at all: first that the job was started, in the end what the module said.
# A job whose file says the first but that has no process any more, neither module nor wrapper, will never end.
LOOK = """
processes={processes}
for _ in {looks}; do
  alive=$({find})
  case "$(head -c 200 {results})" in
    '{{"started": '*{id}*) [ -n "$alive" ] || {{ state={gone}; break; }}; state={running};;
    '') state={gone}; break;;
    *) state={done}; break;;
  esac
  sleep {pause}
done
echo {token} "$state"
if [ "$state" = {running} ]; then cat {progress} 2>/dev/null; else cat {results} 2>/dev/null; fi
echo"""
# The module first: it ends what it has started, and removes what it has written. The wrapper would tell nobody. Who
# is interrupted while it starts does not know the job's name yet, so it is read from the wrapper's arguments.
STOP = """
processes={processes}
module() {{ for p in $({find}); do grep -qsF async_wrapper.py $p || echo $p; done | sed 's/[^0-9]//g'; }}
all() {{ {find} | sed 's/[^0-9]//g'; }}
name=$(cat $({find}) /dev/null 2>/dev/null | tr '\\0' '\\n' | grep -xm1 'j[0-9]*')
kill -TERM $(module) 2>/dev/null
for _ in {looks}; do [ -n "$(module)" ] || break; sleep {pause}; done
kill -KILL $(all) 2>/dev/null
sleep {pause}
[ -z "$name" ] || rm -f {folder}/"$name".*
[ -n "$(all)" ] || echo {token} stopped"""


@dataclass(frozen=True)
class Seen:
    """What one look saw: the newest line of a running job, or what one left that has ended."""

    state: str
    line: str = ""
    content: str = ""


@dataclass
class Job:
    """A background job. ``id`` and ``results_file`` are known when it has been started."""

    token: str
    folder: str
    temporary: str
    id: str = ""
    results_file: str = ""

    @property
    def progress_file(self) -> str:
        """Where the module keeps its progress. The module makes a full path of a tilde, as async_wrapper does."""
        folder = posixpath.dirname(self.results_file) if self.results_file else self.folder
        return posixpath.join(folder, f"catmaid.admin-{self.token}")

    def look(self, wait: float) -> str:
        """Return a command that waits so many seconds for the end of the job and tells its state."""
        return LOOK.format(
            **self._find(),
            looks=_steps(wait),
            results=shlex.quote(self.results_file),
            progress=shlex.quote(self.progress_file),
            id=shlex.quote(self.id),
            token=self.token,
            running=RUNNING,
            gone=GONE,
            done=DONE,
            pause=PAUSE,
        )

    def stop(self) -> str:
        """Return a command that ends the job."""
        return STOP.format(
            **self._find(), folder=_quoted(self.folder), looks=_steps(STOP_WITHIN), token=self.token, pause=PAUSE
        )

    def clean(self) -> str:
        """Return a command that removes the job's files."""
        files = [self.progress_file, f"{self.progress_file}.new"]
        if self.results_file:
            files += [self.results_file, f"{self.results_file}.tmp"]
        return f"rm -f {' '.join(_quoted(file) for file in files)}"

    def _find(self) -> dict[str, str]:
        """Return the words that find the job's processes by the folder that they were started from.

        The pattern has a bracket, so that it does not match the processes that look for it.
        """
        name = posixpath.basename(self.temporary.rstrip("/"))
        return {
            "processes": shlex.quote(f"[{name[0]}]{name[1:]}".replace(".", "[.]")),
            "find": 'grep -ls "$processes" /proc/[0-9]*/cmdline',
        }


def seen(job: Job, answer: str) -> Seen | None:
    """Return what a look saw, or None if the answer is none."""
    lines = answer.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines):
        token, _blank, state = line.partition(" ")
        if token == job.token and state in (RUNNING, DONE, GONE):
            content = "\n".join(lines[number + 1 :])
            return Seen(state, _line(content)) if state == RUNNING else Seen(state, content=content)
    return None


def was_stopped(job: Job, answer: str) -> bool:
    """Tell whether the command that stops a job did so."""
    return f"{job.token} stopped" in answer


def output(content: str) -> dict[str, Any]:
    """Return a finished job's file as the output of the module's program.

    Where async_wrapper could not read that output, it has put it, and its own opinion, into a result.
    """
    try:
        result = json.loads(content)
    except ValueError:
        result = {}
    if result.get("failed") and "ansible_job_id" in result and ("data" in result or "outdata" in result):
        said = str(result.get("data", result.get("outdata", "")))
        return {"stdout": said, "stderr": str(result.get("stderr", "")), "rc": 1}
    return {"stdout": content, "stderr": "", "rc": 0}


def _line(content: str) -> str:
    try:
        return str(json.loads(content).get("line", ""))
    except (ValueError, AttributeError):
        return ""


def _quoted(path: str) -> str:
    """Return a path for the shell, which replaces a tilde only outside of quotes."""
    return "~/" + shlex.quote(path[2:]) if path.startswith("~/") else shlex.quote(path)


def _steps(seconds: float) -> str:
    """Return as many words as there are steps in so many seconds: a loop that every shell knows."""
    return " ".join(["x"] * max(1, round(seconds / PAUSE)))
