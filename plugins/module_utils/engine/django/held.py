# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A child of the shim that was started before its turn: it has imported everything, and waits for what to do.

It waits at its standard input, so it ends by itself when we do.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from .. import command

MARK = "\x1e"  # begins a line that is an event, not an output of the project


class Held:
    """The child. ``start`` runs it to its end; the thread that waits for that is ours."""

    def __init__(self, start: Callable[..., command.Result]) -> None:
        self._start = start
        self._outcome: list[command.Result] = []
        self._error: BaseException | None = None
        self._seen: Callable[[str], None] | None = None
        self._moved = threading.Event()  # it waits, or it has ended
        reading, self._writing = os.pipe()
        self._thread = threading.Thread(target=self._run, args=(reading,), daemon=True)
        self._thread.start()

    def wait(self) -> command.Result | None:
        """Return when it has imported everything and waits; if it has ended instead, with its result."""
        self._moved.wait()
        return self._finish() if self._outcome or self._error else None

    def go(self, told: str, seen: Callable[[str], None] | None) -> command.Result:
        """Tell it what to do, and return its result when it has done that."""
        self._seen = seen
        with suppress(BrokenPipeError), os.fdopen(self._writing, "w", encoding="utf-8") as pipe:
            pipe.write(told + "\n")
        return self._finish()

    def end(self) -> None:
        """Tell it that there is nothing to do."""
        os.close(self._writing)
        self._thread.join()

    def _finish(self) -> command.Result:
        self._thread.join()
        if self._error:
            raise self._error
        return self._outcome[0]

    def _run(self, reading: int) -> None:
        try:
            with os.fdopen(reading, "rb") as pipe:
                self._outcome.append(self._start(stdin_from=pipe, on_stderr=self._line))
        except BaseException as error:  # noqa: BLE001 (told to who waits)
            self._error = error
        finally:
            self._moved.set()

    def _line(self, line: str) -> None:
        if line.startswith(MARK) and json.loads(line[len(MARK) :])["event"] == "ready":
            self._moved.set()
        elif self._seen:
            self._seen(line)


__all__ = ["Held"]
