# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of level exclude, restored and rebuilt, equals the original, with what no rebuild can compute."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.double_fixtures import Release, drop_database, fingerprint, psql
from tests.integration.instances import Instance, finish, start

pytestmark = pytest.mark.once("bookworm")

Instances = Callable[..., Instance]

MODULE = "rebuild_materializations"
SUMMARIES = ("catmaid_stats_summary", "catmaid_skeleton_summary")
DERIVED = ("treenode_edge", "treenode_connector_edge", "connector_geom", *SUMMARIES)
IMPORTED = "SELECT string_agg(num_imported_nodes::text, ',' ORDER BY skeleton_id) FROM catmaid_skeleton_summary"

# What only the summary tables know: an import whose note in the log of transactions is gone, an editor that CATMAID's
# triggers knew better, a skeleton that has lost its nodes.
UNKNOWABLE = """
DELETE FROM catmaid_transaction_info WHERE label = 'skeletons.import';
UPDATE catmaid_skeleton_summary s SET last_summary_update = '2029-01-02 03:04:05.678901+00',
       last_editor_id = (SELECT max(id) FROM auth_user u WHERE u.id <> s.last_editor_id)
 WHERE skeleton_id IN (SELECT skeleton_id FROM catmaid_skeleton_summary ORDER BY skeleton_id LIMIT 3);
INSERT INTO catmaid_skeleton_summary (skeleton_id, project_id, original_creation_time, last_edition_time, num_nodes,
                                      cable_length, last_editor_id, num_imported_nodes)
SELECT id, project_id, '2028-01-01', '2028-01-02', 0, 0, user_id, 4 FROM class_instance
 WHERE id NOT IN (SELECT skeleton_id FROM catmaid_skeleton_summary) ORDER BY id LIMIT 1;
"""


@pytest.fixture
def instance(double_release: Callable[..., Release], double_database: Callable[..., str]) -> Instance:
    """An instance whose statistics are filled, with things in its summaries that nothing else knows."""
    database = double_database("2030.06.20", 3000)
    here = Instance(double_release("2030.06.20", database), database)
    here.release.manage("catmaid_refresh_node_statistics", "--clean")
    psql(database, UNKNOWABLE)
    return here


def dump(here: Instance, dest: Path, **options: Any) -> dict[str, Any]:
    made = finish(start("pg_dump", login_db=here.database, dest=str(dest), globals=False, **options))
    assert not made.get("failed"), made
    return made


@pytest.fixture
def restored(instance: Instance) -> Any:
    """A function that restores a backup beside the instance and returns it as one."""
    name = f"{instance.database}_beside"

    def restore(path: str) -> Instance:
        drop_database(name)
        done = finish(start("pg_restore", login_db=name, archive=path))
        assert not done.get("failed"), done
        return replace(instance, database=name)

    yield restore
    drop_database(name)


def contents(database: str) -> dict[str, str]:
    """Return all of the derived tables; the number of a statistics row is new each time that CATMAID counts."""
    without = {"catmaid_stats_summary": ("id",)}
    return {table: fingerprint(database, table, without.get(table, ())) for table in DERIVED}


def test_level_exclude_loses_nothing(instance: Instance, restored: Any, tmp_path: Path) -> None:
    original, imported = contents(instance.database), psql(instance.database, IMPORTED)
    assert any(number != "0" for number in imported.split(","))
    made = dump(instance, tmp_path, materializations="exclude")
    left_out = {entry["name"]: entry for entry in made["left_out"]}
    assert set(DERIVED) <= set(left_out)
    assert left_out["catmaid_skeleton_summary"]["returns_by"].endswith("with its option sidecar")
    sidecar = {entry["table"]: entry for entry in made["manifest"]["sidecar"]}
    assert set(sidecar) == set(SUMMARIES)
    assert sidecar["catmaid_skeleton_summary"]["rows"] == 7
    for entry in sidecar.values():
        assert entry["file"] in {file["path"] for file in made["manifest"]["files"]}
        with open(Path(made["path"], entry["file"]), encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert (rows[0], len(rows) - 1) == (entry["columns"], entry["rows"])

    # Without the sidecar this is what upstream's way loses: all imports.
    bare = restored(made["path"])
    assert "num_imported_nodes could not be kept" in str(bare.run(MODULE)["warnings"])
    assert contents(bare.database) != original
    assert set(psql(bare.database, IMPORTED).split(",")) == {"0"}

    again = restored(made["path"])
    assert psql(again.database, "SELECT count(*) FROM catmaid_skeleton_summary") == "0"
    planned = again.check(MODULE, sidecar=made["path"])
    done = again.run(MODULE, sidecar=made["path"])
    # The restore itself has filled the geometry tables.
    assert planned["rebuilt"] == done["rebuilt"] == ["node_statistics", "skeleton_summary"]
    assert not done.get("warnings")
    assert contents(again.database) == original
    assert psql(again.database, IMPORTED) == imported
    assert not again.run(MODULE, sidecar=made["path"])["changed"]


def test_what_a_database_knows_itself_is_younger_than_a_sidecar(instance: Instance, tmp_path: Path) -> None:
    made = dump(instance, tmp_path, materializations="exclude")
    psql(
        instance.database,
        """UPDATE catmaid_skeleton_summary SET num_imported_nodes = num_imported_nodes + 7, last_editor_id = 2
            WHERE num_imported_nodes > 0;
        DELETE FROM catmaid_skeleton_summary WHERE skeleton_id = (SELECT max(skeleton_id) FROM treenode)""",
    )
    before = psql(instance.database, IMPORTED).split(",")
    done = instance.run(MODULE, sidecar=made["path"], materializations=["skeleton_summary"])
    assert done["rebuilt"] == ["skeleton_summary"] and not done.get("warnings")
    after = psql(instance.database, IMPORTED).split(",")
    # The one that was lost came back from the file; the others are as the database had them.
    assert len(after) == len(before) + 1
    assert set(before) <= set(after)


def test_other_backups_have_no_sidecar(instance: Instance, restored: Any, tmp_path: Path) -> None:
    original = contents(instance.database)
    made = dump(instance, tmp_path)
    assert made["manifest"]["sidecar"] == []
    assert not Path(made["path"], "sidecar").exists()
    here = restored(made["path"])
    assert here.run(MODULE, sidecar=made["path"])["rebuilt"] == []
    assert contents(here.database) == original
    # A table that is left out by its name is no other case than one that is left out by a level.
    named = dump(instance, tmp_path, exclude_table_data=["catmaid_skeleton_summary"])
    assert [entry["table"] for entry in named["manifest"]["sidecar"]] == ["catmaid_skeleton_summary"]


def test_a_damaged_sidecar_is_refused_before_anything_changes(
    instance: Instance, restored: Any, tmp_path: Path
) -> None:
    made = dump(instance, tmp_path, materializations="exclude")
    here = restored(made["path"])
    before = contents(here.database)
    path = Path(made["path"], "sidecar", "catmaid_skeleton_summary.csv")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("2029-01-02", "2029-01-03"), encoding="utf-8")
    assert "has changed" in here.fail(MODULE, sidecar=made["path"])["msg"]
    path.unlink()
    assert "is missing" in here.fail(MODULE, sidecar=made["path"])["msg"]
    assert "no backup of catmaid.admin" in here.fail(MODULE, sidecar=str(tmp_path))["msg"]
    assert contents(here.database) == before


def test_the_sidecar_is_of_the_dumped_moment(instance: Instance, restored: Any, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            psql(
                instance.database,
                f"""BEGIN; UPDATE project SET comment = '{number}' WHERE id = 1;
                UPDATE catmaid_skeleton_summary SET num_imported_nodes = {number}; COMMIT""",
            )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = dump(instance, tmp_path, materializations="exclude")
    finally:
        stop.set()
        writer.join()
    here = restored(made["path"])
    assert here.run(MODULE, sidecar=made["path"])["changed"]
    dumped = psql(here.database, "SELECT comment FROM project WHERE id = 1")
    assert set(psql(here.database, IMPORTED).split(",")) == {dumped}
    assert dumped != psql(instance.database, "SELECT comment FROM project WHERE id = 1")
