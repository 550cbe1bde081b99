# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manifest tells of the contents, and that a restore proves it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import catalog, fingerprint
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support
from tests.integration.support import run_module, sql

pytestmark = pytest.mark.once("trixie")

Names = Callable[[], str]


def dump(database: str, dest: str, **options: Any) -> dict[str, Any]:
    made = run_module("pg_dump", login_db=database, dest=dest, globals=False, **options)
    assert made.changed
    return dict(made.result)


def told(result: dict[str, Any]) -> dict[str, str | None]:
    """Return the fingerprints of a manifest."""
    tables = result["manifest"]["tables"]
    return {f"{table['schema']}.{table['name']}": table["fingerprint"] for table in tables}


def live(server: Server, database: str) -> dict[str, str | None]:
    """Return the fingerprints of a database as it is now."""
    with server.connect(database) as connection:
        tables = catalog.tables(connection)
        found = fingerprint.read(server, database, connection, tables, hashed=[table.oid for table in tables])
    return {f"{table.schema}.{table.name}": found[table.oid].fingerprint for table in tables}


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_restore_is_proven_by_fingerprints(
    database: str, dest: str, unused: Names, server: Server, jobs: int
) -> None:  # fmt: skip
    # A dump and restore puts an inherited column first that was added to a table before it became a child.
    sql(
        database,
        """CREATE TABLE late (b text, a int); INSERT INTO late SELECT 'n' || n, n FROM generate_series(1, 500) n;
        CREATE TABLE early (a int); ALTER TABLE late INHERIT early""",
    )
    made = dump(database, dest, materializations="include", jobs=jobs)
    before, there = told(made), live(server, database)
    derived = {name for name, value in before.items() if value is None}
    assert derived == {
        f"public.{name}"
        for name in (
            "treenode_edge", "treenode_connector_edge", "connector_geom", "node_query_cache", "node_grid_cache_cell"
        )
    }  # fmt: skip
    assert {name: value for name, value in before.items() if value} == {
        name: value for name, value in there.items() if name not in derived
    }
    assert made["manifest"]["fingerprinted"] >= 0

    restored = unused()
    done = run_module("pg_restore", login_db=restored, archive=made["path"], jobs=jobs)
    assert done.changed
    order = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'late'::regclass"
    assert support.value(database, f"{order} AND attnum > 0") != support.value(restored, f"{order} AND attnum > 0")
    assert done.result["fingerprints_compared"] == len(before) - len(derived)
    assert done.result["tables_compared"] == len(before)
    assert live(server, restored) == there


def test_rows_that_are_not_the_same_are_found(database: str, dest: str, unused: Names) -> None:
    made = dump(database, dest)
    # As if one value had changed on the way: as many rows, another sum.
    path = Path(made["path"], "manifest.json")
    manifest = made["manifest"]
    table = next(table for table in manifest["tables"] if table["name"] == "treenode")
    rows, total = table["fingerprint"].split(":")
    table["fingerprint"] = f"{rows}:{int(total) + 1}"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    restored = unused()
    failed = run_module("pg_restore", login_db=restored, archive=made["path"])
    assert "public.treenode has as many rows as it should, 2000, but not all of them are the same" in failed.error
    assert failed.result["different"] == [failed.error.split(": ", 1)[1]]
    assert restored not in support.names()
    # Whoever does not want that knows why. In another encoding nothing of it is claimed.
    assert run_module("pg_restore", login_db=restored, archive=made["path"], verify=False).changed
    support.drop(restored)
    sql(
        "postgres",
        f"CREATE DATABASE {support.quoted(restored)} TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    assert run_module("pg_restore", login_db=restored, archive=made["path"]).result["fingerprints_compared"] == 0


def test_rows_and_fingerprints_are_those_of_the_dumped_moment(
    database: str, dest: str, unused: Names, server: Server
) -> None:
    sql(database, "INSERT INTO treenode (x) SELECT n FROM generate_series(1, 20000) n")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            sql(
                database,
                """INSERT INTO treenode (x) SELECT 1 FROM generate_series(1, 20);
                UPDATE treenode SET x = x + 1 WHERE id % 500 = 0; DELETE FROM treenode__history WHERE id % 7 = 0;
                INSERT INTO treenode__history SELECT id * 7, -1, now() FROM treenode LIMIT 10""",
            )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = dump(database, dest, jobs=2)
    finally:
        stop.set()
        writer.join()
    now, then = live(server, database), told(made)
    for name in ("public.treenode", "public.treenode__history"):
        assert now[name] != then[name]
    # What was dumped is what the manifest tells: the restore compares every row.
    restored = unused()
    done = run_module("pg_restore", login_db=restored, archive=made["path"])
    assert done.result["fingerprints_compared"] == len(then)
    assert live(server, restored)["public.treenode"] == then["public.treenode"]


def test_without_fingerprints(database: str, dest: str, unused: Names) -> None:
    made = dump(database, dest, fingerprint=False)
    assert set(told(made).values()) == {None}
    assert made["manifest"]["fingerprinted"] is None
    assert run_module("pg_restore", login_db=unused(), archive=made["path"]).result["fingerprints_compared"] == 0


def test_a_manifest_of_yesterday_is_read(database: str, dest: str, unused: Names) -> None:
    made = dump(database, dest)
    manifest = made["manifest"]
    for key in ("fingerprinted", "sidecar", "suspicious", "compared_with"):
        del manifest[key]
    for table in manifest["tables"]:
        del table["fingerprint"]
    Path(made["path"], "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    done = run_module("pg_restore", login_db=unused(), archive=made["path"])
    assert done.result["fingerprints_compared"] == 0
    assert done.result["rows_compared"] == sum(table["rows"] for table in manifest["tables"])
    assert dump(database, dest)["manifest"]["compared_with"] == made["id"]


def test_a_disk_that_is_too_small_is_refused_before_the_start(database: str, tmp_path: Path) -> None:
    # By the tables' size at first, by what the last backup took later.
    sql(database, "CREATE TABLE noise AS SELECT md5(n::text) AS a FROM generate_series(1, 50000) n")
    dest = tmp_path / "small"
    dest.mkdir()
    for size, needed in (("17m", "by the size of its tables"), ("64m", "")):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(dest)], check=True)
        try:
            for check in (True, False):
                run = run_module("pg_dump", check=check, login_db=database, dest=str(dest))
                assert run.failed is bool(needed)
                if needed:
                    assert needed in run.error
                    assert not list(dest.rglob("manifest.json"))
            if not needed:
                made = run.result
                # Something else fills the disk: the next one would not fit beside this one.
                room = 16 * 1024 * 1024 + made["bytes"] * 5 // 4
                filled = os.statvfs(dest).f_bavail * os.statvfs(dest).f_frsize - room
                with open(dest / "filler", "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, filled + 65536)
                refused = run_module("pg_dump", login_db=database, dest=str(dest))
                assert f"by the backup {made['id']}" in refused.error
                (dest / "filler").unlink()
                assert run_module("pg_dump", login_db=database, dest=str(dest)).changed
        finally:
            subprocess.run(["umount", str(dest)], check=True)
