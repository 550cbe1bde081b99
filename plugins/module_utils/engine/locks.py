# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One job at a time on a database, for all users of this host.

The lock is the kernel's (flock) on an empty file, so it ends with its holder, however that ends. Beside it each user's
holder writes a note that says who it is; a note whose process is gone counts for nothing.

A play consists of many processes. One that only sleeps (:func:`start_holder`) keeps the lock for it, and jobs that
know the play's token are let through.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from . import files
from .errors import CatmaidError

# The first in which everybody may make files. In containers /run/lock may be root's alone.
PARENTS = ("/run/lock", "/dev/shm", "/tmp")
NAME = "catmaid.admin"
MODE = 0o1777
INTERVAL = 0.2
NOTE_WITHIN = 1.0  # who has just got the lock has not written yet who it is
NAME_AT_MOST = 180
NOTE_AT_MOST = 4096
GONE_WITHIN = 10.0
MARK = "catmaid.admin job lock"
TIME = "%Y-%m-%dT%H:%M:%SZ"
# The program of the process that keeps a lock for a play: it has the locked file open, and needs to do nothing.
SLEEPER = "import sys, time; time.sleep(float(sys.argv[2]))"

_held: set[str] = set()


@dataclass(frozen=True)
class Note:
    """Who holds a lock. ``born`` is when its process started, as the kernel counts; ``token`` is a digest."""

    job: str
    pid: int
    since: str
    born: str = ""
    until: str = ""
    token: str = ""
    user: int = 0

    def __str__(self) -> str:
        ends = f", until {self.until} at the latest" if self.until else ""
        return f"{self.job} (pid {self.pid}, since {self.since}{ends})"

    def belongs_to(self, token: str) -> bool:
        """Tell whether the lock is held for the play that knows ``token``."""
        return bool(token) and self.token == _digest(token)

    @property
    def details(self) -> dict[str, Any]:
        """What a face may show."""
        return {"job": self.job, "pid": self.pid, "since": self.since, "until": self.until, "user": self.user}


@contextlib.contextmanager
def hold(key: str, job: str, wait: float = 0, token: str = "") -> Iterator[None]:
    """Hold the lock ``key`` for ``job``, or fail after ``wait`` seconds, saying who holds it.

    ``token`` is that of the play that the job belongs to, if it holds the lock. A job is let through, too, inside of
    one of this very process that holds the lock.
    """
    if key in _held:
        yield
        return
    handle = _take(key, job, wait, token)
    if handle is None:
        yield
        return
    _held.add(key)
    try:
        _write_note(key, job, os.getpid())
        yield
    finally:
        _held.discard(key)
        _forget(key, os.getpid())
        os.close(handle)


def holder(key: str) -> Note | None:
    """Return who holds the lock, None if nobody does."""
    handle = _open(key, f"looking at the lock {key}", create=False)
    if handle is None:
        return None
    try:
        if _try(handle):
            return None
        return _note(key)
    finally:
        os.close(handle)


def check(key: str, job: str) -> None:
    """Raise what :func:`hold` would raise now, without waiting for anybody."""
    found = holder(key)
    if found:
        raise _refusal(key, job, 0, found)


def start_holder(key: str, job: str, token: str, max_age: float, wait: float = 0) -> Note:
    """Start a process that holds the lock until it is released or ``max_age`` seconds are over."""
    handle = _take(key, job, wait)
    if handle is None:
        raise AssertionError("only a token lets through")
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SLEEPER, MARK, str(max_age), job],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(handle,),  # a lock belongs to the open file: with the child's copy it outlives us
            start_new_session=True,  # neither the end of an ssh session nor an interrupt reaches it
            cwd="/",
            env={},
        )
        process.returncode = 0  # it is meant to outlive us: no warning about that
        return _write_note(key, job, process.pid, max_age=max_age, token=_digest(token))
    finally:
        os.close(handle)


def releasable(key: str, token: str = "", *, force: bool = False) -> Note | None:
    """Return what :func:`release` would end."""
    found = holder(key)
    doing = f"releasing the lock {key}"
    if found is None:
        return None
    if not found.belongs_to(token) and not force:
        if token:
            return None
        raise CatmaidError(doing, f"it is held by {found}", "Give its token, or set force.", holder=found.details)
    if not found.token or not _is_sleeper(found.pid):
        raise CatmaidError(
            doing,
            f"it is held by {found}, which is at work and no play that has died",
            "Wait for it, or end that process: the lock ends with it.",
            holder=found.details,
        )
    return found


def release(key: str, token: str = "", *, force: bool = False) -> Note | None:
    """End the process that :func:`start_holder` has started; return what it held, None if there was nothing to end.

    Without ``force`` only with its token. A lock that is another's by now stays.
    """
    found = releasable(key, token, force=force)
    doing = f"releasing the lock {key}"
    if found is None:
        return None
    try:
        os.kill(found.pid, signal.SIGTERM)
    except PermissionError as error:
        raise CatmaidError(doing, f"it belongs to OS user {found.user}", "Do it as that user, or as root.") from error
    except ProcessLookupError:
        pass  # its time was over just now
    deadline = time.monotonic() + GONE_WITHIN
    while _alive(found):
        if time.monotonic() > deadline:
            raise CatmaidError(doing, f"process {found.pid} does not end")
        time.sleep(0.01)
    _forget(key, found.pid)
    return found


def _take(key: str, job: str, wait: float, token: str = "") -> int | None:
    """Return the locked file; None when the holder has given ``token``."""
    handle = _open(key, job, create=True)
    if handle is None:
        raise AssertionError("it was to be created")
    deadline = time.monotonic() + wait
    try:
        while not _try(handle):
            found = _note(key)
            if found and found.belongs_to(token):
                os.close(handle)
                return None
            if time.monotonic() >= deadline + (0 if found else NOTE_WITHIN):
                raise _refusal(key, job, wait, found)
            time.sleep(INTERVAL)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(handle)
        raise
    return handle


def _refusal(key: str, job: str, wait: float, found: Note | None) -> CatmaidError:
    after = f" after {wait:g} seconds" if wait else ""
    remedy = "Wait until that job has ended, or give a longer lock_wait."
    if found and found.token:
        remedy += " If its play has died, release it: module catmaid.admin.job_lock, state: released, force: true."
    return CatmaidError(
        job,
        f"it is locked by {found or 'a process that left no note'}{after}",
        remedy,
        holder=found.details if found else {},
        lock=key,
    )


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(key: str, doing: str, *, create: bool) -> int | None:
    """Return the lock's file, opened for reading: that is enough to lock it, also when it is another user's.

    It is never opened to be created when it is there, which fs.protected_regular forbids for files of other users.
    """
    path = _path(key)
    try:
        if create:
            _make_folder()
        for _attempt in range(2):
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            if not create:
                return None
            with contextlib.suppress(FileExistsError):
                handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
                os.fchmod(handle, 0o644)
                return handle
        raise OSError(f"{path} comes and goes")
    except OSError as error:
        raise CatmaidError(
            doing,
            f"cannot open the lock {path}: {error.strerror or error}",
            f"Every user of this host must be able to make files in {folder()}, and to read those of others.",
        ) from error


def folder() -> str:
    """Return where the locks of this host are: the same for all its users, whoever comes first."""
    shared = (parent for parent in PARENTS if os.path.isdir(parent) and os.stat(parent).st_mode & MODE == MODE)
    return os.path.join(next(shared, PARENTS[0]), NAME)


def _make_folder() -> None:
    """Make the folder that all users share, each with files of its own; root takes over one that a user has made."""
    path = folder()
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
        os.chmod(path, MODE)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(f"{path} is no folder")
    if os.geteuid() == 0 and (found.st_uid != 0 or stat.S_IMODE(found.st_mode) != MODE):
        os.chown(path, 0, 0)
        os.chmod(path, MODE)


def _path(key: str) -> str:
    name = urllib.parse.quote(key, safe="")
    if len(name) > NAME_AT_MOST:
        name = hashlib.sha256(key.encode()).hexdigest()
    return os.path.join(folder(), f"{name}.lock")


def _note_path(key: str, user: int) -> str:
    return f"{_path(key)}.{user}.json"


def _write_note(key: str, job: str, pid: int, *, max_age: float = 0, token: str = "") -> Note:
    now = time.time()
    until = time.strftime(TIME, time.gmtime(now + max_age)) if max_age else ""
    since = time.strftime(TIME, time.gmtime(now))
    note = Note(job, pid, since, _born(pid) or "", until, token, os.geteuid())
    try:
        files.write_json(_note_path(key, note.user), asdict(note), mode=0o644)
    except OSError as error:
        raise CatmaidError(job, f"cannot note in {folder()} who holds the lock: {error.strerror or error}") from error
    return note


def _forget(key: str, pid: int) -> None:
    """Remove the note of a process of ours, or as root that of anybody."""
    for path, note in _notes(key):
        if note.pid == pid:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _note(key: str) -> Note | None:
    """Return the note of the process that lives; the newest, should one have been killed and its number be back."""
    living = [note for _path_, note in _notes(key) if _alive(note)]
    return max(living, key=lambda note: note.since, default=None)


def _notes(key: str) -> Iterator[tuple[str, Note]]:
    lock = os.path.basename(_path(key))
    for name in os.listdir(folder()) if os.path.isdir(folder()) else ():
        if not (name.startswith(f"{lock}.") and name.endswith(".json")):
            continue
        path = os.path.join(folder(), name)
        # Anybody can write anything into this folder: what is no note of the user in its name is passed over.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:
                owner = os.fstat(file.fileno()).st_uid
                said = json.loads(file.read(NOTE_AT_MOST))
            if name == os.path.basename(_note_path(key, owner)):
                text = {word: "".join(filter(str.isprintable, str(value))) for word, value in said.items()}
                words = (text["since"], text["born"], text["until"], text["token"])
                yield path, Note(text["job"], int(text["pid"]), *words, user=owner)


def _born(pid: int) -> str | None:
    """Return what tells a process from all others that had or will have its number; None when it is over."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else words[19]


def _alive(note: Note) -> bool:
    return _born(note.pid) == note.born


def _is_sleeper(pid: int) -> bool:
    """Tell whether a process is one of ours that only sleeps: nothing else is ever ended on the word of a note."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return MARK.encode() in file.read().split(b"\0")
    except OSError:
        return False


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
