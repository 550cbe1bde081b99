# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: all that they write is read, and none of them can hold us up, whatever it leaves behind."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import command
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError

MUCH = "x" * 1_000_000


def test_reads_all_that_a_program_writes() -> None:
    lines: list[str] = []
    script = "cat; n=0; while [ $n -lt 3000 ]; do echo line $n >&2; n=$((n+1)); done; printf 'no end' >&2; exit 4"
    done = command.run(["sh", "-c", script], doing="a test", stdin=MUCH, ok=None, on_stderr=lines.append)
    assert (done.rc, done.stdout) == (4, MUCH)
    assert lines == [*(f"line {number}" for number in range(3000)), "no end"]
    assert done.stderr.endswith("line 2999\nno end")


def test_needs_no_reader_for_the_input() -> None:
    assert command.run(["true"], doing="a test", stdin=MUCH).rc == 0
    assert command.run(["cat"], doing="a test", stdin="").stdout == ""
    with pytest.raises(CatmaidError, match="sleep was ended after 1 s"):
        command.run(["sleep", "1000"], doing="a test", stdin=MUCH, timeout=0.6)


@pytest.mark.parametrize("left", ["sleep 1000", "yes", "yes >&2", "setsid sleep 1000"])
def test_does_not_wait_for_what_a_program_leaves_behind(left: str) -> None:
    script = f"head -c 60000 /dev/zero | tr '\\0' x; echo said >&2; {left} & echo $! >&3"
    source, sink = os.pipe()
    os.set_inheritable(sink, True)
    try:
        done = command.run(["sh", "-c", f"exec 3>/proc/{os.getpid()}/fd/{sink}; {script}"], doing="a test", stdin=MUCH)
        assert done.stdout.startswith("x" * 60000)
        assert "said" in done.stderr or left == "yes >&2"  # of which only the last lines are kept
    finally:
        os.kill(int(os.read(source, 100)), signal.SIGKILL)
        os.close(source)
        os.close(sink)


def test_children_can_be_ended_while_we_are_being_ended() -> None:
    # The second signal is ignored, by us and not by those whom we start then; from any thread.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    results: list[int] = []

    def work() -> None:
        results.append(command.run(["sh", "-c", "kill -TERM $$; exit 0"], doing="a test", ok=None).rc)

    try:
        work()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert results == [-signal.SIGTERM] * 2
