# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump doubts a backup in which tables are much smaller than in the one before, and keeps it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.cli import Program, configure
from tests.integration.cluster_fixtures import Cluster
from tests.integration.support import run_module, sql

pytestmark = pytest.mark.once("bookworm")

SESSIONS = """
CREATE TABLE django_session (session_key text);
INSERT INTO django_session SELECT n FROM generate_series(1, 1000) n;
"""


def dump(database: str, dest: str, **options: Any) -> support.Run:
    return run_module("pg_dump", login_db=database, dest=dest, globals=False, **options)


def info(database: str, dest: str) -> dict[str, Any]:
    return run_module("backup_info", dest=dest, database=database, verify=True).result


def test_a_shrunk_table_fails_the_backup_until_somebody_accepts_it(database: str, dest: str) -> None:
    sql(database, SESSIONS)
    first = dump(database, dest)
    assert first.result["manifest"]["suspicious"] == []
    assert first.result["manifest"]["compared_with"] is None

    # Nine in a hundred are no reason, nor is what comes and goes, nor a table that is derived.
    sql(
        database,
        """DELETE FROM ONLY treenode WHERE id <= 180; TRUNCATE django_session, treenode_edge, catmaid_stats_summary;
        DELETE FROM treenode__history WHERE id <= 1000""",
    )
    fine = dump(database, dest)
    assert fine.result["manifest"]["suspicious"] == []
    assert fine.result["manifest"]["compared_with"] == first.result["id"]

    sql(database, 'DELETE FROM ONLY treenode WHERE id <= 700; DROP TABLE "a.b"')
    assert dump(database, dest, check=True).changed  # where nothing is counted, nothing is claimed
    refused = dump(database, dest)
    assert "public.treenode had 1820 rows and has 1300 (28.6 % less)" in refused.error
    assert f"shrunk since {fine.result['id']}" in refused.error
    assert "backup_hold" in refused.error
    assert refused.result["suspicious"] == [
        {"schema": "public", "table": "a.b", "before": 2, "after": 0, "percent": 100.0},
        {"schema": "public", "table": "treenode", "before": 1820, "after": 1300, "percent": 28.6},
    ]
    # It is all there: complete, verified, listed, and says of itself that it is doubtful.
    manifest = json.loads(Path(refused.result["path"], "manifest.json").read_text(encoding="utf-8"))
    assert manifest["suspicious"] == refused.result["suspicious"]
    assert manifest["verified"] is True
    listed = info(database, dest)
    assert [backup["sound"] for backup in listed["backups"]] == [True, True, True]
    assert [backup["suspicious"] for backup in listed["backups"]] == [True, False, False]
    restored = support.unused()
    try:
        assert run_module("pg_restore", login_db=restored, archive=refused.result["path"]).changed
        assert support.rows(restored)["public.treenode"] == 1300
    finally:
        support.drop(restored)

    # It is no young backup to be content with, and the next one is compared with the older one.
    again = dump(database, dest, min_age="1h")
    assert f"shrunk since {fine.result['id']}" in again.error
    assert dump(database, dest, shrink_percent=0).result["manifest"]["suspicious"] == []
    os.rename(dest, f"{dest} elsewhere")  # without anything to compare with
    assert dump(database, dest).changed


def test_a_doubted_backup_is_watched_until_somebody_accepts_it(
    program: Program, database: str, dest: str, tmp_path: Path
) -> None:  # fmt: skip
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    settings: dict[str, Any] = {"databases": [database], "dest": dest, "metrics_dir": str(metrics)}
    config = configure(tmp_path, **settings)
    assert program("backup", config=config).rc == 0

    def metric(name: str) -> str:
        (line,) = re.findall(rf"^catmaid_backup_{name}{{.*}} (.*)$", next(metrics.iterdir()).read_text(), re.MULTILINE)
        return str(line)

    assert (metric("suspicious"), metric("last_run_success")) == ("0", "1")
    sql(database, "DELETE FROM ONLY treenode WHERE id <= 700")
    program.json("backup", config=config, rc=1)
    newest = program.json("list", config=config)["backups"][0]
    assert (newest["suspicious"], newest["accepted"], newest["held"]) == (True, False, False)
    assert (metric("suspicious"), metric("last_run_success")) == ("1", "0")
    assert (metric("size_bytes"), metric("rows")) == (str(newest["bytes"]), str(newest["rows"]))
    judged = program("check", config=config)
    assert (judged.rc, "tables have shrunk" in judged.out) == (2, True)
    assert "suspicious:   tables have shrunk: public.treenode" in program("info", newest["id"], config=config).out
    # The suspicion stays when the next run gets nowhere at all.
    broken = configure(tmp_path, "broken", login={"port": 1}, **settings)
    assert program("backup", config=broken).rc == 1
    assert metric("suspicious") == "1"
    assert f"tables have shrunk in {newest['id']}" in program("check", config=config).out
    assert program("backup", config=config).rc == 1

    newest = program.json("list", config=config)["backups"][0]
    assert program("hold", newest["id"], "--accept", "--reason", "merged", config=config).rc == 0
    assert (metric("suspicious"), metric("last_run_success")) == ("0", "1")
    judged = program("check", config=config)
    assert (judged.rc, judged.out[:19]) == (0, "CATMAID BACKUP OK -")
    assert program("hold", newest["id"], "--reason", "the paper", config=config).rc == 0
    shown = program.json("info", newest["id"], config=config)
    assert (shown["suspicious"], shown["accepted"], shown["acceptance"]) == (False, True, "merged")
    assert (shown["held"], shown["hold"]) == (True, "the paper")
    assert [table["table"] for table in shown["shrunk"]] == ["treenode"]
    text = program("info", newest["id"], config=config).out
    assert "held:         the paper" in text
    assert "accepted:     merged (shrunk: public.treenode)" in text
    assert "held, accepted" in program("list", config=config).out
    # Taken back, it is doubted as before.
    assert program("hold", newest["id"], "--accept", "--release", config=config).rc == 0
    assert metric("suspicious") == "1"
    assert program("check", config=config).rc == 2
    # By the module, too.
    accepted = {"id": newest["id"], "state": "accepted", "reason": "merged"}
    assert run_module("backup_hold", dest=dest, database=database, **accepted).changed
    assert metric("suspicious") == "0"
    assert program("check", config=config).rc == 0
    assert program("backup", config=config).rc == 0


def test_an_accepted_backup_is_what_the_next_one_is_compared_with(database: str, dest: str) -> None:
    assert dump(database, dest).changed
    sql(database, "DELETE FROM ONLY treenode WHERE id <= 1500")
    doubted = dump(database, dest)
    assert "treenode" in doubted.error
    accept = {"dest": dest, "database": database, "id": doubted.result["id"], "state": "accepted"}
    assert run_module("backup_hold", **accept, reason="a project was removed").changed
    following = dump(database, dest)
    assert following.changed
    assert following.result["manifest"]["compared_with"] == doubted.result["id"]


@pytest.mark.parametrize(("percent", "suspicious"), [(1, True), (24, True), (25, False), (100, False)])
def test_the_limit_is_what_was_asked_for(database: str, dest: str, percent: int, suspicious: bool) -> None:
    assert dump(database, dest).changed
    sql(database, "DELETE FROM ONLY treenode WHERE id <= 500")
    assert dump(database, dest, shrink_percent=percent).failed is suspicious


def test_tables_left_out_are_not_missed(database: str, dest: str) -> None:
    assert dump(database, dest).changed
    options = {"allow_incomplete": True, "exclude_tables": ["treenode__history"], "exclude_table_data": ["treenode"]}
    assert dump(database, dest, **options).changed
    # Rows that are left out are counted nevertheless.
    sql(database, "DELETE FROM ONLY treenode WHERE id <= 1500")
    assert "public.treenode had 2000 rows and has 500" in dump(database, dest, **options).error
    assert "101 is no share" in dump(database, dest, shrink_percent=101, check=True).error


def test_another_servers_database_of_the_same_name_is_another_one(
    cluster: Cluster, managed: str, dest: str
) -> None:  # fmt: skip
    """Two servers that back up into one folder; and after a move the first backup is made in any case."""
    here = support.quoted(managed)
    support.sql("postgres", f"CREATE DATABASE {here}")
    try:
        support.sql(managed, "CREATE TABLE treenode AS SELECT n FROM generate_series(1, 5000) n")
        first = dump(managed, dest)
        assert "warnings" not in first.result
        other = dump(managed, dest, min_age="1h", **cluster.peer)
        assert other.changed
        assert other.result["manifest"]["compared_with"] is None
        assert "is of another database server" in str(other.result["warnings"])
        young = dump(managed, dest, min_age="1h")
        assert not young.changed
        assert young.result["id"] == first.result["id"]
        assert not dump(managed, dest, min_age="1h", **cluster.peer).changed
        assert dump(managed, dest, shrink_percent=10).result["manifest"]["compared_with"] == first.result["id"]
        pruned = run_module("backup_prune", dest=dest, database=managed, keep_last=1, keep_daily=0)
        assert [gone["id"] for gone in pruned.result["gone"]] == [first.result["id"]]
    finally:
        support.drop(managed)
