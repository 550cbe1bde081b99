# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance becomes a copy of another host's, which has its rows and none of its secrets."""

from __future__ import annotations

import os
import subprocess
import time

SECRETS = ("ada.lovelace@lab.example", "pbkdf2_sha256$180000$bW9s$c2VjcmV0", "session0of0ada0session0of0ada000")
FILLED = f"""UPDATE auth_user SET email = '{SECRETS[0]}', password = '{SECRETS[1]}';
    INSERT INTO django_session VALUES ('{SECRETS[2]}', 'data', now() + interval '1 day');
    UPDATE class_instance SET name = 'ask {SECRETS[0]}' WHERE id = (SELECT max(id) FROM class_instance)"""
NODES = "SELECT count(*), sum(hashtextextended(id || '/' || location_x || '/' || creation_time, 0)) FROM ONLY treenode"
PATH = "/root/of another host"
WANTED = {"catmaid_clone_of": "catmaid", "catmaid_clone_confirm": "catmaid", "catmaid_clone_backup": PATH}
SETTINGS = "cat /opt/catmaid/current/source/django/projects/mysite/settings.py"
BESIDE = "catmaid_restore"
LIMIT = f"SELECT datconnlimit FROM pg_database WHERE datname = '{BESIDE}'"


def dump(instance, database: str = "catmaid") -> str:
    return instance.run(f"cd / && runuser -u postgres -- pg_dump {database}")


def test_a_copy_has_the_rows_and_no_secret(instances, play):
    original, copy = instances
    original.sql(FILLED)
    assert play("backup", "--limit", original.name, catmaid_backup_min_age="").rc == 0
    assert all(secret in dump(original) for secret in SECRETS)
    # It would be fetched from a target; here it comes by the shortest way.
    newest = original.run("ls -d /var/backups/catmaid/catmaid/catmaid_* | tail -n 1")
    copy.run(f"rm -rf '{PATH}'")
    scp = ["scp", "-q", "-3", "-r", "-F", os.environ["CATMAID_SSH_CONFIG"]]
    subprocess.run([*scp, f"{original.name}:{newest}", f"{copy.name}:{PATH}"], check=True)

    before = copy.run(SETTINGS), copy.sql(NODES)
    refused = play("clone", "--limit", copy.name, **WANTED)
    assert refused.rc != 0 and "it was no copy until now" in refused.messages(copy.name)
    assert refused.changed(copy.name) == []
    assert copy.run(SETTINGS) == before[0]

    # The control machine is gone while the rows come. What the host finishes by itself is no copy with secrets.
    running = play.start("clone", "--limit", copy.name, catmaid_clone_replace=True, **WANTED)
    while copy.sql(LIMIT, "postgres") != "0":
        assert running.poll() is None
        time.sleep(0.1)
    play.kill(running)
    deadline = time.monotonic() + 120
    while copy.sql(LIMIT, "postgres") == "0":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert [secret for secret in SECRETS if secret in dump(copy, BESIDE)] == []
    assert copy.get("/projects/")[0] == 200
    assert copy.sql(NODES) == before[1]

    done = play("clone", "--limit", copy.name, catmaid_clone_replace=True, catmaid_lock_wait=60, **WANTED)
    assert done.rc == 0, done.output
    assert BESIDE not in copy.databases()
    assert [secret for secret in SECRETS if secret in dump(copy)] == []
    assert not any(secret in done.output for secret in SECRETS)
    assert copy.sql(NODES) == original.sql(NODES)
    assert copy.sql("SELECT bool_and(title LIKE 'COPY: %') FROM project") == "t"
    assert copy.get("/projects/")[0] == 200
    assert "django.core.mail.backends.dummy.EmailBackend" in copy.run(SETTINGS)
