#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade_switch
short_description: Let another release serve, or leave everything as it was
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Stops the application, copies the database on its server, switches, migrates, starts, and asks the application. At
    the first failure all of it is undone, phase by phase.
  - The work is done on the host, by C(catmaid-admin) in a systemd unit of its own. It goes on when Ansible, the
    controller or the connection is gone, and this module only waits for its end.
  - A journal on the disk says how far it is. While it is there, the units of the instance do not start unless the job
    starts them. A unit that comes before them at boot, one that is started when the job was killed, and the next run
    finish or undo what was interrupted.
  - A database whose migrations are all applied is not copied, because nothing changes it.
  - Where a rehearsal (M(catmaid.admin.upgrade_rehearsal)) has shown that the migrations only add, they can be applied
    while the old release serves (O(mode)). Then one restart is all that people see, nothing is copied, and the way back
    puts back the code and leaves what was added.
  - Check mode finds out what would stop the job, and changes nothing.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
  - catmaid.admin.login
attributes:
  diff_mode:
    support: full
options:
  direction:
    description:
      - V(forward) goes to O(release).
      - V(back) takes the last upgrade back, as long as its copy of the database is kept.
      - V(recover) finishes or undoes what was interrupted, and changes nothing else.
      - V(verify) asks the release that serves what is asked after an upgrade, and fails unless all answers are right.
        It changes nothing.
    type: str
    choices: [forward, back, recover, verify]
    default: forward
  release:
    description: Folder of the release that is to serve, as M(catmaid.admin.checkout) has made it. Needed to go forward.
    type: path
  current:
    description: The link to the release that serves.
    type: path
    required: true
  state_dir:
    description: Folder of the journal, the history, the maintenance page and the evidence of failures. It must exist.
    type: path
    required: true
  services:
    description:
      - What runs the instance, in the order in which it starts. These are systemd units, or programs of supervisor as
        C(supervisor:group:program), C(supervisor:program) for one without a group, or C(supervisor:group:*) for all
        of a group.
    type: list
    elements: str
    required: true
  project_user:
    description: OS user that runs C(manage.py). Left out, it is the owner of the source code.
    type: str
  settings:
    description: Python module of the settings.
    type: str
    default: mysite.settings
  mode:
    description:
      - V(offline) migrates while the application is stopped.
      - V(online) migrates while the old release serves. It is refused unless a rehearsal of this very upgrade, with a
        backup not older than a day, has found no reason against it.
      - V(auto) goes online where that may be, and offline elsewhere, with the reasons in RV(offline_because).
    type: str
    choices: [offline, online, auto]
    default: offline
  lock_timeout:
    description: Seconds that a migration waits for a lock that somebody else holds.
    type: int
    default: 30
  lock_seconds:
    description:
      - Online no statement waits longer than that for a lock, since people wait behind it. It is tried again until
        O(lock_timeout) is over.
    type: float
    default: 2
  protect:
    description:
      - What brings the database back if the upgrade fails. It is needed only when there are migrations.
      - V(copy) is a copy on the server, made at the stop, file by file. It is back in a second, and can be kept. Where
        the disk has no room for it and there is a O(backup_dir), it becomes V(dump).
      - V(dump) is a verified backup that is made at the stop.
      - V(none) makes nothing at the stop. If the upgrade fails, the newest verified backup is restored, and what people
        have written since is lost. It wants O(unprotected) and a backup that is younger than O(backup_hours).
    type: str
    choices: [copy, dump, none]
    default: copy
  unprotected:
    description: Accept that with O(protect=none) a failed upgrade loses what was written since the newest backup.
    type: bool
    default: false
  backup_dir:
    description: Folder of the backups.
    type: path
  backup_hours:
    description: How old the newest verified backup may be for O(protect=none).
    type: float
    default: 24
  max_downtime:
    description:
      - Refuse to begin when copying the database will take more seconds than that, by what the last copy took.
      - With V(0) there is no limit.
    type: int
    default: 0
  keep_copy:
    description: For how many days a copy of the database is kept for a rollback. The first upgrade after that drops it.
    type: int
    default: 3
  confirm:
    description: Go back although people have written something since the upgrade.
    type: bool
    default: false
  maintenance:
    description: HTML of the page that visitors see meanwhile.
    type: str
    default: <!DOCTYPE html><title>Maintenance</title><p>CATMAID is being maintained.
  expected_seconds:
    description:
      - About how many seconds visitors will wait. A web site of this collection then says C(Retry-After) 10, 30, 60,
        300 or 900, and 60 when it is V(0).
    type: float
    default: 0
  site:
    description: Host name of the web site.
    type: str
    default: localhost
  web:
    description: Where the web server listens, as host and port.
    type: str
    default: 127.0.0.1:80
  url_prefix:
    description: Folder of the URL that it has the application in, such as V(/catmaid). At O(direct) there is none.
    type: str
    default: ""
  direct:
    description: Where the application itself listens, as C(unix:/path) or host and port.
    type: list
    elements: str
    default: []
  stats_socket:
    description:
      - Socket of uWSGI's setting C(stats), a path or C(host:port). The requests that it tells of are waited for before
        uWSGI is stopped, 30 seconds at most. Other servers wait for them by themselves.
    type: str
  hook:
    description:
      - A program on the host that is run by root at the beginning of each phase, with the phase as its argument.
      - If it fails, all is undone.
    type: path
  backup:
    description: Name of the backup that was made before, for the history.
    type: str
    default: ""
  requested_by:
    description: Who asks for it, for the history.
    type: str
    default: ""
  program:
    description: The program that M(catmaid.admin.command_line) has installed.
    type: path
    default: /usr/local/bin/catmaid-admin
requirements:
  - systemd
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.checkout
  - module: catmaid.admin.migrate
  - module: catmaid.admin.command_line
"""

EXAMPLES = r"""
- name: Let a prepared release serve
  catmaid.admin.upgrade_switch:
    login_db: catmaid
    release: /opt/catmaid/releases/2021.12.21
    current: /opt/catmaid/current
    state_dir: /var/lib/catmaid
    services: [catmaid]
    site: catmaid.example.org
    direct: [unix:/run/catmaid/wsgi.sock]

- name: Take it back
  catmaid.admin.upgrade_switch:
    login_db: catmaid
    direction: back
    current: /opt/catmaid/current
    state_dir: /var/lib/catmaid
    services: [catmaid]
    site: catmaid.example.org
"""

RETURN = r"""
from:
  description: What served before.
  returned: when something was done or would be
  type: str
  sample: 2020.02.15
to:
  description: What was to serve.
  returned: when something was done or would be
  type: str
  sample: 2021.12.21
undone:
  description: Whether it failed and was undone, so that what served before serves.
  returned: when something was done
  type: bool
seconds:
  description: Seconds of each phase.
  returned: when something was done
  type: dict
  sample: {"stop": 0.3, "protect": 1.2, "switch": 0.0, "migrate": 3.1, "start": 2.4, "verify": 0.4}
downtime:
  description: Seconds for which visitors saw the maintenance page.
  returned: when something was done
  type: float
  sample: 7.4
mode:
  description: How the database is migrated, V(online) or V(offline).
  returned: when something was done or would be
  type: str
offline_because:
  description: Why it does not go online.
  returned: when something was done or would be; empty unless O(mode=auto)
  type: list
  elements: str
kept_migrations:
  description: How many migrations the database keeps of an upgrade online that was undone. The old release works so.
  returned: when it was undone
  type: int
migrations:
  description: How many migrations were applied.
  returned: when there were any
  type: int
copy:
  description: Database with the state from before, if the upgrade changes the database. A rollback takes it.
  returned: when something was done or would be
  type: str
failed_database:
  description: Database with what a failed try has left, if there is one.
  returned: when it was undone
  type: str
ended_sessions:
  description:
    - Who was still connected to the database after the application had been stopped, and was ended.
    - With role, address, process, application, since when it was connected, and the time of its last statement.
  returned: when there were any
  type: list
  elements: str
  sample:
    - >-
      postgres from local (pid 4711, application notebook, connected since 2026-11-24 03:00:00+00,
      idle in transaction, last statement at 2026-11-24 03:10:00+00)
evidence:
  description: Folder with the logs and the journal of a failed try.
  returned: when it was undone
  type: str
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible, _progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import (
    checking,
    job,
    journal,
    online,
    options,
    request,
    rollback,
    starting,
    units,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.request import Request


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_ansible.lock_argument_spec(),
            **_ansible.login_argument_spec(),
            "direction": {"type": "str", "default": "forward", "choices": ["forward", "back", "recover", "verify"]},
            "release": {"type": "path"},
            "current": {"type": "path", "required": True},
            "state_dir": {"type": "path", "required": True},
            "services": {"type": "list", "elements": "str", "required": True},
            "project_user": {"type": "str"},
            "settings": {"type": "str", "default": "mysite.settings"},
            "mode": {"type": "str", "default": "offline", "choices": list(online.MODES)},
            "lock_timeout": {"type": "int", "default": 30},
            "lock_seconds": {"type": "float", "default": 2},
            "protect": {"type": "str", "default": "copy", "choices": ["copy", "dump", "none"]},
            "unprotected": {"type": "bool", "default": False},
            "backup_dir": {"type": "path"},
            "backup_hours": {"type": "float", "default": 24},
            "max_downtime": {"type": "int", "default": 0},
            "keep_copy": {"type": "int", "default": 3},
            "confirm": {"type": "bool", "default": False},
            "maintenance": {
                "type": "str",
                "default": "<!DOCTYPE html><title>Maintenance</title><p>CATMAID is being maintained.",
            },
            "expected_seconds": {"type": "float", "default": 0},
            "site": {"type": "str", "default": "localhost"},
            "web": {"type": "str", "default": "127.0.0.1:80"},
            "url_prefix": {"type": "str", "default": ""},
            "direct": {"type": "list", "elements": "str", "default": []},
            "stats_socket": {"type": "str"},
            "hook": {"type": "path"},
            "backup": {"type": "str", "default": ""},
            "requested_by": {"type": "str", "default": ""},
            "program": {"type": "path", "default": "/usr/local/bin/catmaid-admin"},
        },
        required_if=[
            ("direction", "forward", ["release"]),
            ("protect", "dump", ["backup_dir"]),
            ("protect", "none", ["backup_dir"]),
        ],
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    """Go where it was asked to."""
    params = module.params
    state_dir = params["state_dir"]
    if params["direction"] == "recover":
        interrupted = journal.load(state_dir) is not None
        if interrupted and not module.check_mode:
            told = job.recover(state_dir, lambda line: None)
            return {**told, "changed": True}
        return {"changed": interrupted}
    asked = options.parse(params, asdict(_ansible.server(params)))
    if params["direction"] == "verify":
        checking.serves(asked)
        return {"changed": False, "from": asked.old.describe, "to": asked.new.describe}
    if params["direction"] == "back":
        asked = rollback.ask(asked, confirmed=params["confirm"])
    elif asked.old.path == asked.new.path and not journal.load(state_dir) and not _pending(asked):
        return {"changed": False, "from": asked.old.describe, "to": asked.new.describe, "diff": _diff(asked, False)}
    if params["protect"] == request.NONE and not params["unprotected"]:
        cause = "without a copy or a dump, what people write after the last backup is lost if it fails"
        raise CatmaidError(asked.doing, cause, "Accept that (unprotected, catmaid_upgrade_confirm), or protect it.")
    # What would stop it is told before anything is written.
    prepared, reasons = job.choose(asked, params["mode"])
    asked = prepared.request
    told = {"changed": True, "from": asked.old.describe, "to": asked.new.describe, "diff": _diff(asked, True)}
    told.update(mode=online.ONLINE if asked.kind == request.ONLINE else online.OFFLINE, offline_because=reasons)
    if module.check_mode:
        return {**told, "copy": asked.copy if prepared.changes_database else ""}
    return {**carry_out(module, asked), **told}


def carry_out(module: AnsibleModule, asked: Request) -> dict[str, Any]:
    """Let the job do it, and wait for its end; raise what it failed by."""
    program = module.params["program"]
    units.install(asked.instance, units.wanted(asked.instance, asked.services, asked.state_dir, program))
    starting.start(asked, program)
    with _progress.reporting() as report:
        done = starting.wait(asked, report)
    for session in done.get("ended_sessions", []):
        module.warn(f"Somebody was still connected to {asked.database} after the stop, and was ended: {session}")
    if not done["ok"]:
        raise starting.failure(asked, done)
    return done


def _pending(asked: Request) -> bool:
    return job.prepare(asked).changes_database


def _diff(asked: Request, changed: bool) -> dict[str, Any]:
    after = asked.new if changed else asked.old
    return {"before": f"{asked.old.describe}\n", "after": f"{after.describe}\n"}


if __name__ == "__main__":
    main()
