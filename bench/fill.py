# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a test host, as root: make a database of the double with so many treenodes.

The filled database is kept in a cache folder as an archive, so that the next run only has to restore it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.integration import double_fixtures as double

FIRST = 15  # of the test hosts' PostgreSQL
AS_POSTGRES = ["runuser", "-u", "postgres", "--"]


def main() -> int:
    """Fill DATABASE with TREENODES, by way of CACHE."""
    database, treenodes, cache = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    started = time.monotonic()
    double.double_accounts.__wrapped__()
    major = int(double.psql("postgres", "SHOW server_version_num")) // 10000
    # An older server's archive will do.
    archives = [cache / f"{treenodes}-{_key()}-postgresql{number}" for number in range(FIRST, major + 1)]
    there = [archive for archive in archives if archive.is_dir()]
    if there:
        _restore(database, there[0])
    else:
        _generate(database, treenodes)
        _keep(database, archives[-1])
    # One process: a container's shared memory is small.
    double.psql(database, "VACUUM (ANALYZE, PARALLEL 0)")
    double.psql(database, "CHECKPOINT")
    size = double.psql(database, "SELECT pg_database_size(current_database())")
    print(f"{database}: {treenodes} treenodes, {int(size) / 1e6:.0f} MB on disk, {time.monotonic() - started:.0f} s")
    return 0


def _key() -> str:
    """Return what changes when the data would be others: the schema's and the generator's text."""
    parts = [double.DOUBLE / "generate.sql", *sorted((double.DOUBLE / "releases/base").rglob("*.py"))]
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]


def _generate(database: str, treenodes: int) -> None:
    with tempfile.TemporaryDirectory(prefix="catmaid-double-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        repository, source = folder / "double.git", folder / "source"
        double.run([sys.executable, str(double.DOUBLE / "build.py"), str(repository), "--bare"])
        double.run(["git", "clone", "-q", "--branch", double.OLDEST, str(repository), str(source)])
        double.run(["chown", "-R", f"{double.SERVICE_USER}:", str(source)])
        python = double.virtualenv(source / "django" / "requirements.txt")
        release = double.Release(double.OLDEST, source, python)
        release.configure(database)
        double.empty_database(database)
        release.manage("migrate", "--noinput")
    double.generate(database, treenodes)


def _keep(database: str, archive: Path) -> None:
    partial = Path(f"{archive}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.chown(partial, "postgres")
    program = [*AS_POSTGRES, "pg_dump", "-Fd", "-j2", "-Z1", "-f", str(partial / "dump"), database]
    subprocess.run(program, check=True, cwd="/")
    double.run(["chmod", "-R", "a+rX", str(partial)])
    partial.rename(archive)


def _restore(database: str, archive: Path) -> None:
    double.drop_database(database)
    double.psql("postgres", f'CREATE DATABASE "{database}" OWNER {double.ROLE} TEMPLATE template0 ENCODING UTF8')
    env = {**os.environ, "PGOPTIONS": "-c maintenance_work_mem=512MB -c synchronous_commit=off"}
    program = [*AS_POSTGRES, "pg_restore", "-e", "-j2", "-d", database, str(archive / "dump")]
    subprocess.run(program, check=True, cwd="/", env=env)


if __name__ == "__main__":
    sys.exit(main())
