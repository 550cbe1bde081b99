# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup tells what it holds, and nobody but root."""

from __future__ import annotations

import json


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


def test_what_is_fresh_is_not_rebuilt_and_what_is_empty_is(instances, play):
    play("rebuild")
    again = play("rebuild")
    assert [again.changed(instance.name) for instance in instances] == [[]] * len(instances)
    for instance in instances:
        instance.sql("TRUNCATE treenode_edge")
    predicted = play("rebuild", "--check")
    result = play("rebuild")
    for instance in instances:
        assert predicted.changed(instance.name) == result.changed(instance.name) != []
        assert instance.sql("SELECT count(*) FROM treenode_edge") == "10000"
        told = result.results(instance.name)["catmaid_rebuild"]
        assert (told["ok"], told["rebuilt"]) == (True, ["edges"]) and told["seconds"] > 0
    assert predicted.results(instances[0].name) == {}


def test_whether_a_database_is_sound_is_said_and_mended(instances, play):
    for instance in instances:
        instance.sql("TRUNCATE connector_geom")
    unsound = play("integrity")
    assert unsound.rc != 0
    for instance in instances:
        assert "connector_geom: 500 rows missing" in unsound.messages(instance.name)
        told = unsound.results(instance.name)["catmaid_integrity"]
        assert not told["ok"] and "connector_geom: 500 rows missing" in str(told["faults"])
    mended = play("integrity", catmaid_integrity_mend=True)
    assert mended.rc == 0
    for instance in instances:
        assert mended.changed(instance.name) != []
        told = mended.results(instance.name)["catmaid_integrity"]
        assert (told["ok"], told["faults"], len(told["mended"])) == (True, [], 1)
        assert instance.sql("SELECT count(*) FROM connector_geom") == "500"


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
