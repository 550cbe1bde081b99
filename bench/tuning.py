# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a test host, as root: load a database as CATMAID does, untuned, tuned as its manual says, and by us, in turns.

Prints one line of JSON for each run. Every one begins with a restart, fresh statistics and a warm-up that no figure
counts. All three have a host of so much memory, whatever this machine has: the database is at least twice as large as
any of their shared_buffers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import attached, attaching, dropin
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning import budget
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning import database as advice
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning.model import DATABASE, GB, Demands, Host

from bench import meter
from tests.integration import double_fixtures as double

STATE = "/var/tmp/catmaid-bench-tuning"
FILE = "zz-catmaid"
HOST = Host(memory=4 * GB, cores=2)
CLIENTS, THREADS = 8, 2
WARM_UP = int(os.environ.get("BENCH_WARM_UP", "10"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "40"))
# What the manual says of the database: a quarter of the memory, and autovacuum.
SEED = (dropin.Wanted("shared_buffers", "1GB"), dropin.Wanted("autovacuum", "on"))
VARIANTS = ("untuned", "seed", "ours")

# Weight and text of each kind of transaction. A place to be in is a random node; :low and :high are ids.
NODE = """\\set at random(:low, :high)
SELECT id AS node, skeleton_id AS skeleton, location_x AS x, location_y AS y, location_z AS z
FROM treenode WHERE id >= :at ORDER BY id LIMIT 1 \\gset
"""
SCRIPTS = {
    # What a browser shows: all edges in a box, and the nodes at their ends
    "nodes": (60, NODE + """SELECT t.id, t.parent_id, t.location_x, t.location_y, t.location_z, t.confidence, t.radius,
    t.skeleton_id, t.user_id, extract(epoch FROM t.edition_time) AS edited
FROM (SELECT DISTINCT unnest(ARRAY[e.id, e.parent_id]) AS id FROM treenode_edge e
    WHERE e.project_id = 1 AND e.edge &&& ST_MakeLine(
        ST_MakePoint(:x - 2000, :y - 2000, :z - 200), ST_MakePoint(:x + 2000, :y + 2000, :z + 200))) shown
JOIN treenode t USING (id) LIMIT 3500;
"""),
    # Somebody traces: a node behind another one, with all triggers
    "insert": (20, NODE + """BEGIN;
INSERT INTO treenode (user_id, editor_id, project_id, location_x, location_y, location_z, parent_id, skeleton_id)
SELECT user_id, editor_id, project_id, location_x + 10, location_y + 10, location_z + 1, id, skeleton_id
FROM treenode WHERE id = :node;
COMMIT;
"""),
    # Partners of a skeleton by its synapses, with names and sizes
    "joins": (18, NODE + """SELECT other.skeleton_id, c.name, s.num_nodes, count(*) AS synapses
FROM treenode_connector mine JOIN treenode_connector other
    ON other.connector_id = mine.connector_id AND other.skeleton_id <> mine.skeleton_id
JOIN class_instance c ON c.id = other.skeleton_id
LEFT JOIN catmaid_skeleton_summary s ON s.skeleton_id = other.skeleton_id
WHERE mine.skeleton_id = :skeleton GROUP BY 1, 2, 3 ORDER BY synapses DESC;
SELECT count(*), count(DISTINCT r.treenode_id) FROM treenode t LEFT JOIN review r ON r.treenode_id = t.id
WHERE t.skeleton_id = :skeleton;
"""),
    # A statistics page: who traced how much on each day, of a tenth of all nodes
    "statistics": (2, """\\set at random(:low, :high)
SELECT user_id, day, count(*), count(DISTINCT skeleton_id) FROM (
    SELECT user_id, date_trunc('day', creation_time) AS day, skeleton_id FROM treenode
    WHERE id BETWEEN :at AND :at + (:high - :low) / 10 ORDER BY creation_time, skeleton_id) AS traced
GROUP BY 1, 2 ORDER BY 1, 2;
"""),
}  # fmt: skip


def main() -> int:
    """Measure DATABASE so many times."""
    database, repetitions = sys.argv[1], int(sys.argv[2])
    shutil.rmtree(STATE, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="catmaid-pgbench-", dir="/var/tmp") as name:
        folder = Path(name)
        shutil.chown(folder, "postgres")
        try:
            for number in range(repetitions):
                for variant in VARIANTS:
                    tune(variant, database)
                    load(database, folder, WARM_UP)
                    print(json.dumps({"variant": variant, "round": number, **measure(database, folder)}), flush=True)
        finally:
            tune("untuned", database)
    return 0


def tune(variant: str, database: str) -> None:
    """Bring server and database to a variant, by our own modules' engine; restart, and gather statistics anew."""
    server, wanted, inside = Server(), None, ()
    if variant == "seed":
        wanted = SEED
    if variant == "ours":
        plan = budget.plan(HOST, Demands(workers=2)).of(DATABASE).values()
        values = [dropin.Wanted(one.name, one.text, one.reason) for one in plan]
        wanted = advice.advise(values, advice.ask(server, f"{FILE}.conf"))
        inside = tuple(_tables())
    # All three have waited for a restart.
    dropin.activate(dropin.Request(server, FILE, wanted, restart=False, state_dir=STATE))
    attaching.apply(attaching.Request(server, database, inside, state_dir=STATE, analyze=False))
    unit = f"postgresql@{double.psql('postgres', 'SHOW server_version_num')[:2]}-main.service"
    double.run(["systemctl", "restart", unit])
    double.psql(database, "VACUUM (ANALYZE, PARALLEL 0)")
    double.psql(database, "CHECKPOINT")


def _tables() -> list[attaching.Wanted]:
    """Return what the role sets by default of the two largest tables and of the column that joins go by."""
    factors = {"vacuum": "0.02", "analyze": "0.01", "vacuum_insert": "0.05"}
    found = [
        attaching.Wanted(attached.Place(attached.TABLE, ("public", table), f"autovacuum_{name}_scale_factor"), value)
        for table in ("treenode", "treenode_edge")
        for name, value in factors.items()
    ]
    place = attached.Place(attached.COLUMN, ("public", "treenode", "skeleton_id"), attached.STATISTICS)
    return [*found, attaching.Wanted(place, "3000")]


def measure(database: str, folder: Path) -> dict[str, Any]:
    """Load the database for some time; return what it did, how soon, and what it wrote."""
    before = _counters(database)
    latencies = load(database, folder, SECONDS)
    after = _counters(database)
    together = sorted(value for values in latencies.values() for value in values)
    return {
        "tps": len(together) / SECONDS,
        "p95": _p95(together),
        "scripts": {name: {"count": len(values), "p95": _p95(sorted(values))} for name, values in latencies.items()},
        **{name: after[name] - before[name] for name in before},
        "shared_buffers": int(double.psql("postgres", "SELECT setting::bigint * 8192 FROM pg_settings"
                                                      " WHERE name = 'shared_buffers'")),
        "bytes": int(double.psql(database, "SELECT pg_database_size(current_database())")),
        "load": meter.load(),
    }  # fmt: skip


def load(database: str, folder: Path, seconds: int) -> dict[str, list[float]]:
    """Run the transactions for so long; return how many milliseconds each took, by its kind."""
    for path in folder.iterdir():
        path.unlink()
    low, high = double.psql(database, "SELECT min(id) || ' ' || max(id) FROM treenode").split()
    argv = ["runuser", "-u", "postgres", "--", _pgbench(), "-n", f"-c{CLIENTS}", f"-j{THREADS}", f"-T{seconds}"]
    argv += ["-D", f"low={low}", "-D", f"high={high}", "-l", f"--log-prefix={folder}/log"]
    for name, (weight, text) in SCRIPTS.items():
        (folder / f"{name}.sql").write_text(text, encoding="utf-8")
        argv.append(f"--file={folder}/{name}.sql@{weight}")
    done = subprocess.run([*argv, database], cwd="/", check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    names = list(SCRIPTS)
    for path in folder.glob("log*"):
        for line in path.read_text(encoding="ascii").splitlines():
            _client, _number, microseconds, script = line.split()[:4]
            found[names[int(script)]].append(int(microseconds) / 1000)
    return found


def _pgbench() -> str:
    return str(next(Path("/usr/lib/postgresql").glob("*/bin/pgbench")))


def _counters(database: str) -> dict[str, float]:
    time.sleep(1.5)  # until what ended sessions have counted is there
    told = double.psql(
        database,
        "SELECT temp_files || ' ' || temp_bytes || ' ' || pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') || ' '"
        " || blks_read FROM pg_stat_database WHERE datname = current_database()",
    )
    return dict(zip(("temp_files", "temp_bytes", "wal", "blocks_read"), map(int, told.split())))


def _p95(ordered: list[float]) -> float:
    return round(ordered[int(len(ordered) * 0.95)], 3) if ordered else 0.0


if __name__ == "__main__":
    sys.exit(main())
