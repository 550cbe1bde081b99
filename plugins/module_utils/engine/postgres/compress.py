# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program zstd behind a pg_dump that does not know it: what is big never lies on the disk uncompressed.

In a folder, pg_dump writes its table of contents first and then a file for each table, N.dat. Where the table is big,
we put a pipe of that name in its way, as soon as the table of contents tells N, and zstd at the pipe's other end. A
pipe that comes too late, or a table that is small, gives a plain file, which is compressed at the end. pg_restore 16
and later find N.dat.zst by themselves; for older ones see decompress.py.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import select
import shutil
import stat
import subprocess
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from .. import command
from ..errors import CatmaidError
from .entries import Entries

SUFFIX = ".zst"
TOC = "toc.dat"
LEVEL = 1
F_SETPIPE_SZ = 1031  # fcntl has the name since Python 3.10
NEW_PIPE = "new.pipe"
PAGE = 4096
PIPE_SIZE = 1024 * 1024
BIG = 1024 * 1024  # a table's rows on disk, in bytes
FILES_AT_ONCE = 1000
HIGHEST_USUAL_LEVEL = 19
SMALL_FILE = 32 * 1024  # not worth a program at the restore
MAXIMUM_PIPES = 500
FIRST_LOOKS = 0.002  # seconds
BLOCK = 65536


def available() -> str | None:
    """Return the path of the program, None when this host has none."""
    return shutil.which("zstd", path=command.PATH)


@contextmanager
def compressing(folder: str, level: int, tables: Collection[int], user: str | None) -> Iterator[None]:
    """Compress what pg_dump, started in the body, writes into the folder that it makes.

    ``tables`` are the numbers of the big ones, ``user`` is the OS user that pg_dump runs as.
    """
    work = _Compressor(folder, level, tables, user)
    thread = threading.Thread(target=work.run, daemon=True)
    thread.start()
    try:
        yield
    except BaseException as error:
        work.stop(failed=True)
        thread.join()
        # pg_dump only knows that its pipe broke.
        if work.error and isinstance(error, CatmaidError):
            raise work.error from error
        raise
    work.stop(failed=False)
    thread.join()
    if work.error:
        raise work.error
    _compress_files(folder, level)


class _Compressor:
    """The thread beside pg_dump. Whatever stops it stops pg_dump too, because nobody reads the pipes any more."""

    def __init__(self, folder: str, level: int, tables: Collection[int], user: str | None) -> None:
        self.error: CatmaidError | None = None
        self._folder = folder
        self._level = level
        self._tables = tables
        self._user = user
        self._done = threading.Event()
        self._failed = False
        self._directory = -1
        self._pipes: dict[int, str] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._poll = select.poll()

    def stop(self, *, failed: bool) -> None:
        """Say that pg_dump has ended."""
        self._failed = failed
        self._done.set()

    def run(self) -> None:
        """Do all of it, and leave neither pipe nor process."""
        try:
            self._work()
        except CatmaidError as error:
            self.error = error
        except OSError as error:
            self.error = CatmaidError(f"compressing into {self._folder}", error.strerror or str(error))
        finally:
            self._clean_up()

    def _work(self) -> None:
        while not os.path.isdir(self._folder):
            if self._done.wait(FIRST_LOOKS):
                return
        self._directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            pipe = self._make_pipe(TOC)
        except OSError:
            return  # pg_dump was faster, or the file system has no pipes: everything is compressed at the end
        self._read_contents(pipe)
        self._feed()

    def _make_pipe(self, name: str) -> int:
        """Make a pipe in pg_dump's folder, unless the name is taken; return its reading end.

        It gets its name last: pg_dump may open it from then on.
        """
        os.mkfifo(NEW_PIPE, 0o600, dir_fd=self._directory)
        try:
            # Without waiting for pg_dump, which may never come.
            pipe = os.open(NEW_PIPE, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=self._directory)
            try:
                if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
                    raise CatmaidError(f"compressing into {self._folder}", f"somebody has exchanged {NEW_PIPE}")
                if self._user:
                    account = pwd.getpwnam(self._user)
                    os.fchown(pipe, account.pw_uid, account.pw_gid)
                resize(pipe, PAGE if name == TOC else PIPE_SIZE)
                os.link(NEW_PIPE, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            except BaseException:
                os.close(pipe)
                raise
            return pipe
        finally:
            os.unlink(NEW_PIPE, dir_fd=self._directory)

    def _read_contents(self, pipe: int) -> None:
        """Copy the table of contents, and make a pipe for each big table that it names.

        pg_dump goes on with the first table when its last bytes are in the pipe. So it is a short one.
        """
        part = f"{TOC}.part"
        entries = Entries()
        ready = select.poll()
        ready.register(pipe, select.POLLIN)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(part, flags, 0o600, dir_fd=self._directory), "wb") as copy:
            try:
                while True:
                    if not ready.poll(100):
                        if self._done.is_set():
                            return
                        continue
                    block = os.read(pipe, BLOCK)
                    if not block:
                        break
                    copy.write(block)
                    for entry in entries.feed(block):
                        rows = entry.kind == "TABLE DATA" and entry.file and entry.oid in self._tables
                        if rows and len(self._pipes) < MAXIMUM_PIPES:
                            self._offer(entry.file)
            finally:
                os.close(pipe)
        os.rename(part, TOC, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def _offer(self, name: str) -> None:
        try:
            pipe = self._make_pipe(name)
        except FileExistsError:
            return  # pg_dump was faster
        self._pipes[pipe] = name
        self._poll.register(pipe, select.POLLIN)

    def _feed(self) -> None:
        """Start a zstd at each pipe that pg_dump opens."""
        while True:
            last = self._done.is_set()
            for pipe, _events in self._poll.poll(0 if last else 50):
                self._start(pipe)
            self._check()
            if last:
                break
        if not self._failed:
            for name, child in self._children.items():
                child.wait()
                self._check_one(name, child)

    def _start(self, pipe: int) -> None:
        name = self._pipes.pop(pipe)
        self._poll.unregister(pipe)
        os.set_blocking(pipe, True)
        os.unlink(name, dir_fd=self._directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        out = os.open(name + SUFFIX, flags, 0o600, dir_fd=self._directory)
        try:
            self._children[name] = spawn(_level(self._level), pipe, out)
        finally:
            os.close(out)
            os.close(pipe)  # the child's alone now: pg_dump notices when it ends

    def _check(self) -> None:
        for name, child in list(self._children.items()):
            if child.poll() is not None:
                self._check_one(name, child)
                del self._children[name]

    def _check_one(self, name: str, child: subprocess.Popen[bytes]) -> None:
        words = said(child)
        if child.returncode:
            cause = f"zstd ended with {child.returncode}: {words}"
            raise CatmaidError(f"compressing {os.path.join(self._folder, name)}", cause)

    def _clean_up(self) -> None:
        for pipe, name in self._pipes.items():
            os.close(pipe)
            os.unlink(name, dir_fd=self._directory)
        for child in self._children.values():
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stderr and not child.stderr.closed:
                child.stderr.close()
        if self._directory >= 0:
            os.close(self._directory)


def resize(pipe: int, size: int) -> None:
    """Let a pipe hold so many bytes. A user who has many pipes may not make them longer: they work as they are."""
    with suppress(OSError):
        fcntl.fcntl(pipe, F_SETPIPE_SZ, size)


def spawn(arguments: Sequence[str], source: int, sink: int) -> subprocess.Popen[bytes]:
    """Start a zstd from one file descriptor to another; it ends with the thread that starts it."""
    return subprocess.Popen(
        ["zstd", "--quiet", "--stdout", *arguments],
        stdin=source,
        stdout=sink,
        stderr=subprocess.PIPE,
        cwd="/",
        env=command.environment(None, None),
        start_new_session=True,
        preexec_fn=command.end_with_parent,  # noqa: PLW1509 (one system call; no lock is taken)
    )


def said(child: subprocess.Popen[bytes]) -> str:
    """Return the last that a zstd that has ended had to say."""
    if child.stderr is None:
        return ""
    with child.stderr as pipe:
        return " ".join(pipe.read()[-500:].decode("utf-8", "replace").split())


def _level(level: int) -> list[str]:
    return [f"-{level}"] if level <= HIGHEST_USUAL_LEVEL else ["--ultra", f"-{level}"]


def _compress_files(folder: str, level: int) -> None:
    """Compress what came as a plain file and is worth it."""
    os.chown(folder, os.geteuid(), os.getegid())  # nobody else exchanges a file of it now
    os.chmod(folder, 0o700)
    names = []
    with os.scandir(folder) as listed:
        for entry in listed:
            rows = entry.name.endswith(".dat") and entry.name != TOC and entry.is_file(follow_symlinks=False)
            if rows and entry.stat(follow_symlinks=False).st_size >= SMALL_FILE:
                names.append(entry.name)
    for start in range(0, len(names), FILES_AT_ONCE):
        files = names[start : start + FILES_AT_ONCE]
        command.run(
            ["zstd", "--quiet", "--rm", *_level(level), "--", *files], cwd=folder, doing=f"compressing {folder}"
        )
