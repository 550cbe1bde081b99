# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to run a program: argv, a clean environment, an OS user, secrets kept out of everything that is reported."""

from __future__ import annotations

import ctypes
import os
import pwd
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from .errors import CatmaidError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STDERR_LINES = 60  # what is kept for messages; the memory of a job stays flat however much a child complains
STDOUT_LIMIT = 64 * 1024 * 1024
BLOCK = 65536
PIPE_AT_MOST = 1024 * 1024  # what a pipe holds at most, unless root has made it longer
LOOK_EVERY = 100  # milliseconds
LINGER = 2.0  # seconds in which what a program has left in the background may still write something
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
_identity_lock = threading.Lock()


@dataclass(frozen=True)
class Result:
    """What a finished program left: ``stderr`` is its last lines only."""

    argv: list[str]
    rc: int
    stdout: str
    stderr: str
    seconds: float


def run(
    argv: Sequence[str],
    *,
    doing: str,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: str | None = None,
    stdout_to: IO[bytes] | None = None,
    stdin_from: IO[bytes] | None = None,
    timeout: float | None = None,
    secrets: Sequence[str] = (),
    ok: Sequence[int] | None = (0,),
    remedy: str = "",
    on_stderr: Callable[[str], None] | None = None,
    on_start: Callable[[subprocess.Popen[Any]], None] | None = None,
) -> Result:
    """Run ``argv`` and return its :class:`Result`; raise :class:`CatmaidError` when its code is not in ``ok``.

    The child runs as OS user ``user`` (only root can change it), in its own process group, and ends with us: a job
    that is killed leaves no orphan that goes on writing. ``secrets`` are blotted out of whatever is reported.
    ``ok=None`` accepts every code. ``on_stderr`` sees each line as it comes, ``on_start`` the process, to end it.
    """
    args = [str(arg) for arg in argv]
    started = time.monotonic()
    try:
        # Everything passed here is fixed before the fork; preexec only asks the kernel to end the child with us.
        process = subprocess.Popen(
            args,
            cwd=cwd or "/",
            env=environment(user, env),
            stdin=stdin_from if stdin_from else (subprocess.PIPE if stdin is not None else subprocess.DEVNULL),
            stdout=stdout_to if stdout_to else subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 (one system call; no Python lock is taken after the fork)
            **_identity(user),
        )
    except OSError as error:
        raise CatmaidError(doing, f"cannot start {args[0]}: {error.strerror or error}", remedy) from error

    if on_start:
        on_start(process)
    stderr: deque[str] = deque(maxlen=STDERR_LINES)
    out: list[bytes] = []
    over = threading.Event()
    helpers = [threading.Thread(target=_read_lines, args=(process.stderr, over, stderr, on_stderr), daemon=True)]
    if process.stdout is not None:
        helpers.append(threading.Thread(target=_read_all, args=(process.stdout, over, out), daemon=True))
    if stdin is not None:
        helpers.append(threading.Thread(target=_feed, args=(process.stdin, over, stdin.encode()), daemon=True))
    for helper in helpers:
        helper.start()
    try:
        rc = process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        end(process)
        raise CatmaidError(doing, f"{args[0]} was ended after {timeout:.0f} s", remedy, argv=args) from error
    except BaseException:
        end(process)
        raise
    finally:
        _let_finish(helpers, over)

    result = Result(
        argv=args,
        rc=rc,
        stdout=scrub(b"".join(out).decode("utf-8", "replace"), secrets),
        stderr=scrub("\n".join(stderr), secrets),
        seconds=round(time.monotonic() - started, 3),
    )
    if ok is not None and rc not in ok:
        raise CatmaidError(doing, _cause(result), remedy, argv=args, rc=rc, stderr=result.stderr)
    return result


def environment(user: str | None, extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return a small, predictable environment: nothing of ours leaks in, and messages are in English."""
    account = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    env = {
        "PATH": PATH,
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }
    env.update(extra or {})
    return env


def scrub(text: str, secrets: Sequence[str]) -> str:
    """Return ``text`` with every one of ``secrets`` blotted out."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "********")
    return text


def end(process: subprocess.Popen[Any], grace: float = 5.0) -> None:
    """End a child and everything it started: first politely, so that PostgreSQL's programs cancel their queries."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(grace)
            return
        except ProcessLookupError:
            process.wait()
            return
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def acting_as(user: str | None) -> Iterator[None]:
    """Be ``user`` for a moment, so that PostgreSQL's peer authentication sees that user on a socket opened now."""
    if not user or os.geteuid() != 0 or user == "root":
        yield
        return
    account = pwd.getpwnam(user)
    with _identity_lock:  # the effective user belongs to the process, not to a thread
        os.setegid(account.pw_gid)
        os.seteuid(account.pw_uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)


@contextmanager
def as_ourselves() -> Iterator[None]:
    """Keep other threads for a moment from acting as somebody else, who might not be let in where we are."""
    with _identity_lock:
        yield


def _identity(user: str | None) -> dict[str, Any]:
    """Return Popen's arguments for running as ``user`` with its groups; nothing when we are that user or not root."""
    if not user or os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(user)
    groups = os.getgrouplist(user, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}


def end_with_parent() -> None:
    """Make ready, between fork and exec, for the kernel to end this child with the thread that starts it.

    Who is being ended ignores a second signal; its children do not.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _let_finish(helpers: Sequence[threading.Thread], over: threading.Event) -> None:
    """Wait for those at the pipes of a program that has ended; not for what it has left in the background.

    That may hold the pipes open for ever. What the program itself has written is in them, and is read.
    """
    deadline = time.monotonic() + LINGER
    for helper in helpers:
        helper.join(max(0.0, deadline - time.monotonic()))
    over.set()
    for helper in helpers:
        helper.join()


def _feed(pipe: IO[bytes], over: threading.Event, content: bytes) -> None:
    """Write ``content`` to a program that need not read it."""
    os.set_blocking(pipe.fileno(), False)
    ready = select.poll()
    ready.register(pipe, select.POLLOUT)
    rest = memoryview(content)
    with suppress(BrokenPipeError), pipe:  # it did not want its input: its code and stderr tell why
        while rest and not over.is_set():
            if ready.poll(LOOK_EVERY):
                rest = rest[os.write(pipe.fileno(), rest) :]


def _blocks(pipe: IO[bytes], over: threading.Event) -> Iterator[bytes]:
    """Yield what comes through a pipe until all ends at the other side are closed; once ``over``, what is in it yet."""
    ready = select.poll()
    ready.register(pipe, select.POLLIN)
    left = PIPE_AT_MOST
    with pipe:
        while left > 0:
            last = over.is_set()
            if ready.poll(0 if last else LOOK_EVERY):
                block = os.read(pipe.fileno(), BLOCK)
                if not block:
                    return
                left -= len(block) if last else 0
                yield block
            elif last:
                return


def _read_lines(
    pipe: IO[bytes], over: threading.Event, lines: deque[str], seen: Callable[[str], None] | None
) -> None:  # fmt: skip
    def take(raw: bytes) -> None:
        line = raw.decode("utf-8", "replace")
        lines.append(line)
        if seen:
            seen(line)

    rest = b""
    for block in _blocks(pipe, over):
        *whole, rest = (rest + block).split(b"\n")
        for raw in whole:
            take(raw)
    if rest:
        take(rest)


def _read_all(pipe: IO[bytes], over: threading.Event, parts: list[bytes]) -> None:
    size = 0
    for block in _blocks(pipe, over):
        size += len(block)
        if size <= STDOUT_LIMIT:
            parts.append(block)


def _cause(result: Result) -> str:
    tail = (result.stderr.strip() or result.stdout.strip()).splitlines()[-8:]
    if result.rc < 0:
        tail.insert(0, f"ended by signal {signal.Signals(-result.rc).name}")
    return f"{os.path.basename(result.argv[0])} failed with code {result.rc}: " + " | ".join(tail)
