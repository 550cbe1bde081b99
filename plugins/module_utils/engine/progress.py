# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long job is: what, how much, how long still. Telling it never makes a job fail."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 1000))
# Before that the speed is that of starting up, and what it promises is wrong by a multiple.
KNOWN_AFTER = 3.0
KNOWN_SHARE = 0.02
TICK = 1.0  # seconds
PATIENCE = 2.0  # seconds that the end of a job waits for what looks at it


@dataclass(frozen=True)
class Progress:
    """One moment of a job, in bytes. ``total`` is 0 when nobody knows it, ``left`` None when nobody can say yet.

    ``text`` says how much is done where that is not told in bytes.
    """

    what: str
    item: str
    done: int
    total: int
    seconds: float
    left: float | None
    text: str = ""

    @property
    def percent(self) -> int | None:
        """The share that is done, rounded down: 100 is said when nothing is left to do, and not before."""
        return min(100, self.done * 100 // self.total) if self.total > 0 else None

    def line(self) -> str:
        """Return it for people."""
        percent = self.percent
        if percent is None:
            about = ", ".join(filter(None, [self.text or (size(self.done) if self.done else ""), self.item]))
            return f"{self.what}: {about or 'started'}, {span(self.seconds)} so far"
        about = ", ".join(filter(None, [self.text or amount(self.done, self.total), self.item]))
        left = "" if self.left is None or percent == 100 else f", {span(self.left)} left"
        return f"{self.what}: {percent} % ({about}){left}"


Report = Callable[[Progress], None]


def size(number: int) -> str:
    """Return bytes for people, "1.2 GB"."""
    for unit, factor in UNITS:
        if number >= factor:
            return f"{_figure(number / factor)} {unit}"
    return f"{number} B"


def amount(done: int, total: int) -> str:
    """Return "1.2 of 2.9 GB": both in the unit of the whole."""
    unit, factor = next(((unit, factor) for unit, factor in UNITS if total >= factor), ("B", 1))
    return f"{_figure(done / factor)} of {_figure(total / factor)} {unit}" if factor > 1 else f"{done} of {total} B"


def span(seconds: float) -> str:
    """Return a time for people, as exact as an estimate deserves: "45 s", "1 min 10 s", "12 min", "2 h 5 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        minutes, rest = divmod(round(whole / 10) * 10, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


class Meter:
    """Measures one phase of a job and reports each step.

    What is done never goes back. The time left is what the phase has needed so far, carried on: nothing is said in the
    beginning, and one slow table does not make the figure jump. A phase of which nobody knows how long its parts take
    in comparison tells none (``estimates``).
    """

    def __init__(
        self,
        what: str,
        total: int,
        report: Report | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        estimates: bool = True,
    ) -> None:
        self._what = what
        self._total = max(0, total)
        self._report = report
        self._clock = clock
        self._estimates = estimates
        self._started = clock()
        self._before = 0
        self._done = 0
        self._item = ""
        self._text = ""
        self._over = False
        self._lock = threading.Lock()

    def begin(self, done: int) -> None:
        """Tell how much was done before this phase began; that says nothing about how long the rest takes."""
        with self._lock:
            self._before = self._done = min(max(self._done, done), self._total)

    def reach(self, done: int, item: str | None = None, text: str | None = None) -> None:
        """Tell that so much is done by now."""
        with self._lock:
            self._step(done, item, text)

    def add(self, more: int, item: str | None = None) -> None:
        """Tell that so much more is done."""
        with self._lock:
            self._step(self._done + more, item)

    def finish(self, text: str | None = None) -> None:
        """Tell that nothing is left; who tells anything later is too late."""
        with self._lock:
            if self._total:
                self._step(self._total, "", text)
            self._over = True

    def _step(self, done: int, item: str | None, text: str | None = None) -> None:
        if self._over:
            return
        done = max(self._done, done)
        self._done = min(done, self._total) if self._total else done
        self._item = self._item if item is None else item
        self._text = self._text if text is None else text
        if self._report:
            seconds = self._clock() - self._started
            left = estimate(self._done - self._before, self._total - self._before, seconds)
            if not self._estimates:
                left = None
            self._report(Progress(self._what, self._item, self._done, self._total, round(seconds, 1), left, self._text))


@contextmanager
def ticking(tick: Callable[[], None]) -> Iterator[None]:
    """Call ``tick`` every second while the body runs, by a thread whose end is waited for a moment only."""
    stop = threading.Event()
    seconds = TICK

    def go_on() -> None:
        while not stop.wait(seconds):
            tick()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)


@contextmanager
def elapsing(what: str, report: Report | None, item: str = "") -> Iterator[None]:
    """Tell for how long the body has been running, of which nobody knows how long it takes."""
    if report is None:
        yield
        return
    meter = Meter(what, 0, report)
    meter.reach(0, item)
    with ticking(lambda: meter.reach(0)):
        yield
    meter.finish()


def estimate(done: int, total: int, seconds: float) -> float | None:
    """Return the seconds left, or None as long as too little is known."""
    if total <= 0 or seconds < KNOWN_AFTER or done < total * KNOWN_SHARE:
        return None
    return round(seconds * (total - done) / done, 1)


def every(seconds: float, report: Report, clock: Callable[[], float] = time.monotonic) -> Report:
    """Return a report that passes on one progress in so many seconds, and in any case a new phase and its end."""
    last: Progress | None = None
    at = 0.0
    lock = threading.Lock()

    def throttled(progress: Progress) -> None:
        nonlocal last, at
        with lock:
            now = clock()
            ended = progress.percent == 100
            fresh = last is None or progress.what != last.what or (ended and last.percent != 100)
            if not fresh and (ended or now - at < seconds):
                return
            last, at = progress, now
        report(progress)

    return throttled


@contextmanager
def to_file(path: str) -> Iterator[Report]:
    """Keep the newest progress in a file, as one line of JSON; remove it in the end.

    A reader sees an old line or a new one, never half of one.
    """
    lock = threading.Lock()

    def write(content: dict[str, Any]) -> None:
        with lock:
            _replace(path, json.dumps(content) + "\n")

    def report(progress: Progress) -> None:
        write({**asdict(progress), "line": progress.line()})

    write({})
    try:
        yield report
    finally:
        for leftover in (path, _temporary(path)):
            try:
                os.unlink(leftover)
            except OSError:
                pass


def _replace(path: str, text: str) -> None:
    # Not files.write_atomically: a progress need not survive a power cut, and a busy disk must not delay the job.
    try:
        handle = os.open(_temporary(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(_temporary(path), path)
    except OSError:
        pass  # a full disk stops the job by itself; this is not to


def _temporary(path: str) -> str:
    return f"{path}.new"


def _figure(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:.0f}"
