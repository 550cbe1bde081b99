# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that keeps a lock for a play: it has the locked file open, and only sleeps.

It ends when its time is over, or when its leash is gone: a process whose command line has a certain word in it, which
somebody else has started and which ends with the play.
"""

from __future__ import annotations

import subprocess
import sys

MARK = "catmaid.admin job lock"

# A process that was never seen is no leash: then there is only the time. Of the one that was seen its folder is open.
PROGRAM = """
import os, sys, time

end, leash, known = time.monotonic() + float(sys.argv[2]), sys.argv[4].encode(), None


def leads(folder):
    try:
        handle = os.open("cmdline", os.O_RDONLY, dir_fd=folder)
        with os.fdopen(handle, "rb") as file:
            return leash in file.read()
    except OSError:
        return False


def seen():
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                folder = os.open("/proc/" + name, os.O_RDONLY)
            except OSError:
                continue
            if leads(folder):
                return folder
            os.close(folder)


while time.monotonic() < end:
    if leash and not (known and leads(known)):
        found = seen()
        if known and not found:
            break
        known = found
    time.sleep(max(0.0, min(0.5 if leash else 3600.0, end - time.monotonic())))
"""


def start(handle: int, job: str, max_age: float, leash: str) -> int:
    """Start one that keeps the locked file ``handle`` open; return the number of its process."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM, MARK, str(max_age), job, leash],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(handle,),  # a lock belongs to the open file: with the child's copy it outlives us
        start_new_session=True,  # neither the end of an ssh session nor an interrupt reaches it
        cwd="/",
        env={},
    )
    process.returncode = 0  # it is meant to outlive us: no warning about that
    return process.pid


def is_one(pid: int) -> bool:
    """Tell whether a process is one of them: nothing else is ever ended on the word of a note."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return MARK.encode() in file.read().split(b"\0")
    except OSError:
        return False
