# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was set up by hand is adopted, upgraded and taken back: under supervisor, in a folder of the URL, with a commit
of its own."""

from __future__ import annotations

import json
import re

import pytest
import yaml

pytestmark = pytest.mark.once("bookworm")

OLD, NEW = "2030.01.15", "2030.06.20"
SOURCE = "/srv/lab/my catmaid"
PROGRAM = "lab:our-catmaid"
MAKE = f"""set -e
cd /srv
test -x /usr/bin/supervisord || {{ apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq supervisor; }}
mkdir -p lab/media
git clone -q /srv/catmaid.git '{SOURCE}'
git -C '{SOURCE}' checkout -q -b ours {OLD}
echo 'We are here.' > '{SOURCE}/OURS.md'
git -C '{SOURCE}' add OURS.md
git -C '{SOURCE}' -c user.name=A -c user.email=a@example.org commit -q -m 'Say where we are'
cp -a /opt/catmaid/current/env lab/env
cat > '{SOURCE}/django/projects/mysite/settings.py' <<'END'
from mysite.settings_base import *
DATABASES = {{"default": {{"ENGINE": "custom_postgresql_psycopg2", "NAME": "fly", "USER": "fly", "PASSWORD": "f l'y",
                         "HOST": "localhost", "ATOMIC_REQUESTS": True}}}}
SECRET_KEY, ALLOWED_HOSTS, TIME_ZONE, CATMAID_URL = "fly", ["fly.test"], "UTC", "/fly/"
FORCE_SCRIPT_NAME = "/fly"
MEDIA_URL, MEDIA_ROOT = "/fly/files/", "/srv/lab/media"
STATIC_URL, STATIC_ROOT = "/fly/static/", "{SOURCE}/django/static"
END
chown -R catmaid: lab
chmod 0640 '{SOURCE}/django/projects/mysite/settings.py'
runuser -u postgres -- psql -Xqc "CREATE ROLE fly LOGIN PASSWORD 'f l''y'" -c 'CREATE DATABASE fly OWNER fly'
runuser -u postgres -- psql -Xqd fly -c 'CREATE EXTENSION postgis' -c 'CREATE EXTENSION pg_trgm'
cd '{SOURCE}/django/projects'
runuser -u catmaid -- /srv/lab/env/bin/python manage.py migrate --noinput > /dev/null
runuser -u catmaid -- env PATH=/srv/lab/env/bin:$PATH python manage.py collectstatic --noinput > /dev/null
cat > /etc/supervisor/conf.d/lab.conf <<'END'
[program:our-catmaid]
command = "/srv/lab/env/bin/python" -m gunicorn -b 127.0.0.1:8123 --chdir "{SOURCE}/django/projects" mysite.wsgi
directory = {SOURCE}/django/projects
environment = PATH="/srv/lab/env/bin:/usr/bin:/bin"
user = catmaid
[group:lab]
programs = our-catmaid
END
cd /srv
openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=fly.test -keyout lab/key.pem -out lab/site.pem 2> /dev/null
cat > /etc/nginx/sites-enabled/lab <<'END'
server {{
    listen 8077 ssl;
    ssl_certificate /srv/lab/site.pem;
    ssl_certificate_key /srv/lab/key.pem;
    server_name fly.test;
    location /fly/ {{ if (-f /var/lib/lab/maintenance.html) {{ return 503; }}
        proxy_set_header Host $host;
        proxy_pass http://127.0.0.1:8123/; }}
    location /fly/static/ {{ alias '{SOURCE}/django/static/'; }}
}}
END
nginx -s reload
systemctl restart supervisor"""
REMOVE = """supervisorctl stop all
rm -rf /srv/lab /opt/catmaid-admin /etc/supervisor/conf.d/lab.conf* /etc/nginx/sites-enabled/lab
rm -rf /var/lib/lab /var/backups/lab
rm -rf /etc/systemd/system/supervisor.service.d /etc/systemd/system/lab-our-catmaid*
systemctl daemon-reload; systemctl disable -q --now supervisor; nginx -s reload
for one in $(runuser -u postgres -- psql -XAtc "SELECT datname FROM pg_database WHERE datname LIKE 'fly%'"); do
  runuser -u postgres -- dropdb --force "$one"; done
runuser -u postgres -- dropuser fly"""


@pytest.fixture
def lab(instances, tmp_path):
    """Set something up by hand on each host, and return a folder with an inventory of them."""
    hosts = {instance.name: None for instance in instances}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"catmaid": {"hosts": hosts}}))
    try:
        for instance in instances:
            instance.run(MAKE)
        yield tmp_path
    finally:
        for instance in instances:
            instance.host.run(REMOVE)


def served(instance) -> str:
    """Return the version that is served, with all that belongs to a page."""
    page = "curl -sSfk -m 60 --retry 30 --retry-delay 1 --retry-all-errors -H 'Host: fly.test' https://127.0.0.1:8077"
    version = json.loads(instance.run(f"{page}/fly/version"))["SERVER_VERSION"]
    start = instance.run(f"{page}/fly/")
    (sheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', start)[:1]
    instance.run(f"{page}{sheet}")
    return version


def state(instance) -> tuple[str, str]:
    """Return what supervisor says of the program, and what a visitor is answered."""
    program = instance.host.run(f"supervisorctl status {PROGRAM}").stdout.split()[1]
    code = "curl -sk -m 60 -o /dev/null -w '%{http_code}' -H 'Host: fly.test' https://127.0.0.1:8077/fly/"
    return program, instance.run(code)


def test_it_is_upgraded_and_taken_back(play, instances, lab):
    shared = {"catmaid_state_dir": "/var/lib/lab", "catmaid_backup_dir": "/var/backups/lab"}
    adopt = {
        "catmaid_adopt_file": f"{lab}/host_vars/{{{{ inventory_hostname }}}}/adopted.yml",
        "catmaid_adopt_report": "",
        "catmaid_adopt_path": SOURCE,
    }
    here = ("-i", str(lab))
    before = {instance.name: served(instance) for instance in instances}
    assert all(version.startswith(f"{OLD}-1-g") for version in before.values())

    adopted = play("adopt", **adopt, **shared)
    assert adopted.rc == 0, adopted.output
    upgrade = {
        "catmaid_version": NEW,
        "catmaid_upgrade_local_commits": "rebase",
        "catmaid_upgrade_notes_acknowledged": NEW,
    }
    refused = play("upgrade", *here, **upgrade, **shared)
    assert refused.rc != 0
    for instance in instances:
        assert "docs/adopt.md" in refused.messages(instance.name)

    led = play("adopt", catmaid_adopt_lead=True, **adopt, **shared)
    assert led.rc == 0, led.output
    again = play("adopt", catmaid_adopt_lead=True, **adopt, **shared)
    assert (again.rc, [again.changed(instance.name) for instance in instances]) == (0, [[]] * len(instances))
    assert {instance.name: served(instance) for instance in instances} == before
    unneeded = play("upgrade", *here, **{**upgrade, "catmaid_version": OLD}, **shared)
    assert (unneeded.rc, [unneeded.changed(instance.name) for instance in instances]) == (0, [[]] * len(instances))

    done = play("upgrade", *here, **upgrade, **shared)
    assert done.rc == 0, done.output
    for instance in instances:
        assert served(instance).startswith(f"{NEW}-1-g")
        assert "RUNNING" in instance.run(f"supervisorctl status {PROGRAM}")
        assert instance.run("cat /opt/catmaid-admin/current/source/OURS.md") == "We are here."
        assert instance.run(f"git -c safe.directory='*' -C '{SOURCE}' describe") == before[instance.name]
        assert instance.sql("SELECT count(*) FROM django_migrations WHERE name LIKE '0006_add_deep%'", "fly") == "1"
    assert play("upgrade", "--tags", "verify", *here, **upgrade, **shared).rc == 0

    back = play("rollback", *here, catmaid_rollback_confirm="fly", **shared)
    assert back.rc == 0, back.output
    assert {instance.name: served(instance) for instance in instances} == before

    restore = {"catmaid_restore_confirm": "fly", "catmaid_lock_force": True, "catmaid_lock_wait": 120, **shared}
    for instance in instances:
        instance.sql("CREATE TABLE since_the_backup ()", "fly")
    killed = play.start("restore", *here, callback="default", **restore)
    assert any("Swap | Rename both databases" in line for line in killed.stdout)
    play.kill(killed)
    assert {state(instance) for instance in instances} == {("STOPPED", "503")}
    restored = play("restore", *here, **restore)
    assert restored.rc == 0, restored.output
    for instance in instances:
        assert state(instance) == ("RUNNING", "200")
        assert instance.sql("SELECT to_regclass('since_the_backup') IS NULL", "fly") == "t"
    assert {instance.name: served(instance) for instance in instances} == before
