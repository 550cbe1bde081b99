# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump: a verified backup, or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.support import run_module, sql

SAFE = {"treenode_edge", "node_query_cache", "node_grid_cache_cell", "treenode_connector_edge", "connector_geom"}
SUMMARIES = {"catmaid_skeleton_summary", "catmaid_stats_summary"}
# Random bytes, which no compression makes smaller: 25 MB of them.
INCOMPRESSIBLE = """
    CREATE TABLE noise AS
    SELECT (SELECT string_agg(sha512((n * 20 + i)::text::bytea), '') FROM generate_series(1, 15) i)
      FROM generate_series(1, 25000) n
"""


def backups(dest: str, database: str) -> list[str]:
    """Return everything in the folder of a database's backups, the lock apart."""
    folders = list(Path(dest).iterdir()) if os.path.isdir(dest) else []
    return sorted(path.name for folder in folders for path in folder.iterdir() if path.name != ".lock")


def dump(database: str, dest: str, **options: Any) -> support.Run:
    return run_module("pg_dump", login_db=database, dest=dest, **options)


def manifest_rows(result: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(table["schema"], table["name"]): table["rows"] for table in result["manifest"]["tables"]}


def test_checks_dumps_and_dumps_again(spatial: str, dest: str) -> None:
    database = spatial
    before = support.rows(database)
    predicted = dump(database, dest, check=True, diff=True)
    assert predicted.changed
    assert not os.path.exists(dest)

    made = dump(database, dest, requested_by="a test", diff=True)
    assert made.changed
    assert made.result["diff"]["before"] == {"newest_backup": ""}
    assert made.result["diff"]["after"] == {"newest_backup": made.result["id"]}
    assert backups(dest, database) == [made.result["id"]]
    assert support.rows(database) == before

    path, manifest = made.result["path"], made.result["manifest"]
    for parent, folders, names in os.walk(os.path.dirname(path)):
        for name in [*folders, *names]:
            found = os.lstat(os.path.join(parent, name))
            assert (found.st_uid, found.st_gid) == (0, 0)
            assert stat.S_IMODE(found.st_mode) == (0o700 if stat.S_ISDIR(found.st_mode) else 0o600)
    with open(os.path.join(path, "manifest.json"), encoding="utf-8") as file:
        assert json.load(file) == manifest
    for entry in manifest["files"]:
        with open(os.path.join(path, entry["path"]), "rb") as file:
            content = file.read()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])

    assert manifest["verified"] is True
    assert manifest["database"] == database
    assert manifest["requested_by"] == "a test"
    assert manifest["migrations"] == [["contenttypes", "0001_initial"], ["catmaid", "0001_initial"]]
    assert manifest["properties"]["owner"] == support.OWNER
    assert manifest["objects"]["triggers_disabled"] == 1
    assert manifest["objects"]["constraints_not_validated"] == 1
    assert {e["name"] for e in manifest["extensions"]} == {"plpgsql", "postgis"}
    assert manifest["postgresql"]["postgis"]
    assert made.result["missing"] == []
    assert support.OWNER in Path(path, "globals.sql").read_text(encoding="utf-8")
    rows = manifest_rows(made.result)
    assert rows["public", "treenode"] == 2000
    assert rows["public", "location"] == 7
    assert rows["Odd.Schema", "treenode_edge"] == 1
    assert {(e["schema"], e["name"]) for e in made.result["left_out"]} == {("public", name) for name in SAFE}
    edges = next(entry for entry in made.result["left_out"] if entry["name"] == "treenode_edge")
    assert edges["rows"] == 2000
    assert edges["returns_by"] == "catmaid.admin.rebuild_materializations"

    again = dump(database, dest)
    assert again.changed
    assert again.result["id"] != made.result["id"]
    young = dump(database, dest, min_age="1h", diff=True)
    assert not young.changed
    assert young.result["id"] == again.result["id"]
    assert young.result["manifest"] == again.result["manifest"]
    assert not dump(database, dest, min_age="1h", check=True).changed
    assert dump(database, dest, min_age="0", check=True).changed
    assert len(backups(dest, database)) == 2


@pytest.mark.parametrize(("level", "left_out"), [("include", set()), ("exclude", SAFE | SUMMARIES)])
def test_leaves_out_derived_tables_by_level(database: str, dest: str, level: str, left_out: set[str]) -> None:
    made = dump(database, dest, materializations=level)
    assert {entry["name"] for entry in made.result["left_out"]} == left_out
    assert left_out.isdisjoint(name for schema, name in manifest_rows(made.result) if schema == "public")


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"format": "custom"}, None),
        ({"compression": "none"}, "none"),
        ({"compression": "gzip", "compression_level": 9, "jobs": 1}, "gzip"),
        ({"format": "custom", "compression": "none", "globals": False}, "none"),
    ],
)
def test_writes_formats_and_compressions(
    database: str, dest: str, options: dict[str, Any], method: str | None
) -> None:  # fmt: skip
    made = dump(database, dest, **options)
    told = made.result["manifest"]["dump"]
    assert told["format"] == options.get("format", "directory")
    assert method in (None, told["compression"]["method"])
    assert os.path.exists(os.path.join(made.result["path"], told["path"]))
    assert os.path.exists(os.path.join(made.result["path"], "globals.sql")) is options.get("globals", True)


def test_compresses_as_the_server_can(database: str, dest: str) -> None:
    newer = int(sql(database, "SHOW server_version_num")[0][0]) >= 160000
    made = dump(database, dest)
    assert made.result["manifest"]["dump"]["compression"]["method"] == ("zstd" if newer else "gzip")
    for method in ("zstd", "lz4"):
        run = dump(database, dest, compression=method)
        if newer:
            assert run.result["manifest"]["dump"]["compression"]["method"] == method
        else:
            assert f"cannot compress with {method}" in run.error
    assert "has no level 12" in dump(database, dest, compression="gzip", compression_level=12).error


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("Odd.Schema.Odd.Table*", ("Odd.Schema", "Odd.Table*")),
        ("Odd.Table*", ("Odd.Schema", "Odd.Table*")),
        ('"Odd.Schema"."Odd.Table*"', ("Odd.Schema", "Odd.Table*")),
        ("odd_table", ("Odd.Schema", "odd_table")),
        ("a.b", ("public", "a.b")),
        ("Odd.Schema.treenode_edge", ("Odd.Schema", "treenode_edge")),
        ("public.treenode", ("public", "treenode")),
    ],
)
def test_leaves_out_exactly_what_is_named(database: str, dest: str, name: str, table: tuple[str, str]) -> None:
    every = set(manifest_rows(dump(database, dest, materializations="include").result))
    refused = dump(database, dest, materializations="include", exclude_table_data=[name], globals=False)
    assert "allow_incomplete" in refused.error
    for option, what in (("exclude_table_data", "rows"), ("exclude_tables", "table")):
        if table == ("public", "treenode") and what == "table":
            continue  # the view on it would be left dangling: pg_dump itself refuses at restore
        made = dump(
            database, dest, materializations="include", allow_incomplete=True, globals=False, **{option: [name]}
        )
        assert set(manifest_rows(made.result)) == every - {table}
        assert [(e["schema"], e["name"], e["what"], e["returns_by"]) for e in made.result["left_out"]] == [
            (*table, what, "")
        ]


@pytest.mark.parametrize("option", ["exclude_tables", "exclude_table_data"])
@pytest.mark.parametrize("name", ["nosuch", "Treenode", "treenod*", "nosuch.treenode", ""])
def test_refuses_unknown_tables(database: str, dest: str, option: str, name: str) -> None:
    for check in (True, False):
        assert (
            f'no table "{name}"' in dump(database, dest, check=check, allow_incomplete=True, **{option: [name]}).error
        )
    assert backups(dest, database) == []


def test_tells_the_commit(database: str, dest: str, tmp_path: Path) -> None:
    project = tmp_path / "source"
    git = ["git", "-C", str(project), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q", "-b", "feature/x", str(project)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run([*git, "tag", "2030.01.15"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "second"], check=True)
    made = dump(database, dest, project_path=str(project))
    source = made.result["manifest"]["source"]
    assert source["branch"] == "feature/x"
    assert source["dirty"] is False
    assert made.result["id"].endswith(f"Z_2030.01.15-1-g{source['commit'][:7]}")
    assert "is no git checkout" in dump(database, dest, project_path=str(tmp_path)).error


def test_sees_one_moment_while_others_write(database: str, dest: str) -> None:
    sql(database, "INSERT INTO treenode (x) SELECT n FROM generate_series(1, 30000) n")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            sql(
                database,
                "INSERT INTO treenode (x) SELECT 1 FROM generate_series(1, 50); DELETE FROM ONLY location WHERE x = 3",
            )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = dump(database, dest, materializations="include")
    finally:
        stop.set()
        writer.join()
    rows = manifest_rows(made.result)
    # Trigger and row are of one transaction: at any one moment there are as many edges as nodes.
    assert rows["public", "treenode"] == rows["public", "treenode_edge"] >= 32000
    assert rows["public", "treenode"] < support.rows(database)["public.treenode"]
    data = {}
    for table in ("treenode", "treenode_edge"):
        done = subprocess.run(
            ["pg_restore", "--data-only", "--schema=public", f"--table={table}", "-f-", f"{made.result['path']}/dump"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        data[table] = done.stdout.split("\\.")[0].count("\n") - done.stdout.split(" FROM stdin;")[0].count("\n") - 1
    assert data == {"treenode": rows["public", "treenode"], "treenode_edge": rows["public", "treenode_edge"]}


def test_tries_again_when_an_exclusive_lock_is_queued(database: str, dest: str) -> None:
    queued = threading.Event()

    def truncate_nightly() -> None:
        deadline = time.monotonic() + 30
        held = (
            "SELECT count(*) / 2 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE mode = 'AccessShareLock'"
            f" AND relation IN ('treenode'::regclass, 'location'::regclass) AND datname = $q${database}$q$"
            " AND application_name = 'catmaid.admin'"
        )
        process = subprocess.Popen(
            [*support.AS_POSTGRES, "psql", "-XAtq", support.conninfo(database)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", bufsize=1,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        while time.monotonic() < deadline:
            process.stdin.write(f"{held};\n")
            if process.stdout.readline().strip() != "0":
                process.stdin.write("BEGIN; LOCK TABLE treenode IN ACCESS EXCLUSIVE MODE; COMMIT;\n")
                queued.set()
                break
            time.sleep(0.002)
        process.communicate(timeout=60)

    locker = threading.Thread(target=truncate_nightly)
    locker.start()
    made = dump(database, dest, jobs=2)
    locker.join()
    assert queued.is_set()
    assert made.changed
    assert made.result["manifest"]["dump"]["attempts"] == 2
    assert backups(dest, database) == [made.result["id"]]


def test_names_who_holds_a_lock(database: str, dest: str) -> None:
    holder = subprocess.Popen(
        [*support.AS_POSTGRES, "psql", "-Xq", support.conninfo(database)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write("BEGIN; LOCK TABLE treenode; \\echo held\n")
    holder.stdin.flush()
    assert holder.stdout.readline().strip() == "held"
    refused = dump(database, dest, lock_wait_timeout=1)
    holder.communicate("ROLLBACK;")
    assert "no lock within 1 s" in refused.error
    assert "on treenode" in refused.error
    assert backups(dest, database) == []


def test_logs_in_by_password_and_never_shows_it(database: str, dest: str) -> None:
    login = {"login_host": "localhost", "login_user": support.OWNER}
    wrong = "a wrong secret"
    refused = dump(database, dest, login_password=wrong, **login)
    assert "password authentication failed" in refused.error
    assert wrong not in refused.output
    assert backups(dest, database) == []

    # The owner of the application's database may not read the passwords of roles: the backup says so.
    made = dump(database, dest, login_password=support.PASSWORD, **login)
    assert made.changed
    assert any("passwords" in what for what in made.result["missing"])
    assert support.PASSWORD not in made.output
    assert json.dumps(support.PASSWORD)[1:-1] not in made.output

    sql(database, "CREATE TABLE of_somebody_else (a int)")
    refused = dump(database, dest, login_password=support.PASSWORD, **login)
    assert "permission denied for table of_somebody_else" in refused.error
    assert backups(dest, database) == [made.result["id"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"login_db": "nosuch database"}, 'database "nosuch database" does not exist'),
        ({"login_port": 1}, "connecting to database"),
        ({"login_host": "nosuch.invalid"}, "nosuch.invalid"),
        ({"jobs": 3, "format": "custom"}, "one job"),
        ({"jobs": 0}, "no number of jobs"),
        ({"compression": "none", "compression_level": 3}, "no compression"),
        ({"min_age": "soon"}, "span of time"),
        ({"dest": "/proc/backups"}, "cannot make /proc/backups"),
    ],
)
def test_says_what_is_wrong(database: str, dest: str, options: dict[str, Any], message: str) -> None:
    if options.get("min_age"):
        assert dump(database, dest).changed
    before = backups(dest, database)
    refused = run_module("pg_dump", **{"login_db": database, "dest": dest, **options})
    assert message in refused.error
    assert backups(dest, database) == before


def test_lets_only_one_run_at_a_time(database: str, dest: str) -> None:
    sql(database, INCOMPRESSIBLE)
    first = support.start_module("pg_dump", login_db=database, dest=dest)
    wait_for(lambda: [n for n in backups(dest, database) if n.startswith(".partial-")])
    second = dump(database, dest)
    assert f"is locked by backing up database {database} (pid {first.pid}" in second.error
    done = support.finish_module(first)
    assert done.changed
    assert backups(dest, database) == [done.result["id"]]


def test_leaves_nothing_when_pg_dump_is_killed(database: str, dest: str) -> None:
    kept = dump(database, dest)
    sql(database, INCOMPRESSIBLE)
    running = support.start_module("pg_dump", login_db=database, dest=dest)
    os.kill(wait_for(lambda: support.processes("pg_dump", dest))[0], signal.SIGKILL)
    assert "SIGKILL" in support.finish_module(running).error
    assert backups(dest, database) == [kept.result["id"]]
    wait_for(lambda: not support.processes("pg_dump", dest))


def test_cleans_up_after_itself_was_killed(database: str, dest: str) -> None:
    sql(database, INCOMPRESSIBLE)
    running = support.start_module("pg_dump", login_db=database, dest=dest)
    wait_for(lambda: support.processes("pg_dump", dest))
    running.kill()
    running.communicate()
    left = backups(dest, database)
    assert [name.startswith(".partial-") for name in left] == [True]
    wait_for(lambda: not support.processes("pg_dump", dest))
    listed = run_module("backup_info", dest=dest)
    assert listed.result["backups"] == []
    assert [os.path.basename(path) for path in listed.result["incomplete"]] == left
    made = dump(database, dest)
    assert backups(dest, database) == [made.result["id"]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """A function that makes a small disk of its own."""
    folder = tmp_path / "disk"

    def make(megabytes: int) -> str:
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
        return str(folder)

    yield make
    subprocess.run(["umount", str(folder)], check=True)


def test_refuses_a_disk_that_is_too_small(database: str, small_disk: Callable[[int], str]) -> None:
    sql(database, INCOMPRESSIBLE)
    dest = small_disk(20)
    for check in (True, False):
        assert "are needed (by the size of its tables)" in dump(database, dest, check=check).error
    assert backups(dest, database) == []


def test_leaves_nothing_on_a_full_disk(database: str, small_disk: Callable[[int], str]) -> None:
    dest = small_disk(26)
    kept = dump(database, dest)
    sql(database, INCOMPRESSIBLE)
    refused = dump(database, dest, compression="gzip", compression_level=2)
    assert "No space left on device" in refused.error
    assert backups(dest, database) == [kept.result["id"]]
    assert run_module("backup_info", dest=dest, verify=True).result["newest"]["id"] == kept.result["id"]


def wait_for(look: Callable[[], Any], seconds: float = 20) -> Any:
    """Return what ``look`` gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("it did not happen")
