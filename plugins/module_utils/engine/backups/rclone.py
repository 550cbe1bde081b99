# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that rclone reaches: object stores, SFTP, WebDAV and more. Nothing of a copy lies on this host's disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .. import command
from ..errors import CatmaidError
from ..progress import Meter
from .pipeline import Digest, Pump, Writer, program, told
from .targets import Remote, Target

NAME = "OFFSITE"
NOT_THERE = 3
REMEDY = "Look at the target's address, path and credentials, and whether it is up."
# A request is repeated a few times, as each kind of store wants it; a whole run is not.
FLAGS = (
    "--retries=1",
    "--low-level-retries=3",
    "--contimeout=20s",
    "--timeout=90s",
    "--log-level=ERROR",
    "--stats=0",
    "--ask-password=false",
)
MEBIBYTE = 1024 * 1024
# What is written as a stream is cut into parts, whose number is limited: by backend its part in MiB, and their number.
PARTS = {"S3": (5, 10_000), "AZUREBLOB": (4, 50_000)}
ROOM = 1.1


class Rclone(Remote):
    """A folder on a remote of rclone."""

    def __init__(self, target: Target, folder: str, doing: str) -> None:
        self._target = target
        self._doing = doing
        remote = target.remote or NAME
        self._root = f"{remote}:{target.path.rstrip('/')}"
        self._folder = f"{self._root}/{folder}"
        self._secrets = [str(value) for value in target.secrets.values()]

    def sizes(self) -> dict[str, int]:
        found = self._run(["lsjson", "--files-only", "--no-modtime", "--no-mimetype", self._folder], ok=(0, NOT_THERE))
        return {} if found.rc == NOT_THERE else {str(one["Name"]): int(one["Size"]) for one in json.loads(found.stdout)}

    def texts(self, suffix: str) -> list[str]:
        # One call for all of them. Each is one line, so that it does not matter in which order they come.
        found = self._run(["cat", "--max-depth=1", f"--include=/*{suffix}", self._folder], ok=(0, NOT_THERE))
        return [] if found.rc == NOT_THERE else found.stdout.splitlines()

    def write(self, name: str, fill: Writer, expected: int) -> Digest:
        argv = ["rcat", f"{self._folder}/{name}"]
        meter = Meter(f"copying {name} to {self._target.name}", expected, self.report)
        with self._program(argv, pipe_in=True, env=_parts(expected)) as receiver:
            written = Digest(receiver.input, meter.add)
            try:
                fill(written)
                receiver.input.close()
            except BrokenPipeError as error:
                receiver.finish()
                raise CatmaidError(self._doing, "rclone took only a part of the stream", REMEDY) from error
            receiver.finish()
        meter.finish()
        return written

    def check(self, name: str, written: Digest) -> None:
        if self._target.check == "contents":
            # Read back completely: what a store says of itself is no proof.
            meter = Meter(f"reading {name} back from {self._target.name}", written.bytes, self.report)
            there = Digest(on_bytes=meter.add)
            self.read(name, there)
            meter.finish()
            found, wanted = there.sha256, written.sha256
        else:
            found = str(self.sizes().get(name, "nothing"))
            wanted = str(written.bytes)
        if found != wanted:
            raise CatmaidError(self._doing, f"{name} is {found} there, {wanted} was written", "Look at the target.")

    def read(self, name: str, out: Any) -> None:
        with self._program(["cat", f"{self._folder}/{name}"]) as sender:
            Pump(sender.output, out).finish()
            sender.finish()

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._run(["deletefile", f"{self._folder}/{name}"])

    def tidy(self) -> None:
        # Parts of an upload that a host did not live to give up: nobody sees them, and everybody pays for them.
        if self._target.backend == "s3":
            self._run(["backend", "cleanup", "-o", "max-age=24h", self._folder], ok=None)

    def _run(self, argv: Sequence[str], ok: Sequence[int] | None = (0,)) -> command.Result:
        result = command.run(
            self._argv(argv), doing=self._doing, env=self._environment(), secrets=self._secrets, ok=None
        )
        if ok is not None and result.rc not in ok:
            cause = f"rclone {argv[0]} failed with code {result.rc}: {told(result.stderr.splitlines())}"
            raise CatmaidError(self._doing, cause, REMEDY, rc=result.rc)
        return result

    def _program(self, argv: Sequence[str], *, pipe_in: bool = False, env: dict[str, str] | None = None) -> Any:
        return program(
            self._argv(argv),
            self._doing,
            env={**(env or {}), **self._environment()},
            pipe_in=pipe_in,
            pipe_out=not pipe_in,
            secrets=self._secrets,
            remedy=REMEDY,
        )

    def _argv(self, argv: Sequence[str]) -> list[str]:
        limit = [f"--bwlimit={self._target.bandwidth}k"] if self._target.bandwidth else []
        return ["rclone", argv[0], f"--config={self._target.config_file}", *FLAGS, *limit, *argv[1:]]

    def _environment(self) -> dict[str, str]:
        env = {"RCLONE_S3_NO_CHECK_BUCKET": "true"}  # a bucket that is missing is misspelled: nothing is to make it
        if self._target.backend:
            env[f"RCLONE_CONFIG_{NAME}_TYPE"] = self._target.backend
        for key, value in [*self._target.options.items(), *self._target.secrets.items()]:
            env[f"RCLONE_CONFIG_{NAME}_{key.upper()}"] = str(value).lower() if isinstance(value, bool) else str(value)
        return env


def _parts(expected: int) -> dict[str, str]:
    """Return settings with which a stream of ``expected`` bytes fits into the parts that a store allows."""
    found = {}
    for backend, (mebibytes, number) in PARTS.items():
        needed = int(expected * ROOM / number / MEBIBYTE) + 1
        if needed > mebibytes:
            found[f"RCLONE_{backend}_CHUNK_SIZE"] = f"{needed}Mi"
    return found
