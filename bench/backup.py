# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a test host, as root: time the seed's dump, an upstream-like one in two files, and ours, in turns.

Prints one line of JSON for each run. The others' dumps are told not to wait for the disk in the end, because our
"written" does not count that either; our "verified" does.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import sys
import time
from pathlib import Path

from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import archive, writing
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups.request import Request
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from bench import meter
from tests.integration.double_fixtures import psql

WORK = Path("/var/tmp/catmaid-bench")
SIX = (
    "treenode_edge", "treenode_connector_edge", "connector_geom",
    "catmaid_stats_summary", "node_query_cache", "catmaid_skeleton_summary",
)  # fmt: skip
OURS = {
    15: {"ours": ("auto", 0), "ours, gzip:1": ("gzip", 1)},
    17: {"ours": ("auto", 0)},
}


def main() -> int:
    """Measure DATABASE so many times; with "ours" in front, be the process that is measured."""
    if sys.argv[1] == "ours":
        return _ours(*sys.argv[2:])
    database, repetitions = sys.argv[1], int(sys.argv[2])
    server = int(psql("postgres", "SHOW server_version_num")) // 10000
    data = psql("postgres", "SHOW data_directory")
    postmaster = int(Path(data, "postmaster.pid").read_text(encoding="ascii").split()[0])
    try:
        for _round in range(repetitions):
            for name, argv in _variants(database, OURS[server]).items():
                _empty()
                cost = meter.measure(argv, postmaster)
                told = json.loads(cost.output.splitlines()[-1]) if cost.output else {}
                result = {
                    "variant": name,
                    "written": cost.seconds,
                    "bytes": _bytes(WORK),
                    "memory": cost.memory,
                    "cpu": cost.cpu,
                    "load": meter.load(),
                    **told,
                }
                print(json.dumps(result), flush=True)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    return 0


def _variants(database: str, ours: dict[str, tuple[str, int]]) -> dict[str, list[str]]:
    quoted, data = shlex.quote(database), " ".join(f"-T {table}" for table in SIX)
    dump = f"cd {WORK} && pg_dump --no-sync"
    as_postgres = ["runuser", "-u", "postgres", "--", "bash", "-o", "pipefail", "-e", "-c"]
    theirs = {
        "seed": [*as_postgres, f"{dump} -Fc --clean -f seed.dump {quoted}"],
        "two files": [
            *as_postgres,
            f"{dump} --create --clean -s {quoted} | gzip -9 > schema.sql.gz; {dump} -Fc {data} -f data.dump {quoted}",
        ],
    }
    me = [sys.executable, "-m", "bench.backup", "ours", database]
    return {**theirs, **{name: [*me, method, str(level)] for name, (method, level) in ours.items()}}


def _ours(database: str, method: str, level: str) -> int:
    """Make a real backup, all of it, and tell when each part was done."""
    started = meter.start_of_this_process()
    marks = {}
    dump_run = writing.dump.run

    def timed(*args: object) -> object:
        dumped = dump_run(*args)
        marks["written"] = time.monotonic() - started
        return dumped

    writing.dump.run = timed
    request = Request(Server(), database, str(WORK), compression=method, compression_level=int(level) or None)
    _prepared, backup = archive.create(request)
    total = time.monotonic() - started
    counted = float(backup.manifest["fingerprinted"])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        **marks,
        "verified": total - counted,
        "fingerprinted": total,
        "bytes": backup.manifest["bytes"],
        "compression": backup.manifest["dump"]["compression"],
        "python_memory": usage.ru_maxrss * 1024,
        "python_cpu": usage.ru_utime + usage.ru_stime,
    }
    print(json.dumps(told))
    return 0


def _empty() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(mode=0o755)
    shutil.chown(WORK, "postgres")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
