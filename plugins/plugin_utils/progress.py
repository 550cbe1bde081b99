# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live progress of a long module: what its action plugin inherits.

The module runs in the background of its host by Ansible's own async_wrapper and keeps its newest progress in a file.
The controller looks at both now and then, shows what has changed, and returns what the module returned.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.vars.clean import remove_internal_keys
from ansible_collections.catmaid.admin.plugins.plugin_utils import remote_job

# What module_utils/_progress.py looks for.
VARIABLE = "CATMAID_ADMIN_PROGRESS"
LIMIT = 7 * 24 * 3600  # nobody's backup takes that long; async_wrapper wants a number
FIRST_LOOK = 1.0  # seconds that one look waits for the end of the job: no longer than it has been running, and
LONGEST_LOOK = 5.0
FIRST_LINE = 2.0  # what is done by then needs no progress
LONGEST_SILENCE = 30.0
PAUSES = (1, 2, 4, 8, 15, 30, 30, 30, 60, 60)  # seconds between attempts to reach a host that we lost

display = Display()


class Interrupted(BaseException):
    """A signal told us to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class ProgressAction(ActionBase):
    """Runs the module of the task and shows its progress meanwhile."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returned, however it was run."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        if self._in_one_call():
            in_background = bool(self._task.async_val) and not self._connection.has_native_async
            result.update(self._execute_module(task_vars=task_vars, wrap_async=in_background))
            if not in_background:
                self._remove_tmp_path(self._connection._shell.tmpdir)
            return result
        result.update(self._run_and_watch(task_vars))
        return result

    def _in_one_call(self) -> bool:
        """Whether there is nothing to show, or Ansible runs the module in the background itself."""
        connection = self._connection
        native = getattr(connection, "has_native_async", False) or getattr(connection, "always_pipeline_modules", False)
        return bool(self._task.check_mode or self._task.async_val or self._task.no_log or native)

    def _run_and_watch(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        label = str(task_vars.get("inventory_hostname", ""))
        if self._task.delegate_to:
            label += f" -> {self._task.delegate_to}"
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        job = remote_job.Job(
            token=secrets.token_hex(8),
            folder=str(self.get_shell_option("async_dir", default="~/.ansible_async")),
            temporary=self._connection._shell.tmpdir,
        )
        with _raising_signals():
            try:
                started = self._start(job, task_vars)
                if not job.id:
                    return started
                content = self._watch(job, label)
            except AnsibleConnectionFailure:
                raise  # we cannot reach it: the message names the job
            except BaseException as error:
                with _ignoring_signals():
                    self._stop(job, label)
                if isinstance(error, Interrupted):
                    _pass_on(error.number)
                raise
        result = self._parsed(content)
        if "ansible_facts" in started:  # the interpreter that was found on the way
            result["ansible_facts"] = {**started["ansible_facts"], **result.get("ansible_facts", {})}
        self._clean_up(job)
        return result

    def _start(self, job: remote_job.Job, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Start the module in the background; return what was answered, and note the job's name."""
        environment, limit = self._task.environment, self._task.async_val
        environment.append({VARIABLE: job.progress_file})
        self._task.async_val = LIMIT
        try:
            started = self._execute_module(task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = limit
            del environment[-1]
        if "results_file" in started:
            job.id, job.results_file = started["ansible_job_id"], started["results_file"]
            display.vv(f"{job.id} is the background job of this task")
        else:
            started.pop("changed", None)  # which _execute_module adds
        return started

    def _watch(self, job: remote_job.Job, label: str) -> str:
        """Show the job's progress until it has ended; return what it left."""
        begun = time.monotonic()
        shown, silent_until, silence = "", FIRST_LINE, FIRST_LINE
        while True:
            running = time.monotonic() - begun
            seen = self._look(job, min(max(FIRST_LOOK, running), LONGEST_LOOK))
            if seen.state == remote_job.DONE:
                return seen.content
            if seen.state == remote_job.GONE:
                return json.dumps(
                    {"failed": True, "msg": f"job {job.id} ended without a result: was the host rebooted?"}
                )
            running = time.monotonic() - begun
            if seen.line and seen.line != shown and running >= silent_until:
                display.display(f"[{label}] {seen.line}")
                shown, silence = seen.line, min(silence * 1.3, LONGEST_SILENCE)
                silent_until = running + silence

    def _look(self, job: remote_job.Job, wait: float) -> remote_job.Seen:
        """Look at the job once, however often the connection is lost, within reason."""
        for pause in (*PAUSES, None):
            cause = ""
            try:
                seen = remote_job.seen(job, self._shell(job.look(wait)))
                if seen:
                    return seen
                cause = "no answer that makes sense"
            except AnsibleConnectionFailure as error:
                cause = str(error)
            if pause is None:
                break
            display.vv(f"lost {job.id}, next look in {pause} s: {cause}")
            time.sleep(pause)
            with suppress(Exception):  # the next attempt tells whether it helped
                self._connection.reset()
        raise AnsibleConnectionFailure(
            f"lost the host ({cause}) while job {job.id} was running there. It may go on to its end: look at"
            f" {job.results_file} on the host, or run the module ansible.builtin.async_status with jid={job.id}."
        )

    def _stop(self, job: remote_job.Job, label: str) -> None:
        """End the job on its host, and say so if that did not work."""
        said = ""
        with suppress(Exception):
            said = self._shell(job.stop())
            with suppress(Exception):
                self._clean_up(job)
        ended = remote_job.was_stopped(job, said)
        message = "was ended" if ended else f"could not be ended; its files are below {job.temporary}"
        with suppress(Exception):  # nobody may be left to read it
            display.display(f"[{label}] the background job {job.id} {message}", stderr=not ended)

    def _clean_up(self, job: remote_job.Job) -> None:
        """Remove what the job left; its folder holds the module's arguments and may belong to the login user."""
        self._shell(job.clean())
        self._cleanup_remote_tmp = True
        self._remove_tmp_path(job.temporary)

    def _shell(self, script: str) -> str:
        return str(self._low_level_execute_command(script)["stdout"])

    def _parse_returned_data(self, res: dict[str, Any], *profile: Any) -> dict[str, Any]:
        self._profile = profile  # newer releases of Ansible tell how the module wrote its result
        return super()._parse_returned_data(res, *profile)

    def _parsed(self, content: str) -> dict[str, Any]:
        """Return a module's output as _execute_module would, had it waited for it."""
        result = self._parse_returned_data(remote_job.output(content), *self._profile)
        remove_internal_keys(result)
        for stream in ("stdout", "stderr"):
            if stream in result and f"{stream}_lines" not in result:
                result[f"{stream}_lines"] = str(result[stream] or "").splitlines()
        return result


@contextmanager
def _raising_signals() -> Iterator[None]:
    """Let a signal that ends this process raise Interrupted, so that there is time to end the job.

    Only the first one: Ansible sends SIGINT and at once SIGTERM, which must not interrupt what the first began.
    """
    told = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal told
        if not told:
            told = True
            raise Interrupted(number)

    with _handling(interrupt):
        yield


@contextmanager
def _ignoring_signals() -> Iterator[None]:
    """Let programs that the body starts finish although the user becomes impatient."""
    with _handling(signal.SIG_IGN):
        yield


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
                before[number] = signal.signal(number, handler)
    except ValueError:
        pass  # not the main thread: somebody's own strategy, which sees to signals itself
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _pass_on(number: int) -> None:
    """End as this process would have ended by that signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
