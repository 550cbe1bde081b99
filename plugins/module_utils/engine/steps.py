# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that wait for each other, several at a time, the longest way to the end first. One that fails ends them all."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import command


@dataclass(frozen=True)
class Step:
    """Something to do once the steps ``after`` which it comes are done.

    ``cost`` says how long it takes, in whatever unit all of them use. Steps that work ``on`` the same thing go side by
    side, unless one of them needs it ``alone``.
    """

    name: str
    run: Callable[[Running], None]
    after: frozenset[str] = frozenset()
    cost: float = 0.0
    on: str = ""
    alone: bool = False


@dataclass(frozen=True)
class Span:
    """When a step began and ended, in seconds since the first one began."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


class Running:
    """What is under way, so that it can be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ways_to_end: list[Callable[[], None]] = []
        self._over = False

    def process(self, process: subprocess.Popen[Any]) -> None:
        """Take note of a program that was started; it is ended at once when all is over already."""
        with self._lock:
            self._ways_to_end.append(lambda: command.end(process))
            over = self._over
        if over:
            command.end(process)

    @contextmanager
    def query(self, connection: Any) -> Iterator[None]:
        """Let the queries of the body be cancelled."""
        with self._lock:
            if self._over:
                raise StoppedError
            self._ways_to_end.append(connection.cancel)
        try:
            yield
        finally:
            with self._lock:
                self._ways_to_end.remove(connection.cancel)

    def end(self) -> None:
        """End all of it, and what is started from now on."""
        with self._lock:
            self._over = True
            ways = list(self._ways_to_end)
        for way in ways:
            way()


class StoppedError(Exception):
    """Another step has failed before this one began. Nobody sees it: that other failure is the one that is told."""


def run(steps: Sequence[Step], jobs: int, on_end: Callable[[str], None] | None = None) -> dict[str, Span]:
    """Do all steps, ``jobs`` at a time; return when each was done. The first failure is raised when all have ended.

    ``on_end`` is told the name of each step that is done.
    """
    waiting = dict(_by_length(steps))
    spans: dict[str, Span] = {}
    under_way: dict[Future[Span], Step] = {}
    running = Running()
    start = time.monotonic()

    def timed(step: Step) -> Span:
        began = time.monotonic() - start
        step.run(running)
        return Span(began, time.monotonic() - start)

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        try:
            while waiting or under_way:
                while len(under_way) < jobs and (step := _next(waiting, spans, list(under_way.values()))):
                    under_way[pool.submit(timed, waiting.pop(step.name))] = step
                if not under_way:
                    raise ValueError(f"steps that wait for each other: {', '.join(waiting)}")
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    name = under_way.pop(future).name
                    spans[name] = future.result()
                    if on_end:
                        on_end(name)
        except BaseException:
            running.end()
            raise
    return spans


def _next(waiting: Mapping[str, Step], done: Mapping[str, Span], under_way: Sequence[Step]) -> Step | None:
    for step in waiting.values():
        if step.after <= done.keys() and not any(_collide(step, other) for other in under_way):
            return step
    return None


def _collide(one: Step, other: Step) -> bool:
    return bool(one.on) and one.on == other.on and (one.alone or other.alone)


def _by_length(steps: Sequence[Step]) -> list[tuple[str, Step]]:
    """Return the steps by name, those first from which the way to the end is the longest."""
    followers: dict[str, list[Step]] = {step.name: [] for step in steps}
    for step in steps:
        for name in step.after:
            followers[name].append(step)
    lengths: dict[str, float] = {}

    def length(step: Step) -> float:
        if step.name not in lengths:
            lengths[step.name] = 0.0  # of a circle, which run() will find
            lengths[step.name] = step.cost + max((length(other) for other in followers[step.name]), default=0.0)
        return lengths[step.name]

    return [(step.name, step) for step in sorted(steps, key=length, reverse=True)]
