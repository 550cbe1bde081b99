# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump: a verified backup, or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.support import run_module, sql

SAFE = {"treenode_edge", "node_query_cache", "node_grid_cache_cell", "treenode_connector_edge", "connector_geom"}
SUMMARIES = {"catmaid_skeleton_summary", "catmaid_stats_summary"}


def backups(dest: str, database: str) -> list[str]:
    """Return everything in the folder of a database's backups, the lock and the status apart."""
    folders = list(Path(dest).iterdir()) if os.path.isdir(dest) else []
    return sorted(
        path.name for folder in folders for path in folder.iterdir() if path.name not in (".lock", "status.json")
    )


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
    program = "pg_dump" if newer else "zstd"
    for options in ({}, {"compression": "zstd"}):
        told = dump(database, dest, **options).result["manifest"]["dump"]["compression"]
        assert (told["method"], told["program"]) == ("zstd", program)
    other = dump(database, dest, compression="lz4")
    if newer:
        assert other.result["manifest"]["dump"]["compression"]["method"] == "lz4"
    else:
        assert "cannot compress with lz4" in other.error
    assert "has no level 12" in dump(database, dest, compression="gzip", compression_level=12).error


def test_leaves_out_exactly_what_is_named(database: str, dest: str) -> None:
    # Literally: no pattern, capitals count, with or without the schema, and as SQL would write it. The unit tests have
    # the table of all forms.
    named = ["Odd.Schema.Odd.Table*", '"Odd.Schema".odd_table', "a.b", "Odd.Schema.treenode_edge", "public.location"]
    tables = {
        *(("Odd.Schema", "Odd.Table*"), ("Odd.Schema", "odd_table"), ("public", "a.b")),
        *(("Odd.Schema", "treenode_edge"), ("public", "location")),
    }
    options = {"materializations": "include", "globals": False}
    every = set(manifest_rows(dump(database, dest, **options).result))
    assert tables < every
    for name in named:
        assert "allow_incomplete" in dump(database, dest, exclude_table_data=[name], check=True, **options).error
    for option, what in (("exclude_table_data", "rows"), ("exclude_tables", "table")):
        made = dump(database, dest, allow_incomplete=True, **options, **{option: named})
        assert set(manifest_rows(made.result)) == every - tables
        assert {(e["schema"], e["name"], e["what"], e["returns_by"]) for e in made.result["left_out"]} == {
            (*table, what, "") for table in tables
        }
        listed = subprocess.run(
            ["pg_restore", "--list", f"{made.result['path']}/dump"], capture_output=True, text=True, check=True
        ).stdout
        assert (" TABLE Odd.Schema Odd.Table* " in listed) is (what == "rows")
        assert " TABLE DATA Odd.Schema Odd.Table* " not in listed
        assert " TABLE DATA public treenode_edge " in listed


@pytest.mark.parametrize("option", ["exclude_tables", "exclude_table_data"])
def test_refuses_unknown_tables(database: str, dest: str, option: str) -> None:
    for name in ("nosuch", "Treenode", "treenod*", ""):
        refused = dump(database, dest, check=True, allow_incomplete=True, **{option: ["treenode", name]})
        assert f'no table "{name}"' in refused.error
    assert 'no table "nosuch.treenode"' in dump(database, dest, **{option: ["nosuch.treenode"]}).error
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
    # of code on another host
    told = dump(database, dest, source={"commit": "0123abc", "describe": "2030.02.01"})
    assert told.result["id"].endswith("Z_2030.02.01")
    assert told.result["manifest"]["source"] == {
        "commit": "0123abc", "describe": "2030.02.01", "branch": "", "dirty": None,
    }  # fmt: skip


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
        # gzip: pg_restore of every version reads that by itself
        made = dump(database, dest, materializations="include", compression="gzip")
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
        ({"login_host": "127.0.0.1", "login_port": 1}, "Connection refused"),
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
