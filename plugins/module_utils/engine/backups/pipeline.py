# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs between which bytes flow through us: none is believed before its exit code is seen, and none outlives us."""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from .. import command
from ..errors import CatmaidError

BLOCK = 1024 * 1024
LINES = 20
Writer = Callable[[Any], None]

_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")


class Digest:
    """A file to write to that counts and hashes what goes on to ``out``, and tells ``on_bytes`` how many that are."""

    def __init__(self, out: Any = None, on_bytes: Callable[[int], None] | None = None) -> None:
        self.bytes = 0
        self._sha256 = hashlib.sha256()
        self._out = out
        self._on_bytes = on_bytes

    @property
    def sha256(self) -> str:
        """The hexadecimal SHA-256 of all that went through."""
        return self._sha256.hexdigest()

    def write(self, data: bytes) -> int:
        """Pass on ``data``."""
        self._sha256.update(data)
        self.bytes += len(data)
        if self._out is not None:
            write_all(self._out, data)
        if self._on_bytes:
            self._on_bytes(len(data))
        return len(data)


class Whole:
    """A file to write to, for callers that do not expect a pipe to take a part only."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def write(self, data: bytes) -> int:
        """Pass on ``data``."""
        write_all(self._out, data)
        return len(data)


class Program:
    """A running program."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], doing: str, secrets: Sequence[str], remedy: str
    ) -> None:
        self.process = process
        self._name = name
        self._doing = doing
        self._secrets = secrets
        self._remedy = remedy
        self._lines: deque[str] = deque(maxlen=LINES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def input(self) -> IO[bytes]:
        """Where to write to."""
        if self.process.stdin is None:
            raise ValueError("it reads nothing of ours")
        return self.process.stdin

    @property
    def output(self) -> IO[bytes]:
        """Where to read from."""
        if self.process.stdout is None:
            raise ValueError("we read nothing of it")
        return self.process.stdout

    def finish(self) -> None:
        """Wait for the end and raise when it was none that we want."""
        code = self.process.wait()
        self._listener.join()
        if code:
            cause = f"{self._name} failed with code {code}: {told(list(self._lines))}"
            raise CatmaidError(self._doing, cause, self._remedy, rc=code)

    def _listen(self) -> None:
        for raw in self.process.stderr or ():
            self._lines.append(command.scrub(raw.decode("utf-8", "replace").rstrip(), self._secrets))


@contextmanager
def program(
    argv: Sequence[str],
    doing: str,
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    pipe_in: bool = False,
    pipe_out: bool = True,
    secrets: Sequence[str] = (),
    remedy: str = "",
) -> Iterator[Program]:
    """Run a program beside the body. One that still runs when the body is left is ended, before its input ends.

    A program that writes to a target would take the end of its input for the end of the file.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if pipe_in else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe_out else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=command.environment(None, env),
            cwd="/",
            bufsize=0,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            preexec_fn=command.end_with_parent,  # noqa: PLW1509 (one system call; no Python lock is taken after the fork)
        )
    except OSError as error:
        remedy = f"Install {argv[0]}." if isinstance(error, FileNotFoundError) else remedy
        raise CatmaidError(doing, f"cannot start {argv[0]}: {error.strerror or error}", remedy) from error
    running = Program(argv[0], process, doing, secrets, remedy)
    try:
        yield running
    finally:
        if process.poll() is None:
            command.end(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Pump:
    """A thread that carries what a program writes to somewhere else."""

    def __init__(self, source: IO[bytes], out: Any) -> None:
        self._error: BaseException | None = None
        self._source = source
        self._out = out
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until all is carried, and raise what hindered it."""
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            for block in iter(lambda: self._source.read(BLOCK), b""):
                write_all(self._out, block)
        except BaseException as error:  # noqa: BLE001 (it is raised by finish)
            self._error = error
            self._source.close()  # or the program would wait for a reader, and we for the program


def write_all(out: Any, data: bytes) -> None:
    """Write all of ``data``, also to a pipe without a buffer, which may take a part only."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def told(lines: Sequence[str]) -> str:
    """Return what a program complained about: each thing once, without the time that it put before it."""
    plain = [_STAMP.sub("", line).strip() for line in lines]
    return " | ".join(list(dict.fromkeys(line for line in plain if line))[-6:]) or "it said nothing"
