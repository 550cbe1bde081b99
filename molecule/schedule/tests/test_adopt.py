# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody has set up by hand is adopted, and backed up by the variables that this has written."""

from __future__ import annotations

import json

import pytest
import yaml

pytestmark = pytest.mark.once("trixie")

SOURCE = "/srv/lab/my catmaid"
ROOT = "/opt/catmaid-admin"
CRON = "/etc/cron.d/our-dumps"
# A check cannot write into a folder that is yet to be made.
NOTE = "Links | Note which release it is"
SECRET = "what nobody may see"
LINE = f'0 3 * * * root PGPASSWORD="{SECRET}" pg_dump --clean catmaid -f "/srv/lab/catmaid_$(date +\\%Y\\%m).sql"'
MAKE = f"""set -e
mkdir -p /srv/lab/env/bin /srv/lab/media
ln -s /usr/bin/python3 /srv/lab/env/bin/python
echo 'home = /usr/bin' > /srv/lab/env/pyvenv.cfg
python3 -c 'import platform; print("version =", platform.python_version())' >> /srv/lab/env/pyvenv.cfg
git clone -q --branch 2030.01.15 /srv/catmaid.git '{SOURCE}'
git -C '{SOURCE}' -c user.name=A -c user.email=a@example.org commit -q --allow-empty -m 'Ours'
cat > '{SOURCE}/django/projects/mysite/settings.py' <<'END'
from mysite.settings_base import *
DATABASES = {{"default": {{"NAME": "catmaid", "USER": "catmaid", "PASSWORD": "{SECRET}", "HOST": "localhost"}}}}
ALLOWED_HOSTS = ["fly.example.org"]
MEDIA_ROOT = "/srv/lab/media"
END
cat > /etc/systemd/system/our-catmaid.service <<'END'
[Service]
User=catmaid
WorkingDirectory={SOURCE}/django/projects
ExecStart=/srv/lab/env/bin/gunicorn --bind 127.0.0.1:8123 mysite.wsgi
END
cat > {CRON} <<'END'
{LINE}
END
chown -R catmaid: /srv/lab"""
REMOVE = f"rm -rf /srv/lab {ROOT} {CRON} /etc/systemd/system/our-catmaid.service"


@pytest.fixture
def lab(instances, tmp_path):
    """Set something up by hand on each host, and return a folder with an inventory of them."""
    for instance in instances:
        instance.run(MAKE)
    hosts = {instance.name: None for instance in instances}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"catmaid": {"hosts": hosts}}))
    yield tmp_path
    for instance in instances:
        instance.run(REMOVE)


def test_a_lab_adopts_it_and_backs_it_up(play, instances, lab):
    named = {
        "catmaid_adopt_file": f"{lab}/host_vars/{{{{ inventory_hostname }}}}/adopted.yml",
        "catmaid_adopt_report": f"{lab}/reports",
        "catmaid_adopt_path": SOURCE,
    }
    checked = play("adopt", "--check", "--diff", **named)
    assert checked.rc == 0, checked.output
    assert not (lab / "host_vars").exists()

    done = play("adopt", "--diff", **named)
    assert done.rc == 0, done.output
    assert SECRET not in checked.output + done.output
    for instance in instances:
        changed = [task for task in done.changed(instance.name) if not task.endswith(NOTE)]
        assert checked.changed(instance.name) == changed
        text = (lab / "host_vars" / instance.name / "adopted.yml").read_text()
        written = yaml.safe_load(text)
        assert SECRET not in text
        assert written["catmaid_subdirectory"] == ""
        assert (written["catmaid_root"], written["catmaid_server_name"]) == (ROOT, "fly.example.org")
        assert (written["catmaid_version"], written["catmaid_repository"]) == ("2030.01.15", "/srv/catmaid.git")
        assert written["catmaid_upgrade_services"] == ["our-catmaid.service"]
        assert written["catmaid_upgrade_direct"] == ["127.0.0.1:8123"]
        assert written["catmaid_upgrade_guard_stats_socket"] == ""  # or uWSGI's would be asked where ours has it
        report = (lab / "reports" / f"{instance.name}.md").read_text()
        assert "1 commits were made here" in report
        assert "PGPASSWORD=******** pg_dump --clean catmaid" in report
        assert SECRET not in report

    again = play("adopt", **named)
    assert (again.rc, {instance.name: again.changed(instance.name) for instance in instances}) == (
        0, {instance.name: [] for instance in instances},
    )  # fmt: skip

    backed_up = play("backup", "-i", str(lab), catmaid_backup_dir="/var/backups/adopted")
    assert backed_up.rc == 0, backed_up.output
    for instance in instances:
        manifest = json.loads(instance.run("cat /var/backups/adopted/catmaid/catmaid_*/manifest.json"))
        assert manifest["verified"]
        assert manifest["source"]["commit"] == instance.run(f"git -c safe.directory='*' -C '{SOURCE}' rev-parse HEAD")
        instance.run("rm -r /var/backups/adopted")


def test_what_somebody_has_written_stays_and_old_dumps_are_retired(play, instances, lab):
    own = lab / "own.yml"
    named = {"catmaid_adopt_file": str(own), "catmaid_adopt_report": "", "catmaid_adopt_path": SOURCE}
    own.write_text("catmaid_python: /ours\n")
    refused = play("adopt", catmaid_adopt_root="/srv/lab/root", **named)
    assert refused.rc != 0
    for instance in instances:
        assert "It was left as it is" in refused.messages(instance.name)
        assert instance.run(f"cat {CRON}").strip() == LINE
        assert not instance.host.file("/srv/lab/root").exists
    assert own.read_text() == "catmaid_python: /ours\n"

    named["catmaid_adopt_file"] = f"{lab}/{{{{ inventory_hostname }}}}.yml"
    for instance in instances:
        (lab / f"{instance.name}.yml").write_text("catmaid_python: /ours\n")
    more = {
        "catmaid_adopt_overwrite": True,
        "catmaid_adopt_retire_dumps": True,
        "catmaid_adopt_virtualenv": "/srv/lab/env",
    }
    done = play("adopt", "--diff", "-vvv", catmaid_adopt_root="/srv/lab/root", **more, **named)
    assert done.rc == 0, done.output
    assert SECRET not in done.output
    for instance in instances:
        assert yaml.safe_load((lab / f"{instance.name}.yml").read_text())["catmaid_root"] == "/srv/lab/root"
        assert list(lab.glob(f"{instance.name}.yml.*"))
        assert instance.run(f"cat {CRON}").strip() == f"# retired by catmaid.admin: {LINE}"
        assert instance.run("readlink /srv/lab/root/media") == "/srv/lab/media"
    assert not any(
        play("adopt", catmaid_adopt_root="/srv/lab/root", **more, **named).changed(one.name) for one in instances
    )
