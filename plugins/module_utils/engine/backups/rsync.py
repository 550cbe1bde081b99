# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that are reached by rsync over ssh. Nothing but rsync runs over there, so an account for rrsync is enough.

rsync needs a file to send, and writes what it receives under a temporary name: .NAME.XXXXXX, then NAME.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .. import command, files
from ..errors import CatmaidError
from ..progress import Meter
from .pipeline import BLOCK, Digest, Writer, program, told, write_all
from .targets import Remote, Target

NOT_THERE = (12, 23)  # what rrsync and rsync say when a folder is not there, with a message in words
REMEDY = "Look at the target's host, user, key_file, known_hosts and path, and whether it is up."
SSH = (
    "-oBatchMode=yes",
    "-oStrictHostKeyChecking=yes",
    "-oUpdateHostKeys=no",
    "-oConnectTimeout=20",
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=4",
)
RESERVE = 16 * 1024 * 1024
SILENCE = 300  # seconds after which rsync gives up a transfer that stands still
PROGRESS = re.compile(rb"\r\s*([\d,.]+)\s+\d+%")  # a line of --info=progress2: the bytes, and their share
LINE = re.compile(r"^-\S+\s+([\d,.]+)\s+\S+\s+\S+\s(.+)$")


class Rsync(Remote):
    """A folder on a host with sshd and rsync. ``staging`` is a folder of ours on the local disk."""

    def __init__(self, target: Target, folder: str, doing: str, staging: str) -> None:
        self._target = target
        self._doing = doing
        self._folder = folder
        self._staging = staging
        host = f"[{target.host}]" if ":" in target.host else target.host
        self._root = f"{target.user}@{host}" if target.user else host
        self._root += f":{target.path.rstrip('/')}/"

    def sizes(self) -> dict[str, int]:
        listed = self._run(["--list-only", "--no-human-readable", f"{self._root}{self._folder}/"], missing=True)
        found = (LINE.match(line) for line in listed.splitlines())
        return {match[2]: int(re.sub(r"\D", "", match[1])) for match in found if match}

    def texts(self, suffix: str) -> list[str]:
        with self._space(0) as local:
            # Not recursive: no folder but this one is anybody's business.
            only = ["--dirs", f"--include=/*{suffix}", "--exclude=*"]
            self._run([*only, f"{self._root}{self._folder}/", f"{local}/"], missing=True)
            found = []
            for entry in os.scandir(local):
                with open(entry.path, encoding="utf-8", errors="replace") as file:
                    found.append(file.read())
        return found

    def write(self, name: str, fill: Writer, expected: int) -> Digest:
        path = self._staged(name)
        with self._space(expected):
            os.makedirs(os.path.dirname(path), mode=0o700)
            try:
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    written = Digest(file)
                    fill(written)
            except OSError as error:
                raise CatmaidError(self._doing, f"cannot write {path}: {error.strerror or error}") from error
            self._transfer(name, Meter(f"copying {name} to {self._target.name}", written.bytes, self.report))
            if self._target.check == "contents" and self._send(name, "--dry-run", "--checksum"):
                raise CatmaidError(self._doing, f"{name} is not there what was sent", "Look at the target's disk.")
        return written

    def check(self, name: str, written: Digest) -> None:
        """Compare sizes only: contents were compared in :meth:`write`, while there was a file to compare with."""
        found = self.sizes().get(name)
        if found != written.bytes:
            raise CatmaidError(self._doing, f"{name} has {found} bytes there instead of {written.bytes}", REMEDY)

    def read(self, name: str, out: Any) -> None:
        with self._space(self.sizes().get(name, 0)) as local:
            path = os.path.join(local, name)
            self._run(["--whole-file", f"{self._root}{self._folder}/{name}", path])
            with open(path, "rb") as file:
                for block in iter(lambda: file.read(BLOCK), b""):
                    write_all(out, block)

    def remove(self, names: Sequence[str]) -> None:
        with self._space(0) as local:
            # What an empty folder does not have goes, as far as it is named: rsync knows no other way to remove.
            named = [f"--include=/{name}" for name in names]
            self._run(["--dirs", "--delete", *named, "--exclude=*", f"{local}/", f"{self._root}{self._folder}/"])

    def tidy(self) -> None:
        """Nothing to do: what rsync leaves lies in the folder, and :meth:`sizes` shows it."""

    def _staged(self, name: str) -> str:
        return os.path.join(self._staging, self._folder, name)

    def _transfer(self, name: str, meter: Meter) -> None:
        """Send the staged file and tell how far that is."""
        argv = self._argv([*self._sending(name), "--info=progress2", "--no-human-readable"])
        with program(argv, self._doing, remedy=REMEDY) as sender:
            for part in iter(lambda: sender.output.read(BLOCK), b""):
                counts = PROGRESS.findall(part)
                if counts:
                    meter.reach(int(counts[-1].replace(b",", b"").replace(b".", b"")))
            sender.finish()
        meter.finish()

    def _send(self, name: str, *how: str) -> str:
        """Send the staged file, and tell what rsync did, or would do."""
        itemized = self._run(["--out-format=%i", *how, *self._sending(name)])
        return "\n".join(line for line in itemized.splitlines() if re.match(r"[<>c.]f[^ ]*", line))

    def _sending(self, name: str) -> list[str]:
        source = f"{self._staging}/./{self._folder}/{name}"  # what follows the dot is made over there
        return ["--relative", "--whole-file", "--perms", "--chmod=D0700,F0600", source, self._root]

    @contextmanager
    def _space(self, expected: int) -> Iterator[str]:
        """Give the staging folder, empty, and with room for a file; it is gone afterwards."""
        shutil.rmtree(self._staging, ignore_errors=True)
        free = files.free_bytes(self._staging)
        if expected and free < expected + RESERVE:
            raise CatmaidError(
                self._doing,
                f"rsync needs a file of about {expected} bytes in {self._staging}, and {free} are free there",
                "Make room, or use a target of type rclone, which needs none.",
            )
        try:
            os.makedirs(self._staging, mode=0o700)
            yield self._staging
        except OSError as error:
            raise CatmaidError(self._doing, f"cannot use {self._staging}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(self._staging))  # others may be using it

    def _run(self, argv: Sequence[str], *, missing: bool = False) -> str:
        """Run rsync; with ``missing`` a folder that does not exist over there is one without files."""
        result = command.run(self._argv(argv), doing=self._doing, ok=None)
        complaints = result.stderr.splitlines()
        if missing and result.rc in NOT_THERE and "No such file or directory" in result.stderr:
            return ""
        if result.rc:
            raise CatmaidError(
                self._doing, f"rsync failed with code {result.rc}: {told(complaints)}", REMEDY, rc=result.rc
            )
        return result.stdout

    def _argv(self, argv: Sequence[str]) -> list[str]:
        target = self._target
        ssh = ["ssh", f"-p{target.port}", *SSH]
        if target.key_file:
            ssh += ["-oIdentitiesOnly=yes", "-i", target.key_file]
        if target.known_hosts:
            ssh += [f"-oUserKnownHostsFile={_in_ssh_option(target.known_hosts)}", "-oGlobalKnownHostsFile=none"]
        limit = [f"--bwlimit={target.bandwidth}"] if target.bandwidth else []
        return ["rsync", f"--timeout={SILENCE}", "--rsh", " ".join(_in_rsh(word) for word in ssh), *limit, *argv]


def _in_rsh(word: str) -> str:
    """Return ``word`` as rsync's option --rsh takes it: quoted, and a quote doubled."""
    return "'" + word.replace("'", "''") + "'"


def _in_ssh_option(path: str) -> str:
    """Return a path as ssh's options take it, in which a blank would begin another path."""
    return f'"{path}"'
