# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps with names, one after the other or in lanes side by side."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# In the environment of a lane's process: where it leaves its results.
RESULTS = "CATMAID_STEP_RESULTS"
# How a line begins in which pytest names a failed test, also within a task of Molecule's, or Ansible a failed task.
COMPLAINT = re.compile(r"[\s\"'-]*(FAILED|ERROR) |fatal: ")
MOST_COMPLAINTS = 10


@dataclass(frozen=True)
class Step:
    """A name and what it does: ``work`` gets a fresh folder and returns whether all is well.

    Steps of a lane follow one another.
    """

    name: str
    work: Callable[[Path], bool]
    lane: str = "first"
    extra: bool = False  # runs by its own name alone, and not with all the others

    def is_meant_by(self, wanted: str) -> bool:
        """Tell whether ``wanted`` is this step's name or that of its family."""
        return self.name == wanted or (self.name.startswith(f"{wanted}-") and not self.extra)


@dataclass(frozen=True)
class Result:
    """How a step ended."""

    name: str
    passed: bool
    seconds: float


def run_steps(steps: list[Step]) -> list[Result]:
    """Run the steps one after the other."""
    results = []
    for step in steps:
        print(f"\n=== {step.name} ===", flush=True)
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="catmaid-") as folder:
            try:
                passed = step.work(Path(folder))
            except (OSError, subprocess.CalledProcessError) as error:
                print(error, flush=True)
                passed = False
        seconds = time.monotonic() - start
        print(f"=== {step.name}: {'passed' if passed else 'FAILED'} in {seconds:.0f} s", flush=True)
        results.append(Result(step.name, passed, seconds))
    return results


class Lane:
    """Steps that run in a process of their own, beside other lanes."""

    def __init__(self, steps: list[Step], folder: Path) -> None:
        self.steps = steps
        self.results = folder / "results.json"
        self.output = folder / "output"
        self.complaints: list[str] = []
        with self.output.open("wb") as output:
            # Without a terminal: programs would draw on it, one over the other.
            self.process = subprocess.Popen(
                [sys.executable, sys.argv[0], *(step.name for step in steps)],
                env=os.environ | {RESULTS: str(self.results)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # An interrupt is passed on once, by us: a second one would break off the removal of its hosts.
                start_new_session=True,
            )
        self.reading = self.output.open(encoding="utf-8", errors="replace")

    def tell(self) -> None:
        """Say which of its steps have begun and ended since the last time."""
        print(*(line for line in self.reading if line.startswith("=== ")), sep="", end="", flush=True)

    def finish(self) -> list[Result]:
        """Show what a lane that has ended printed, and return its results; one that broke off has failed."""
        self.reading.close()
        output = self.output.read_text(encoding="utf-8", errors="replace")
        print(output, flush=True)
        found = json.loads(self.results.read_text(encoding="utf-8")) if self.results.exists() else []
        results = {result["name"]: Result(**result) for result in found}
        ended = [results.get(step.name, Result(step.name, False, 0.0)) for step in self.steps]
        if not all(result.passed for result in ended):
            self.complaints = [line[:300] for line in output.splitlines() if COMPLAINT.match(line)][-MOST_COMPLAINTS:]
        return ended


def run_lanes(lanes: list[list[Step]]) -> tuple[list[Result], list[str]]:
    """Run the lanes side by side, and return also what those that failed complain of."""
    running: list[Lane] = []
    with tempfile.TemporaryDirectory(prefix="catmaid-lanes-") as top:
        try:
            for number, steps in enumerate(lanes):
                folder = Path(top, str(number))
                folder.mkdir()
                running.append(Lane(steps, folder))
            results = []
            waiting = list(running)
            while waiting:
                time.sleep(1)
                for lane in waiting:
                    lane.tell()
                for lane in [lane for lane in waiting if lane.process.poll() is not None]:
                    waiting.remove(lane)
                    results += lane.finish()
            return results, [line for lane in running for line in lane.complaints]
        finally:
            for lane in running:
                lane.process.terminate()
            for lane in running:
                lane.process.wait()


def in_lanes(steps: list[Step]) -> list[list[Step]]:
    """Return the steps of each lane."""
    return [[step for step in steps if step.lane == lane] for lane in dict.fromkeys(step.lane for step in steps)]
