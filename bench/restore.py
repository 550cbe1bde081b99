# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a test host, as root: time the documented restore, a parallel one of a full backup, and ours, in turns.

Prints one line of JSON for each run. Every one begins with the backup of its kind and a database that does not exist,
and ends when the application could be started on it; ours goes on and compares it with the manifest. In the first round
all tables are compared with the original, too, which no figure counts.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import archive, restoration
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups.request import Request
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import catalog, fingerprint
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from bench import meter
from bench.backup import SIX
from tests.integration import double_fixtures as double

WORK = Path("/var/tmp/catmaid-bench-restore")
TARGET = "bench_restored"
AS_POSTGRES = ["runuser", "-u", "postgres", "--"]


def main() -> int:
    """Measure DATABASE so many times; with a procedure in front, be the process that is measured."""
    if sys.argv[1] in PROCEDURES:
        print(json.dumps(PROCEDURES[sys.argv[1]](*sys.argv[2:])))
        return 0
    database, repetitions = sys.argv[1], int(sys.argv[2])
    data = double.psql("postgres", "SHOW data_directory")
    postmaster = int(Path(data, "postmaster.pid").read_text(encoding="ascii").split()[0])
    with _backups(database) as backups:
        original = _contents(database)
        for number in range(repetitions):
            for name, paths in backups.items():
                double.drop_database(TARGET)
                double.psql("postgres", "CHECKPOINT")
                cost = meter.measure([sys.executable, "-m", "bench.restore", name, *map(str, paths)], postmaster)
                told = json.loads(cost.output.splitlines()[-1])
                result = {
                    "variant": name,
                    "bytes": sum(_bytes(path) for path in paths if path.is_relative_to(WORK)),
                    "memory": cost.memory,
                    "cpu": cost.cpu,
                    "load": meter.load(),
                    **told,
                    **({} if number else {"different": _different(original)}),
                }
                print(json.dumps(result), flush=True)
        double.drop_database(TARGET)
    return 0


@contextmanager
def _backups(database: str) -> Iterator[dict[str, list[Path]]]:
    """Yield the paths that each procedure needs: its kind of backup, and for the documented one a checkout."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(mode=0o755)
    shutil.chown(WORK, "postgres")
    schema, data, full = WORK / "schema.sql.gz", WORK / "data.dump", WORK / "full.dump"
    try:
        statements = _output(["pg_dump", "--schema-only", database])
        schema.write_bytes(gzip.compress(statements, 9))
        _do(["pg_dump", "-Fc", *[f"--exclude-table={table}" for table in SIX], "-f", str(data), database])
        _do(["pg_dump", "-Fc", "-f", str(full), database])
        _prepared, ours = archive.create(Request(Server(), database, str(WORK / "ours")))
        with _checkout() as projects:
            yield {"documented": [schema, data, projects], "full": [full], "ours": [Path(ours.path)]}
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


@contextmanager
def _checkout() -> Iterator[Path]:
    """Yield the folder of a release that has settings for the restored database, with its interpreter beside it."""
    with tempfile.TemporaryDirectory(prefix="catmaid-double-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        repository, source = folder / "double.git", folder / "source"
        double.run([sys.executable, str(double.DOUBLE / "build.py"), str(repository), "--bare"])
        double.run(["git", "clone", "-q", "--branch", double.OLDEST, str(repository), str(source)])
        double.run(["chown", "-R", f"{double.SERVICE_USER}:", str(source)])
        double.Release(double.OLDEST, source, _virtualenv(source)).configure(TARGET)
        yield source


def _virtualenv(source: Path) -> Path:
    return double.virtualenv(source / "django" / "requirements.txt")


def _documented(schema: str, data: str, source: str) -> dict[str, Any]:
    """Schema, rows, ANALYZE, and CATMAID's own rebuild of everything.

    The real schema file drops and makes a database of the live one's name; here it gets another name by hand.
    """
    release = double.Release(double.OLDEST, Path(source), _virtualenv(Path(source)))
    rows = ["pg_restore", "--data-only", "--disable-triggers", "--jobs=4", "-S", "postgres", "-d", TARGET, data]
    return _timed(
        {
            "schema": lambda: _make_and_fill(schema),
            "data": lambda: _do(rows),
            "analyze": lambda: _do(["psql", "-Xqc", "ANALYZE", TARGET]),
            "rebuild": lambda: release.manage("catmaid_rebuild_all_materializations"),
        }
    )


def _make_and_fill(schema: str) -> None:
    _do(["createdb", f"--owner={double.ROLE}", "--template=template0", TARGET])
    argv = [*AS_POSTGRES, "psql", "-Xq", "-d", TARGET]
    with gzip.open(schema) as packed:
        subprocess.run(argv, input=packed.read(), check=True, cwd="/", stdout=subprocess.DEVNULL)


def _full(full: str) -> dict[str, Any]:
    """All rows and all indexes, by as many jobs as there are cores on the host of the goals."""
    return _timed(
        {
            "create": lambda: _do(["createdb", f"--owner={double.ROLE}", "--template=template0", TARGET]),
            "restore": lambda: _do(["pg_restore", "-j2", "-d", TARGET, full]),
            "analyze": lambda: _do(["vacuumdb", "-qZ", "-j2", TARGET]),
        }
    )


def _ours(path: str) -> dict[str, Any]:
    started = meter.start_of_this_process()
    request = restoration.Request(Server(), TARGET, path)
    prepared = restoration.prepare(request)
    checked = time.monotonic() - started
    outcome = restoration.run(request, prepared)
    total = time.monotonic() - started
    verify = outcome.seconds["verify"]
    named = {name: seconds for name, seconds in outcome.seconds.items() if name != "fill"}
    rest = total - checked - sum(named.values())
    phases = {"check": checked, **named, "rest": rest}
    return {"ready": total - verify, "verified": total, "phases": phases, "filled": outcome.filled}


PROCEDURES: dict[str, Callable[..., dict[str, Any]]] = {"documented": _documented, "full": _full, "ours": _ours}


def _timed(steps: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    phases = {}
    for name, step in steps.items():
        started = time.monotonic()
        step()
        phases[name] = time.monotonic() - started
    return {"ready": sum(phases.values()), "phases": phases}


def _contents(database: str) -> dict[str, Any]:
    """Return rows and fingerprint of every table."""
    server = Server()
    with server.connect(database) as connection:
        tables = catalog.tables(connection)
        found = fingerprint.read(server, database, connection, tables, hashed=[table.oid for table in tables])
        objects = catalog.objects(connection)
    return {**{table.label: found[table.oid] for table in tables}, **objects}


def _different(original: dict[str, Any]) -> list[str]:
    restored = _contents(TARGET)
    return sorted(name for name in original.keys() | restored.keys() if original.get(name) != restored.get(name))


def _output(argv: list[str]) -> bytes:
    return subprocess.run([*AS_POSTGRES, *argv], check=True, cwd="/", stdout=subprocess.PIPE).stdout


def _do(argv: list[str]) -> None:
    subprocess.run([*AS_POSTGRES, *argv], check=True, cwd="/", stdout=subprocess.DEVNULL)


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
