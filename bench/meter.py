# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command costs: seconds, the CPU of itself and of the server for it, the memory of all that it starts."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.1
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cost:
    """What one run took. ``cpu`` counts the server's processes that ended meanwhile, too."""

    seconds: float
    cpu: float
    memory: int
    output: str


def measure(argv: Sequence[str], postmaster: int) -> Cost:
    """Run a command to its end, which must be a good one."""
    peak = [0]
    before = _own_cpu() + _children_cpu(postmaster)
    started = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/")
    done = threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            peak[0] = max(peak[0], _resident(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    output, _nothing = process.communicate()
    seconds = time.monotonic() - started
    done.set()
    watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(argv), output)
    return Cost(seconds, _own_cpu() + _children_cpu(postmaster) - before, peak[0], output)


def start_of_this_process() -> float:
    """Return when it was started, before Python itself was there, by the clock of time.monotonic()."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(_stat(os.getpid())[19]) / TICKS
    return time.monotonic() - age


def load() -> float:
    """Return how busy the machine was in the last minute."""
    return os.getloadavg()[0]


def _own_cpu() -> float:
    """Return the CPU seconds of everything that we started and that has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _children_cpu(pid: int) -> float:
    """Return the CPU seconds of the ended children of a process: the server's finished sessions."""
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / TICKS


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name: the state is number 0."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _resident(root: int) -> int:
    """Return the bytes in memory of a process and of all below it."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)] = int(_stat(int(name))[1])
            except OSError:
                continue
    ours, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
        ours, grown = ours | more, bool(more)
    return sum(_pages(pid) for pid in ours) * PAGE


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
