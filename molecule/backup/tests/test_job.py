# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's whole job: which databases, by whom, what becomes of old backups, and what when many rows are gone."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.once("trixie")

FOLDER = "/var/backups/catmaid"
SECRET = "s3kr1t of the store"
KEPT = "catmaid_before_restore_20261123t031500"
LAST = {"catmaid_backup_keep": {"last": 1}}


def ids(instance, folder: str = f"{FOLDER}/catmaid") -> list[str]:
    return instance.run(f"find {folder} -maxdepth 1 -name '*_2*Z_*' -printf '%f\\n' | sort").splitlines()


def results(result, instance, task: str) -> list[dict]:
    """Return what a task said of each database."""
    return next(found for name, found in result.tasks(instance.name) if name.endswith(task))["results"]


@pytest.fixture
def other(instances):
    """A small database beside the instance's own on each host, whose name needs quotes, and one that a restore left."""
    name = "o'ther one"
    for instance in instances:
        instance.sql(f'CREATE DATABASE "{KEPT}"', "postgres")
        instance.sql(f'CREATE DATABASE "{name}"', "postgres")
        instance.sql("CREATE TABLE treenode AS SELECT generate_series(1, 1000) AS id", name)
    yield name
    for instance in instances:
        instance.sql(f'DROP DATABASE "{KEPT}"', "postgres")
        instance.sql(f'DROP DATABASE "{name}"', "postgres")


def test_old_backups_go_as_a_check_said(instances, play):
    """With those that the backup, which it only predicted, pushes out, here and on a target."""
    shelf = {"name": "shelf", "backend": "local", "path": "/srv/shelf", "encrypt": False, "keep_last": 1}
    assert play("backup").rc == 0
    for instance in instances:
        assert len(ids(instance)) >= 2
        instance.run("rm -rf /srv/shelf")
    keep = {**LAST, "catmaid_backup_targets": [shelf]}
    predicted = play("backup", "--check", **keep)
    before = {instance: ids(instance) for instance in instances}
    result = play("backup", **keep)
    again = play("backup", catmaid_backup_min_age="1h", **keep)
    for instance in instances:
        steps = ("Make a verified backup", "Copy backups off the host", "Let old backups go")
        assert [name.rpartition(" : ")[2] for name in result.changed(instance.name)] == list(steps)
        assert predicted.changed(instance.name) == result.changed(instance.name)
        (new,) = ids(instance)
        told = [results(p, instance, "Let old backups go")[0]["gone"] for p in (predicted, result)]
        assert [gone["id"] for gone in told[0]] == [gone["id"] for gone in told[1]] == before[instance]
        (there,) = instance.run("find /srv/shelf -name '*.tar' -printf '%f\\n'").splitlines()
        assert there == f"{new}.tar"
        copied = [
            results(p, instance, "Copy backups off the host")[0]["targets"][0]["copied"] for p in (predicted, result)
        ]
        assert [len(made) for made in copied] == [1, 1]
        assert again.changed(instance.name) == []


def test_all_databases_are_backed_up_and_copied(instances, play, other):
    for instance in instances:
        instance.run("rm -rf /srv/offsite /root/key /root/recipient && age-keygen -o /root/key 2>/dev/null")
        instance.run("age-keygen -y /root/key > /root/recipient && echo seen > /opt/catmaid/media/one")
    targets = [{"name": "shelf", "backend": "local", "path": "/srv/offsite", "keep_last": 2}]
    encryption = {"method": "age", "recipients_files": ["/root/recipient"]}
    result = play(
        "backup",
        catmaid_backup_databases="all",
        catmaid_backup_media=True,
        catmaid_backup_files=["/opt/catmaid/secrets"],
        catmaid_backup_targets=targets,
        catmaid_backup_encryption=encryption,
    )
    assert result.rc == 0, result.output
    for instance in instances:
        made = {r["item"]: r["id"] for r in results(result, instance, "Make a verified backup")}
        assert set(made) == {"catmaid", other}  # and none that restores keep
        copies = instance.run("find /srv/offsite -name '*.tar.age' -printf '%f\\n'").splitlines()
        assert set(copies) >= {f"{name}.tar.age" for name in made.values()}
        beside = json.loads(instance.run(f"cat {FOLDER}/catmaid/{made['catmaid']}/manifest.json"))["extras"]
        assert {extra["kind"]: extra["encrypted"] for extra in beside} == {"media": "none", "files": "age"}
        listed = instance.run(f"zstd -dc {FOLDER}/catmaid/{made['catmaid']}/media.tar.zst | tar -t")
        assert "one" in listed.replace("./", "").splitlines()
        opened = instance.run(f"age -d -i /root/key /srv/offsite/catmaid/{made['catmaid']}.tar.age | tar -t")
        assert "manifest.json" in opened


def test_what_the_dump_is_asked_for_reaches_it(instances, play):
    wanted = {
        "catmaid_backup_compression": "gzip",
        "catmaid_backup_compression_level": 1,
        "catmaid_backup_exclude_table_data": ["treenode__history"],
        "catmaid_backup_exclude_tables": ["django_session"],
        "catmaid_backup_globals": False,
        "catmaid_backup_fingerprint": False,
        "catmaid_backup_prune": False,
    }
    refused = play("backup", **wanted)
    assert refused.rc != 0
    result = play("backup", catmaid_backup_allow_incomplete=True, **wanted)
    assert result.rc == 0, result.output
    for instance in instances:
        (told,) = results(refused, instance, "Make a verified backup")
        assert "treenode__history" in told["msg"]
        (made,) = results(result, instance, "Make a verified backup")
        folder = f"{FOLDER}/catmaid/{made['id']}"
        manifest = json.loads(instance.run(f"cat {folder}/manifest.json"))
        compression = manifest["dump"]["compression"]
        assert (compression["method"], compression["level"]) == ("gzip", 1)
        assert manifest["dump"]["jobs"] == min(4, int(instance.run("nproc")))
        assert manifest["globals"] is None
        left = {entry["name"]: entry["what"] for entry in manifest["left_out"]}
        assert (left["treenode__history"], left["django_session"]) == ("rows", "table")
        instance.run(f"rm -r {folder}")


def test_a_lock_is_waited_for_as_long_as_was_said(instances, play):
    for instance in instances:
        instance.run(
            "systemd-run --quiet --unit=holder runuser -u postgres -- psql -Xq catmaid"
            " -c 'BEGIN; LOCK TABLE treenode; SELECT pg_sleep(600)'"
        )
        instance.run("until pgrep -f 'LOCK TABLE treenode; [S]ELECT' >/dev/null; do sleep 0.1; done; sleep 1")
    result = play("backup", catmaid_backup_lock_wait_timeout=1)
    for instance in instances:
        instance.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%'")
        instance.run("until ! systemctl is-active --quiet holder.service; do sleep 0.1; done; systemctl reset-failed")
    assert result.rc != 0
    for instance in instances:
        (told,) = results(result, instance, "Make a verified backup")
        assert "no lock within 1 s" in told["msg"]


def test_one_that_fails_keeps_no_other_from_its_turn(instances, play, other):
    shelf = {"name": "shelf", "backend": "local", "path": "/srv/turns", "encrypt": False}
    wanted = {**LAST, "catmaid_backup_targets": [shelf], "catmaid_backup_databases": ["no such", "catmaid", other]}
    predicted = play("backup", "--check", **wanted)
    result = play("backup", **wanted)
    assert (predicted.rc, result.rc) == (2, 2)
    for instance in instances:
        for found in (predicted, result):
            messages = found.messages(instance.name).splitlines()
            assert 'database "no such" does not exist' in messages[-1]
            assert found.changed(instance.name) == result.changed(instance.name)
        for folder in ("catmaid", "o%27ther%20one"):
            (made,) = ids(instance, f'"{FOLDER}/{folder}"')
            instance.run(f"test -e '/srv/turns/{folder}/{made}.tar'")
        instance.run("rm -r /srv/turns")


def test_a_backup_that_lost_rows_is_kept_and_fails(instances, play, other):
    wanted = {"catmaid_backup_databases": [other]}
    assert play("backup", **wanted).rc == 0
    for instance in instances:
        instance.sql("DELETE FROM treenode WHERE id > 100", other)
    result = play("backup", **wanted, **LAST)
    assert result.rc != 0
    for instance in instances:
        (told,) = results(result, instance, "Make a verified backup")
        assert "public.treenode had 1000 rows and has 100 (90.0 % less)" in told["msg"]
        made = ids(instance, f'"{FOLDER}/o%27ther%20one"')
        assert len(made) >= 2  # none has gone
        manifest = json.loads(instance.run(f"cat '{FOLDER}/o%27ther%20one/{made[-1]}/manifest.json'"))
        assert manifest["verified"] is True
        assert [(s["table"], s["after"]) for s in manifest["suspicious"]] == [("treenode", 100)]


# A copy of the newest backup that was made a moment later, and that somebody has to doubt
DOUBTFUL = """
import json, os, shutil, sys
folder = sys.argv[1]
manifest = json.load(open(f"{folder}/manifest.json"))
new = folder + ".9"
shutil.copytree(folder, new)
manifest["id"] = os.path.basename(new)
manifest["finished"] = manifest["finished"][:-8] + "999999Z"
manifest["suspicious"] = [{"schema": "public", "table": "treenode", "before": 10000, "after": 1, "percent": 100.0}]
json.dump(manifest, open(f"{new}/manifest.json", "w"))
"""


def test_a_doubtful_backup_is_not_the_latest_to_restore(instances, play):
    newest = {instance: f"{FOLDER}/catmaid/{ids(instance)[-1]}" for instance in instances}
    for instance, folder in newest.items():
        instance.run(f"python3 -c '{DOUBTFUL}' {folder}")
    result = play("restore", "--check", catmaid_restore_confirm="catmaid")
    for instance, folder in newest.items():
        instance.run(f"rm -r {folder}.9")
        chosen = next(found for name, found in result.tasks(instance.name) if name.endswith("Choose one"))
        assert chosen["ansible_facts"]["__catmaid_restore_archive"] == folder


def test_no_secret_of_a_target_is_shown(instances, play):
    store = {
        "name": "store",
        "backend": "s3",
        "options": {"provider": "Other", "endpoint": "http://127.0.0.1:9", "access_key_id": "somebody"},
        "secrets": {"secret_access_key": SECRET},
        "path": "bucket/backups",
        "encrypt": False,
    }
    result = play("backup", "-vvv", callback="default", catmaid_backup_min_age="1h", catmaid_backup_targets=[store])
    assert result.rc != 0
    assert "store" in result.output
    assert SECRET not in result.output
