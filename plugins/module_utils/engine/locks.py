# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One job at a time on a database, for all users of this host.

The lock is the kernel's (flock) on an empty file, so it ends with its holder, however that ends. Beside it each user's
holder writes a note that says who it is; a note whose process is gone counts for nothing.

A play consists of many processes. One that only sleeps (:func:`start_holder`) keeps the lock for it, and jobs that
know the play's token are let through. Each of them holds a second lock, shared with the others of that play, which
whoever comes next wants as well: so a job that goes on when its play is gone still has the database for itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import stat
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from . import files, sleepers
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
TIME = "%Y-%m-%dT%H:%M:%SZ"
WORK = "\0at work"  # behind a key: the lock of the jobs that a play's token has let through

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
    handle, lock = _take(key, job, wait, token)
    _held.add(key)
    try:
        _write_note(lock, job, os.getpid())
        yield
    finally:
        _held.discard(key)
        _forget(lock, os.getpid())
        os.close(handle)


def holder(key: str) -> Note | None:
    """Return who holds the lock, or works on without his play that held it; None if nobody does."""
    for lock in (key, key + WORK):
        if not _is_free(lock):
            return _note(lock)
    return None


def check(key: str, job: str) -> None:
    """Raise what :func:`hold` would raise now, without waiting for anybody."""
    found = holder(key)
    if found:
        raise _refusal(key, job, 0, found)


def start_holder(key: str, job: str, token: str, max_age: float, wait: float = 0, leash: str = "") -> Note:
    """Start a process that holds the lock until it is released, ``max_age`` seconds are over or its leash is gone."""
    handle, _lock = _take(key, job, wait)
    try:
        pid = sleepers.start(handle, job, max_age, leash)
        return _write_note(key, job, pid, max_age=max_age, token=_digest(token))
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
    if not found.token or not sleepers.is_one(found.pid):
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


def _take(key: str, job: str, wait: float, token: str = "") -> tuple[int, str]:
    """Return the locked file and its key: the lock itself, or that of the jobs of a play, if its token was given."""
    handle = _open(key, job, create=True)
    deadline = time.monotonic() + wait
    try:
        while True:
            lock = key
            if _try(handle):
                if _is_free(key + WORK):
                    _forget(key + WORK)  # what those have left that were killed
                    return handle, key
                fcntl.flock(handle, fcntl.LOCK_UN)
                lock = key + WORK
            elif token:
                guest = _join(key, job, token)
                if guest is not None:
                    os.close(handle)
                    return guest, key + WORK
            found = _note(lock)
            # Who only looks at a lock has it for that moment, too.
            certain = found and not found.belongs_to(token)
            if time.monotonic() >= deadline + (0 if certain else NOTE_WITHIN):
                raise _refusal(key, job, wait, found)
            time.sleep(INTERVAL)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(handle)
        raise


def _join(key: str, job: str, token: str) -> int | None:
    """Return the locked file of the jobs of the play that has given ``token``, None if it does not hold the lock.

    First in, then looked: whoever takes the lock meanwhile sees us, or we see him.
    """
    handle = _open(key + WORK, job, create=True)
    if _try(handle, fcntl.LOCK_SH):
        found = _note(key)
        if found and found.belongs_to(token) and not _is_free(key):
            return handle
    os.close(handle)
    return None


def _is_free(key: str) -> bool:
    handle = _open(key, f"looking at the lock {key}", create=False)
    if handle < 0:
        return True
    try:
        return _try(handle)
    finally:
        os.close(handle)


def _refusal(key: str, job: str, wait: float, found: Note | None) -> CatmaidError:
    after = f" after {wait:g} seconds" if wait else ""
    remedy = "Wait until that job has ended, or give a longer lock_wait (catmaid_lock_wait of the roles)."
    if found and found.token:
        remedy += (
            " If its play has died, release it: module catmaid.admin.job_lock, state: released, force: true"
            " (catmaid_lock_force of the roles)."
        )
    return CatmaidError(
        job,
        f"it is locked by {found or 'a process that left no note'}{after}",
        remedy,
        holder=found.details if found else {},
        lock=key,
    )


def _try(handle: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(key: str, doing: str, *, create: bool) -> int:
    """Return the lock's file, opened for reading: that is enough to lock it, also when it is another user's; or -1.

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
                return -1
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


def _note_path(key: str, user: int, pid: int) -> str:
    # Of those at work there may be several; of those who hold the lock there is one, and what it left is overwritten.
    who = f"{user}.{pid}" if key.endswith(WORK) else str(user)
    return f"{_path(key)}.{who}.json"


def _write_note(key: str, job: str, pid: int, *, max_age: float = 0, token: str = "") -> Note:
    now = time.time()
    until = time.strftime(TIME, time.gmtime(now + max_age)) if max_age else ""
    since = time.strftime(TIME, time.gmtime(now))
    note = Note(job, pid, since, _born(pid) or "", until, token, os.geteuid())
    try:
        files.write_json(_note_path(key, note.user, pid), asdict(note), mode=0o644)
    except OSError as error:
        raise CatmaidError(job, f"cannot note in {folder()} who holds the lock: {error.strerror or error}") from error
    return note


def _forget(key: str, pid: int = 0) -> None:
    """Remove the note of a process of ours, or as root that of anybody; without a process all of them."""
    for path, note in _notes(key):
        if not pid or note.pid == pid:
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
            if name == os.path.basename(_note_path(key, owner, int(said["pid"]))):
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


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
