#!/usr/bin/env python3
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure jobs of the collection on throw-away hosts: ``make bench``, or ``tests/tools python -m bench.run [JOB ...]``.

BENCH_IMAGES        "bookworm trixie": PostgreSQL 15 and 17
BENCH_TREENODES     "1000000 3000000": sizes of the database; the biggest counts for the goals
BENCH_REPETITIONS   "3": the medians of so many runs are told
BENCH_HOSTS         "20": how many hosts the job "fleet" has at once
BENCH_RESULTS       "bench/results": where JSON and the plot go

The job "upgrade" takes a real CATMAID if CATMAID_REPO and its like say which, see tests/journey.py; with BENCH_ONLINE=1
it also upgrades in the mode "online".

A database is generated once and kept as an archive in ~/.cache/catmaid.admin/bench: the first run takes some minutes
longer. Hosts are removed at the end, also of a run that fails.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import (
    backup_report,
    fleet,
    fleet_report,
    restore_report,
    tuning_report,
    upgrade_plays,
    upgrade_report,
    web_report,
)

CHECKOUT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catmaid.admin" / "bench"
# A job is a program on the host that prints a line of JSON for each run, and what to make of the lines.
JOBS = {
    "backup": backup_report,
    "restore": restore_report,
    "upgrade": upgrade_report,
    "web": web_report,
    "tuning": tuning_report,
    "fleet": fleet_report,
}
# Those that want an instance on the host, with these variables
SITES: dict[str, dict[str, Any]] = {"upgrade": {}, "web": web_report.SITE, "fleet": {}}
FOLDER = "/opt/ansible_collections/catmaid/admin"
ON_HOST = f"env --chdir={FOLDER} PYTHONPATH=/opt:{FOLDER} PYTHONPYCACHEPREFIX=/var/tmp/pycache python3"


def main() -> int:
    """Run the jobs that are named, or all."""
    images = os.environ.get("BENCH_IMAGES", "bookworm trixie").split()
    sizes = [int(size) for size in os.environ.get("BENCH_TREENODES", "1000000 3000000").split()]
    repetitions = os.environ.get("BENCH_REPETITIONS", "3")
    results = CHECKOUT / os.environ.get("BENCH_RESULTS", "bench/results")
    good = True
    for name in sys.argv[1:] or JOBS:
        runs = [run for image in images for run in _measure(name, image, sizes, repetitions)]
        results.mkdir(parents=True, exist_ok=True)
        told = JOBS[name].summary(runs)
        document = {"job": name, "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "host": _host(), **told}
        (results / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(JOBS[name].table(document), flush=True)
        JOBS[name].plot(document, results)
        good = good and all(goal["met"] for goal in told["goals"])
    return 0 if good else 1


def _measure(job: str, image: str, sizes: list[int], repetitions: str) -> list[dict[str, Any]]:
    group = f"catmaid-bench-{os.getpid()}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="catmaid-bench-") as folder:
        Path(folder).chmod(0o755)  # what the host sees of it is read by its service user
        try:
            volumes = upgrade_plays.volumes(Path(folder))
            ssh = _start(group, image, volumes)
            site = upgrade_plays.Site(Path(folder), ssh, ON_HOST, **SITES[job]) if job in SITES else None
            if site:
                site.install()
            if site and job == "fleet":
                _say(f"{image}: fleet, {repetitions} rounds")
                told = fleet.rounds(site, Path(folder), group, image, volumes, int(repetitions))
                return [{"image": image, "treenodes": fleet.TREENODES, **run} for run in told]
            if job == "web":  # what is asked for is no matter of the database
                _say(f"{image}: web, {repetitions} rounds")
                return [{"image": image, "treenodes": 0, **run} for run in _lines(ssh, job, 0, repetitions)]
            runs = []
            for size in sizes:
                _say(f"{image}: a database with {size} treenodes")
                if site:
                    site.fill(size)
                else:
                    _call([*ssh, f"{ON_HOST} -m bench.fill bench{size} {size} /var/cache/catmaid-bench"])
                _say(f"{image}: {job}, {repetitions} rounds")
                measured = (
                    site.rounds(f"bench{size}", int(repetitions)) if site else _lines(ssh, job, size, repetitions)
                )
                runs += [{"image": image, "treenodes": size, **run} for run in measured]
            return runs
        finally:
            subprocess.run([CHECKOUT / "tests/hosts/down", group], check=False, stdout=subprocess.DEVNULL)


def _lines(ssh: list[str], job: str, size: int, repetitions: str) -> Iterator[dict[str, Any]]:
    for line in _call([*ssh, f"{ON_HOST} -m bench.{job} bench{size} {repetitions}"]).splitlines():
        yield json.loads(line)


def _start(group: str, image: str, volume: str) -> list[str]:
    import ansible

    volumes = f"{Path(ansible.__file__).parent}:/opt/ansible:ro {CACHE}:/var/cache/catmaid-bench {volume}"
    started = subprocess.run(
        [CHECKOUT / "tests/hosts/up", group, image],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CATMAID_TEST_VOLUMES": volumes},
    )
    return ["ssh", "-F", started.stdout.split()[-1], f"catmaid-{image}"]


def _call(argv: list[str]) -> str:
    """Run a command on the host, its complaints going where ours go, and return what it printed."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            print("    " + line[:150].rstrip(), flush=True)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv[-1:])} ended with {process.returncode}")
    return "".join(lines)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _host() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpus": os.cpu_count(), "memory_gb": round(memory / 1e9), "machine": platform.machine()}


if __name__ == "__main__":
    sys.exit(main())
