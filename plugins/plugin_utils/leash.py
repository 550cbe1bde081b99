# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process on a host that ends with the play, by a process here that keeps a connection open until then."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

WORD = "catmaid.admin-leash"
# These start a program for each command. Others have one connection for all, which two processes cannot share.
EACH_BY_ITSELF = ("ssh", "local")
LOOK = 0.5  # seconds between two looks at the play
# It writes, because that is what fails when nobody is left to read it, whatever the connection is.
COMMAND = "while echo; do sleep 1; done"


@dataclass(frozen=True)
class Process:
    """A process, and what tells it from all others that had or will have its number."""

    pid: int
    born: str

    def lives(self) -> bool:
        """Tell whether it has not ended yet."""
        return _born(self.pid) == self.born


def controller(connection: Any) -> Process | None:
    """Return the process that runs the play; None where nothing can be tied to it."""
    if connection.transport not in EACH_BY_ITSELF:
        return None
    parent = os.getppid()  # we are one of its workers
    try:
        with open(f"/proc/{parent}/cmdline", "rb") as file:
            known = b"ansible" in file.read()
    except OSError:  # no Linux
        return None
    born = _born(parent)
    return Process(parent, born) if known and born else None


def tie(connection: Any, word: str, play: Process) -> None:
    """Let processes with this word in their command line run on the host of a connection as long as the play does."""
    if os.fork():
        return
    try:
        os.setsid()  # an interrupt of the play reaches it by the end of the play alone
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        threading.Thread(target=_end_with, args=(play,), daemon=True).start()
        with suppress(BaseException):
            connection.exec_command(f"/bin/sh -c {shlex.quote(COMMAND)} {word}", sudoable=False)
    finally:
        os._exit(0)


def _end_with(play: Process) -> None:
    """End this process and the programs of its connection when the play has ended."""
    while play.lives():
        time.sleep(LOOK)
    os.killpg(0, signal.SIGKILL)


def _born(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in "ZX" else words[19]
