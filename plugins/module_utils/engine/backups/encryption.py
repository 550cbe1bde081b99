# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption to public keys, so that this host can write what it cannot read, and the way back with a private key.

Keys that are given as text reach the programs as files in memory. gpg gets its recipients as such files too, so that
nobody's keyring and nobody's idea of trust is involved.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .. import command
from ..errors import CatmaidError
from .pipeline import Pump, Whole, Writer, program

METHODS = ("none", "age", "gpg")
DOING = "reading the keys to encrypt to"
PRIVATE = {"age": "AGE-SECRET-KEY-", "gpg": "PGP PRIVATE KEY BLOCK"}
GPG = ("gpg", "--no-options", "--batch", "--quiet", "--no-tty")
GPG_ENCRYPT = ("--homedir", "/nonexistent", "--no-keyring", "--no-random-seed-file", "--no-autostart")
KEY_AT_MOST = 1024 * 1024
HOME = "catmaid-admin-gpg-"


@dataclass(frozen=True)
class Encryption:
    """Whom to encrypt to: public keys as text, or files with them."""

    method: str = "none"
    recipients: Sequence[str] = ()
    recipients_files: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.method != "none"

    @property
    def suffix(self) -> str:
        """What the name of an encrypted file ends with."""
        return f".{self.method}" if self else ""

    def check(self) -> None:
        """Refuse keys that nothing can be encrypted to, by encrypting nothing to them."""
        if self.method not in METHODS:
            raise CatmaidError(DOING, f"{self.method} is none of {', '.join(METHODS)}")
        keys = [*self.recipients, *self.recipients_files]
        if not self:
            if keys:
                raise CatmaidError(DOING, "there are recipients, but no method", "Set method to age or gpg.")
            return
        if not keys:
            raise CatmaidError(DOING, "there is none", "Give recipients or recipients_files.")
        for path in self.recipients_files:
            self._refuse_private(_read(path), path)
        for key in self.recipients:
            self._refuse_private(key, "recipients")
        with tempfile.TemporaryFile() as nowhere:
            self.encrypt(lambda out: None, nowhere, DOING)

    def encrypt(self, fill: Writer, out: object, doing: str) -> None:
        """Call ``fill`` with a file to write to, and write what is written there to ``out``, encrypted."""
        with self._files() as paths:
            handles = [handle for handle, _path in paths]
            with program(self._argv([path for _handle, path in paths]), doing, pass_fds=handles, pipe_in=True) as coder:
                pump = Pump(coder.output, out)
                try:
                    fill(Whole(coder.input))
                    coder.input.close()
                except BrokenPipeError:
                    pump.finish()  # whoever is behind it has stopped, which is the cause
                    coder.finish()
                    raise
                pump.finish()
                coder.finish()

    def _argv(self, paths: Sequence[str]) -> list[str]:
        if self.method == "age":
            return ["age", *(word for path in paths for word in ("-R", path))]
        recipients = [word for path in paths for word in ("--recipient-file", path)]
        # A dump is compressed already.
        how = ("--trust-model", "always", "--compress-algo", "none", "--output", "-")
        return [*GPG, *GPG_ENCRYPT, *how, *recipients, "--encrypt"]

    @contextmanager
    def _files(self) -> Iterator[list[tuple[int, str]]]:
        """Give all keys as files: pairs of an open file and a name under which a child that inherits it finds it."""
        with contextlib.ExitStack() as stack:
            found = [stack.enter_context(in_memory(key.strip() + "\n")) for key in self.recipients]
            for path in self.recipients_files:
                try:
                    file = stack.enter_context(open(path, "rb"))
                except OSError as error:
                    raise CatmaidError(DOING, f"cannot read {path}: {error.strerror}") from error
                found.append((file.fileno(), f"/proc/self/fd/{file.fileno()}"))
            yield found

    def _refuse_private(self, text: str, where: str) -> None:
        for kind, mark in PRIVATE.items():
            if mark in text:
                remedy = "Keep it away from this host, and give the public key, which belongs to it."
                raise CatmaidError(DOING, f"{where} holds a private key of {kind}", remedy)
        if self.method == "gpg" and where == "recipients" and "PGP PUBLIC KEY BLOCK" not in text:
            raise CatmaidError(DOING, "what is no armored public key stands in recipients", "gpg --armor --export NAME")


@dataclass(frozen=True)
class Identity:
    """The private key to read copies with: a file, or its content."""

    path: str = ""
    content: str = ""

    def __bool__(self) -> bool:
        return bool(self.path or self.content)

    @contextmanager
    def decrypting(self, method: str, doing: str) -> Iterator[tuple[list[str], list[int]]]:
        """Give a command that decrypts from its input to its output, and the open files that it inherits."""
        if not self:
            remedy = "Give the file of its private key, or the key."
            raise CatmaidError(doing, f"the copy is encrypted with {method}, and there is no key", remedy)
        with contextlib.ExitStack() as stack:
            text = self.content.strip() + "\n" if self.content else _read(self.path)
            handle, path = stack.enter_context(in_memory(text))
            if method == "age":
                yield ["age", "--decrypt", "--identity", path], [handle]
                return
            home = stack.enter_context(_gpg_home())
            argv = [*GPG, "--homedir", home]
            command.run([*argv, "--import"], doing=doing, stdin=text, remedy="Give an armored secret key.")
            yield [*argv, "--decrypt"], []


@contextmanager
def in_memory(text: str) -> Iterator[tuple[int, str]]:
    """Give ``text`` as an open file that no disk sees, and the name under which a child that inherits it finds it."""
    handle = os.memfd_create("key")
    try:
        os.write(handle, text.encode())
        yield handle, f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


@contextmanager
def _gpg_home() -> Iterator[str]:
    """Give gpg a home for one private key, in memory where that is possible."""
    parent = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    for entry in os.scandir(parent):
        name, _dash, number = entry.name.rpartition("-")
        mine = f"{name}-" == HOME and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
        if mine and number.isdigit() and not os.path.exists(f"/proc/{number}"):
            shutil.rmtree(entry.path, ignore_errors=True)
    home = os.path.join(parent, f"{HOME}{os.getpid()}")
    os.mkdir(home, 0o700)
    try:
        yield home
    finally:
        command.run(["gpgconf", "--homedir", home, "--kill", "all"], doing="ending gpg-agent", ok=None)
        shutil.rmtree(home, ignore_errors=True)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(KEY_AT_MOST).decode("utf-8", "replace")
    except OSError as error:
        raise CatmaidError(f"reading the key {path}", error.strerror or str(error)) from error
