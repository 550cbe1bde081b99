# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections are kept where the application uses them again, and nowhere else."""

from __future__ import annotations

import json

WANTED = {"catmaid_app_settings_database": {"CONN_MAX_AGE": 60}, "catmaid_app_settings_probe": True}
SETTINGS = "/opt/catmaid/current/source/django/projects/mysite/settings.py"
# The host with gunicorn alone: what runs beside it has connections as well, and they are not the probe's.
THERE = ("--limit", "catmaid-bookworm")
VERDICT = "/var/lib/catmaid/connection-probe.json"
UNIT = "/run/systemd/system/catmaid.service.d"

# What greenlets do to Django: each request has a thread of its own, with a connection that nobody else gets.
WORKER = """
import threading
from gunicorn.workers.sync import SyncWorker

class Worker(SyncWorker):
    def handle_request(self, *arguments):
        done = threading.Event()
        threading.Thread(target=self.serve, args=(done, arguments), daemon=True).start()
        done.wait()

    def serve(self, done, arguments):
        try:
            super().handle_request(*arguments)
        finally:
            done.set()
            threading.Event().wait()
"""


def age(instance) -> str:
    """Return the CONN_MAX_AGE that the file sets."""
    return instance.run(f"sed -n 's/.*CONN_MAX_AGE.* = //p' {SETTINGS}")


def verdict(instance) -> dict:
    return json.loads(instance.run(f"cat {VERDICT}"))


def test_connections_are_kept_where_they_are_used_again(instances, play):
    instances = instances[:1]
    for instance in instances:
        instance.run(f"rm -f {VERDICT}")
    done = play("app_settings", *THERE, **WANTED)
    assert done.rc == 0, done.output
    again = play("app_settings", *THERE, **WANTED)
    for instance in instances:
        found = verdict(instance)
        assert (found["good"], age(instance)) == (True, "60"), found
        assert [told["sessions"] <= 2 for told in found["rounds"]] == [True] * 5
        assert "CONN_MAX_AGE 60 stays" in str(done.tasks(instance.name))
        assert again.changed(instance.name) == []


def test_they_are_not_where_each_request_brings_another(instances, play):
    instances = instances[:1]
    for instance in instances:
        instance.run(f"mkdir -p {UNIT} /opt/leaking && rm {VERDICT}")
        instance.run(f"cat > /opt/leaking/leaking.py <<'E'\n{WORKER}\nE")
        start = instance.run("sed -n 's/^ExecStart=//p' /etc/systemd/system/catmaid.service")
        leaking = start.replace("gunicorn ", "gunicorn --pythonpath /opt/leaking --worker-class leaking.Worker ", 1)
        instance.run(f"printf '[Service]\\nExecStart=\\nExecStart={leaking}\\n' > {UNIT}/leaking.conf")
        instance.run("systemctl daemon-reload && systemctl restart catmaid")
    try:
        done = play("app_settings", *THERE, **WANTED)
        again = play("app_settings", *THERE, **WANTED)
        assert (done.rc, again.rc) == (0, 0), done.output
        for instance in instances:
            found = verdict(instance)
            assert (found["good"], age(instance)) == (False, "0"), found
            assert found["rounds"][-1]["sessions"] > 2
            assert "CONN_MAX_AGE is 0" in str(done.tasks(instance.name))
            assert again.changed(instance.name) == []
            assert instance.get("/projects/")[0] == 200
    finally:
        for instance in instances:
            instance.run(f"rm -rf {UNIT} {VERDICT} && systemctl daemon-reload && systemctl restart catmaid")
        assert play("app_settings", *THERE, catmaid_app_settings_state="absent").rc == 0
