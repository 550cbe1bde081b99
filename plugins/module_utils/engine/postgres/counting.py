# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows an archive holds of each table, counted while all of it is read to see whether it is whole.

A table of contents does not tell that, and a foreign archive has no manifest.
"""

from __future__ import annotations

import os
import threading

from ..errors import CatmaidError
from . import toc
from .packed import Stream
from .script import Script

Counted = dict[tuple[str, str], int]


def read_back(path: str, version: int) -> Counted | None:
    """Read every byte of an archive, and return the rows by schema and name of their table; None if we cannot count."""
    source, sink = os.pipe()
    counter = _Counter(path, source)
    counter.start()
    try:
        with os.fdopen(sink, "wb") as rows:
            toc.read_back(path, version, rows)
    finally:
        counter.join()
    return dict(counter.script.counted) if counter.understood else None


class _Counter(threading.Thread):
    """Reads what pg_restore writes, to its end whatever comes: it must not wait for us."""

    def __init__(self, path: str, source: int) -> None:
        super().__init__(daemon=True)
        self._file = os.fdopen(source, "rb")
        self._stream = Stream(path, self._file)
        self.script = Script(path, self._stream)
        self.understood = False

    def run(self) -> None:
        """Count."""
        with self._file:
            try:
                for _item in self.script.items():
                    pass
                self.understood = True
            except CatmaidError:
                pass  # this is told after the restore; whether the archive is whole says pg_restore
            while self._stream.read():
                pass
