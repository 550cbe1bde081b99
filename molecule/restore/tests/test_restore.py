# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup comes back whole, fits to the code that serves it, or the database from before serves as if nothing was."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.once("trixie")

CONFIRM = {"catmaid_restore_confirm": "catmaid"}
OLD, NEW = "2030.01.15", "2030.06.20"
ROWS = """SELECT (SELECT count(*) FROM ONLY treenode), (SELECT count(*) FROM treenode_edge),
    (SELECT count(*) FROM ONLY connector), (SELECT count(*) FROM treenode_connector_edge),
    (SELECT sum(num_imported_nodes) FROM catmaid_skeleton_summary), (SELECT count(*) FROM treenode__history)"""
DERIVED = (
    "treenode_edge", "treenode_connector_edge", "connector_geom", "node_query_cache", "node_grid_cache_cell",
    "dirty_node_grid_cache_cell", "catmaid_stats_summary", "catmaid_skeleton_summary",
)  # fmt: skip
KEPT = "SELECT datname FROM pg_database WHERE datname LIKE 'catmaid_before_restore_%'"


def newest(instance) -> str:
    return instance.run("ls -d /var/backups/catmaid/catmaid/catmaid_* | tail -n 1")


def test_a_restore_wants_the_name_of_the_database(instances, play):
    result = play("restore")
    assert result.rc != 0
    for instance in instances:
        assert "catmaid_restore_confirm=catmaid" in result.messages(instance.name)
        assert result.changed(instance.name) == []


@pytest.mark.parametrize("harm", ["cut short", "one bit flipped"])
def test_a_damaged_backup_is_refused_and_nothing_touched(instances, play, harm):
    for instance in instances:
        instance.run(f"rm -rf /root/damaged && cp -a {newest(instance)} /root/damaged")
        largest = instance.run(
            "find /root/damaged -type f ! -name manifest.json -printf '%s %p\\n' | sort -n | tail -n 1"
        )
        size, path = largest.split(" ", 1)
        if harm == "cut short":
            instance.run(f"truncate -s -1 {path}")
        else:
            middle = int(size) // 2
            byte = instance.run(f"od -An -tu1 -j {middle} -N 1 {path}")
            flipped = f"\\{int(byte) ^ 1:03o}"
            instance.run(f"printf '{flipped}' | dd of={path} bs=1 seek={middle} conv=notrunc status=none")
    before = [(instance.sql(ROWS), instance.databases()) for instance in instances]
    result = play("restore", **CONFIRM, catmaid_restore_backup="/root/damaged")
    assert result.rc != 0
    for instance, (rows, databases) in zip(instances, before):
        assert result.changed(instance.name) == []
        assert "/root/damaged" in result.messages(instance.name)
        assert (instance.sql(ROWS), instance.databases()) == (rows, databases)
        assert instance.get("/")[0] == 200


def test_a_restore_that_the_application_cannot_work_with_is_undone(instances, play):
    """An archive of pg_dump itself, of a database that lacks a table: whole, but of no use."""
    for instance in instances:
        instance.run("rm -f /tmp/useless")
        for command in (
            "createdb --template=template0 useless",
            "pg_dump -Fc -f /tmp/useless catmaid",
            "pg_restore --exit-on-error -d useless /tmp/useless",
            "psql -Xqc 'DROP TABLE project CASCADE' useless",
            "pg_dump -Fc -f /tmp/useless useless",
            "dropdb useless",
        ):
            instance.run(f"cd /tmp && runuser -u postgres -- {command}")
    before = [instance.sql(ROWS) for instance in instances]
    result = play("restore", **CONFIRM, catmaid_restore_backup="/tmp/useless")
    assert result.rc != 0
    for instance, rows in zip(instances, before):
        assert "the database from before serves again" in result.messages(instance.name)
        assert instance.sql(ROWS) == rows
        assert instance.get("/projects/")[0] == 200
        assert any(name.startswith("catmaid_failed_restore_") for name in instance.databases())


def age_what_is_kept(instance) -> set[str]:
    """Let the databases that restores have kept be of last year."""
    for name in instance.databases():
        comment = instance.sql(
            f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'"
        )
        if comment.startswith("catmaid.admin: "):
            year = f"{comment.rpartition(' until ')[0]} until 2025-01-01T00:00:00Z"
            instance.sql(f"COMMENT ON DATABASE {name} IS '{year}'")
    return instance.databases() - {"catmaid"}


def test_a_destroyed_table_comes_back_and_what_was_kept_long_enough_goes(instances, play):
    old = [age_what_is_kept(instance) for instance in instances]
    before = [instance.sql(ROWS) for instance in instances]
    for instance in instances:
        instance.sql("DROP TABLE treenode CASCADE")
    result = play("restore", **CONFIRM)
    assert result.rc == 0, result.output
    for instance, rows, gone in zip(instances, before, old):
        assert gone
        assert gone.isdisjoint(instance.databases())
        assert instance.sql(ROWS) == rows
        assert instance.get("/")[0] == 200
        # The database from before is kept; that of the restore that failed above has been for long enough.
        (kept,) = instance.databases() - {"catmaid"}
        assert kept.startswith("catmaid_before_restore_")
        # and people can work on it: triggers and their tables are there again
        instance.sql("UPDATE treenode SET location_x = location_x + 1 WHERE id = (SELECT max(id) FROM ONLY treenode)")
        instance.sql("UPDATE treenode SET location_x = location_x - 1 WHERE id = (SELECT max(id) FROM ONLY treenode)")


def test_a_database_that_is_gone_comes_back(instances, play):
    before = [instance.sql(ROWS) for instance in instances]
    for instance in instances:
        instance.run("cd / && runuser -u postgres -- dropdb --force catmaid")
    result = play("restore", **CONFIRM)
    assert result.rc == 0, result.output
    for instance, rows in zip(instances, before):
        assert instance.sql(ROWS).rsplit("|", 1)[0] == rows.rsplit("|", 1)[0]
        assert instance.get("/projects/")[0] == 200


def test_one_of_before_is_kept_if_that_is_wanted(instances, play):
    old = [age_what_is_kept(instance) for instance in instances]
    assert play("restore", catmaid_restore_keep_old=0, **CONFIRM).rc == 0
    for instance, kept in zip(instances, old):
        assert kept
        assert kept <= instance.databases()


def test_what_was_lost_is_looked_up_beside_the_live_database(instances, play):
    before = [(instance.sql(ROWS), instance.databases()) for instance in instances]
    project = instances[0].sql("SELECT max(id) FROM project")
    wanted = {"catmaid_restore_to": "scratch", "catmaid_restore_project": int(project)}
    predicted = play("restore", "--check", **wanted)
    result = play("restore", **wanted)
    assert result.rc == 0, result.output
    some = play("restore", catmaid_restore_to="scratch", catmaid_restore_tables=["treenode__history"])
    assert some.rc == 0, some.output
    refused = play("restore", catmaid_restore_to="scratch", catmaid_restore_project=77)
    assert refused.rc != 0
    for instance, (rows, databases) in zip(instances, before):
        # The names tell the time.
        tasks = [[task.rpartition("_")[0] for task in run.changed(instance.name)] for run in (predicted, result)]
        assert tasks[0] == tasks[1]
        assert len(tasks[0]) == 2
        whole, part = sorted(instance.databases() - databases)
        assert whole.startswith("catmaid_scratch_")
        assert f"sudo -u postgres dropdb {whole}" in result.output
        assert instance.sql(ROWS, whole) == rows
        mine = instance.sql(f"SELECT count(*) FROM ONLY treenode WHERE project_id = {project}")
        assert 0 < int(mine) < 10000
        assert instance.sql(f"SELECT count(*) FROM project_{project}.treenode", whole) == mine
        history = "SELECT count(*) FROM treenode__history"
        assert instance.sql(history, part) == instance.sql(history)
        assert instance.sql("SELECT count(*) FROM treenode", part) == "0"
        assert "there is no such project" in refused.messages(instance.name)
        assert instance.sql(ROWS) == rows
        assert instance.get("/projects/")[0] == 200
        for name in (whole, part):
            instance.run(f"cd / && runuser -u postgres -- dropdb {name}")


def test_some_tables_cannot_take_the_place_of_the_live_database(instances, play):
    result = play("restore", catmaid_restore_tables=["treenode"], **CONFIRM)
    for instance in instances:
        assert "set catmaid_restore_to=scratch" in result.messages(instance.name)
        assert result.changed(instance.name) == []


def scratch_rows(instance, before: set[str]) -> str:
    """Return the rows of the database that a run has made to look things up in, and drop it."""
    (made,) = instance.databases() - before
    rows = instance.sql(ROWS, made)
    instance.run(f"cd / && runuser -u postgres -- dropdb {made}")
    return rows


def test_a_copy_from_elsewhere_is_fetched_decrypted_and_restored(instances, play):
    key = instances[0].run("rm -f /root/key; age-keygen -o /root/key 2>/dev/null; cat /root/key")
    recipient, secret = key.split("public key: ")[1].split()[0], key.split()[-1]
    shelf = {"name": "shelf", "backend": "local", "path": "/var/tmp/shelf"}
    there = {"catmaid_backup_targets": [shelf]}
    encryption = {"method": "age", "recipients": [recipient]}
    made = play("backup", catmaid_backup_min_age="0", catmaid_backup_encryption=encryption, **there)
    assert made.rc == 0, made.output
    before = [(instance.sql(ROWS), instance.databases(), newest(instance)) for instance in instances]
    for instance, (_rows, _databases, backup) in zip(instances, before):
        instance.run(f"rm -r {backup}; (umask 077; echo {secret} > /root/key)")
    scratch = {"catmaid_restore_to": "scratch", "catmaid_restore_from": "shelf", **there}
    predicted = play("restore", "--check", **scratch)
    assert predicted.rc == 0, predicted.output
    unreadable = play("restore", **scratch)
    nowhere = play("restore", **{**scratch, "catmaid_restore_from": "loft"})
    for instance, (rows, databases, _backup) in zip(instances, before):
        assert [task.rpartition(" : ")[2] for task in predicted.changed(instance.name)] == ["Find | Fetch it"]
        assert unreadable.changed(instance.name) == []
        assert unreadable.messages(instance.name)
        assert "(shelf)" in nowhere.messages(instance.name)
        assert (instance.sql(ROWS), instance.databases()) == (rows, databases)
    # A target that is told itself, and the key in a file; then by name, with the key from the operator's vault.
    told = play("restore", **{**scratch, "catmaid_restore_from": shelf, "catmaid_restore_identity_file": "/root/key"})
    assert told.rc == 0, told.output
    for instance, (rows, databases, backup) in zip(instances, before):
        assert scratch_rows(instance, databases) == rows
        instance.run(f"rm -r {backup}; rm /root/key")
        instance.sql("DELETE FROM catmaid_skeleton_summary")
    result = play("restore", catmaid_restore_from="shelf", catmaid_restore_identity=secret, **there, **CONFIRM)
    assert result.rc == 0, result.output
    assert secret not in result.output
    for instance, (rows, _databases, backup) in zip(instances, before):
        assert instance.sql(ROWS) == rows
        assert instance.get("/projects/")[0] == 200
        assert newest(instance) == backup
        assert instance.run(f"grep -rls {secret} /root /var/lib/catmaid /var/backups /var/tmp /tmp || true") == ""


def test_of_a_folder_with_several_databases_one_is_chosen(instances, play):
    """Backups in two files each, as CATMAID's own script writes them."""
    derived = " ".join(f"-T {table}" for table in DERIVED)
    for instance in instances:
        instance.run("rm -rf /var/tmp/sets && install -d -o postgres /var/tmp/sets")
        for command in (
            "pg_dump --create --clean -s catmaid | gzip > one.schema.gz.dump",
            f"pg_dump --disable-triggers --create --clean -Fc {derived} catmaid > one.all.gz.dump",
            "cp one.schema.gz.dump two.schema.gz.dump",
            "cp one.all.gz.dump two.all.gz.dump",
        ):
            instance.run(f"cd /var/tmp/sets && runuser -u postgres -- sh -c '{command}'")
    before = [(instance.sql(ROWS), instance.databases()) for instance in instances]
    wanted = {"catmaid_restore_to": "scratch", "catmaid_restore_backup": "/var/tmp/sets"}
    unclear = play("restore", **wanted)
    chosen = play("restore", catmaid_restore_source_db="two", **wanted)
    assert chosen.rc == 0, chosen.output
    for instance, (rows, databases) in zip(instances, before):
        assert "several databases: one, two" in unclear.messages(instance.name)
        # The rows of what is derived are not in such a backup; of three tables they are back.
        assert scratch_rows(instance, databases).split("|")[:4] == rows.split("|")[:4]
