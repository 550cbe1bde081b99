# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far we and our programs are with reading an archive: by the files that are open, and how far in those."""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from ..progress import Meter, Report

SECONDS = 1.0


class Positions:
    """Turns the files that are open into the bytes that were read: a file that was open and is not any more was."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._seen: set[str] = set()

    def see(self, positions: Mapping[str, int]) -> int:
        """Return the bytes that are done by now."""
        known = {path: position for path, position in positions.items() if path in self.sizes}
        self._seen |= known.keys()
        done = sum(self.sizes[path] for path in self._seen - known.keys())
        return done + sum(min(position, self.sizes[path]) for path, position in known.items())


@contextmanager
def watching(path: str, report: Report | None, what: str, seconds: float | None = None) -> Iterator[None]:
    """Report how far the body and the programs that it runs have read the file ``path``, or those of that folder."""
    if report is None:
        yield
        return
    real = os.path.realpath(path)
    positions = Positions({name: os.path.getsize(name) for name in files(real)})
    meter = Meter(what, sum(positions.sizes.values()), report)
    meter.reach(0)
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(SECONDS if seconds is None else seconds):
            meter.reach(positions.see(open_files(real)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    meter.finish()


def open_files(path: str) -> dict[str, int]:
    """Return the files at or below ``path`` that we or our children hold open, each with the position in it."""
    found = _positions("/proc/self", path)
    for listed in glob.glob("/proc/self/task/*/children"):
        with suppress(OSError):  # threads and children come and go
            with open(listed, encoding="ascii") as file:
                children = file.read().split()
            for child in children:
                found.update(_positions(f"/proc/{child}", path))
    return found


def _positions(process: str, path: str) -> dict[str, int]:
    found = {}
    with suppress(OSError):
        for number in os.listdir(f"{process}/fd"):
            with suppress(OSError, ValueError, IndexError):
                name = os.readlink(f"{process}/fd/{number}")
                if name == path or name.startswith(path + os.sep):
                    with open(f"{process}/fdinfo/{number}", encoding="ascii") as file:
                        found[name] = int(file.read().split()[1])  # its first line is "pos: 1234"
    return found


def files(path: str) -> list[str]:
    """Return the file, or all files below the folder ``path``."""
    if os.path.isfile(path):
        return [path]
    return [os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names]
