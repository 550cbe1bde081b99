# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is whole or refused, and brings a destroyed database back."""

from __future__ import annotations

import json

import pytest

ROWS = """SELECT (SELECT count(*) FROM ONLY treenode), (SELECT count(*) FROM treenode_edge),
    (SELECT count(*) FROM ONLY connector), (SELECT count(*) FROM treenode_connector_edge),
    (SELECT sum(num_imported_nodes) FROM catmaid_skeleton_summary), (SELECT count(*) FROM treenode__history)"""


def newest(instance) -> str:
    return instance.run("ls -d /var/backups/catmaid/catmaid/catmaid_* | tail -n 1")


def test_the_manifest_tells_what_the_backup_holds(instances):
    for instance in instances:
        manifest = json.loads(instance.run(f"cat {newest(instance)}/manifest.json"))
        assert manifest["verified"] is True
        assert newest(instance).endswith("_2030.01.15")
        text = json.dumps(manifest)
        assert (
            instance.run("git -c safe.directory='*' -C /opt/catmaid/repository rev-parse 2030.01.15^{commit}") in text
        )
        rows = {table["name"]: table["rows"] for table in manifest["tables"]}
        assert rows["treenode"] == instance.treenodes() == 10000


def test_only_root_can_read_it(instances):
    for instance in instances:
        assert instance.run("find /var/backups/catmaid/catmaid -type f ! -perm 0600") == ""
        assert instance.host.run(f"runuser -u nobody -- ls {newest(instance)}").rc != 0


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
    result = play("restore", catmaid_restore_confirm="catmaid", catmaid_restore_backup="/root/damaged")
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
    result = play("restore", catmaid_restore_confirm="catmaid", catmaid_restore_backup="/tmp/useless")
    assert result.rc != 0
    for instance, rows in zip(instances, before):
        assert "the database from before serves again" in result.messages(instance.name)
        assert instance.sql(ROWS) == rows
        assert instance.get("/projects/")[0] == 200
        assert any(name.startswith("catmaid_failed_restore_") for name in instance.databases())


def test_a_destroyed_table_comes_back(instances, play):
    before = [instance.sql(ROWS) for instance in instances]
    for instance in instances:
        instance.sql("DROP TABLE treenode CASCADE")
    result = play("restore", catmaid_restore_confirm="catmaid")
    assert result.rc == 0, result.output
    for instance, rows in zip(instances, before):
        assert instance.sql(ROWS) == rows
        assert instance.get("/")[0] == 200
        assert any(name.startswith("catmaid_before_restore_") for name in instance.databases())
        # and people can work on it: triggers and their tables are there again
        instance.sql("UPDATE treenode SET location_x = location_x + 1 WHERE id = (SELECT max(id) FROM ONLY treenode)")
        instance.sql("UPDATE treenode SET location_x = location_x - 1 WHERE id = (SELECT max(id) FROM ONLY treenode)")


def test_a_database_that_is_gone_comes_back(instances, play):
    before = [instance.sql(ROWS) for instance in instances]
    for instance in instances:
        instance.run("cd / && runuser -u postgres -- dropdb --force catmaid")
    result = play("restore", catmaid_restore_confirm="catmaid")
    assert result.rc == 0, result.output
    for instance, rows in zip(instances, before):
        assert instance.sql(ROWS).rsplit("|", 1)[0] == rows.rsplit("|", 1)[0]
        assert instance.get("/projects/")[0] == 200


def test_what_is_fresh_is_not_rebuilt_and_what_is_empty_is(instances, play):
    play("rebuild")
    assert all(play("rebuild").changed(instance.name) == [] for instance in instances)
    for instance in instances:
        instance.sql("TRUNCATE treenode_edge")
    predicted = play("rebuild", "--check")
    result = play("rebuild")
    for instance in instances:
        assert predicted.changed(instance.name) == result.changed(instance.name) != []
        assert instance.sql("SELECT count(*) FROM treenode_edge") == "10000"


def test_no_secret_is_shown(instances, play):
    """Not by the most talkative output, with a password for the administrator in use."""
    secret = "s3cr3t-'quoted\"-pass"
    for instance in instances:
        literal = secret.replace("'", "''")
        instance.sql(f"ALTER ROLE postgres PASSWORD '{literal}'", "postgres")
    result = play("backup", "-vvv", callback="default", catmaid_db_host="127.0.0.1", catmaid_db_admin_password=secret)
    assert result.rc == 0, result.output[-3000:]
    application = {instance.run("cat /opt/catmaid/secrets/database_password") for instance in instances}
    for hidden in (secret, json.dumps(secret)[1:-1], *application):
        assert hidden not in result.output
    for instance in instances:
        # the manifest tells who asked for the backup; the password is nowhere in it
        assert secret not in instance.run(f"cat {newest(instance)}/manifest.json")
