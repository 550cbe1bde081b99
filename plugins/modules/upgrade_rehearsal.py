#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade_rehearsal
short_description: Migrate a copy of the database with a prepared release, before the instance is touched
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Restores a backup of M(catmaid.admin.pg_dump) into a new database on the same server, applies the migrations of the
    release to it, lets the new and the old release answer from it, and drops it. The old release serves meanwhile.
  - Tells how long each migration takes and predicts how long people will wait. Fails when a migration does, or when
    the new release does not work afterwards.
  - Finds out whether the migrations only add, so that they could be applied while the old release serves. What the
    database is made of is compared before and after, and so are rows that were changed; the locks are looked at in the
    migration's own session. Every reason against it is in RV(objections).
  - What it has found is kept in O(state_dir), for M(catmaid.admin.upgrade_plan) and M(catmaid.admin.upgrade_switch).
  - A database that a killed rehearsal has left is dropped by the next one.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
attributes:
  check_mode:
    details:
      - In check mode the backup is read to its last byte, and room, roles and extensions are looked at.
  diff_mode:
    support: none
    details:
      - It changes nothing of the instance.
options:
  release:
    description: Folder of the release that is to serve, as M(catmaid.admin.checkout) has made it.
    type: path
    required: true
  current:
    description: The link to the release that serves.
    type: path
    required: true
  state_dir:
    description: Folder of the instance. It must exist.
    type: path
    required: true
  project_user:
    description: OS user that runs C(manage.py). Left out, it is the owner of the source code.
    type: str
  settings:
    description: Python module of the settings.
    type: str
    default: mysite.settings
  backup:
    description: Path of the backup. Without it, the newest verified one of the database in O(backup_dir).
    type: path
  backup_dir:
    description: Folder of the backups.
    type: path
  protect:
    description: What will protect the database, as in O(catmaid.admin.upgrade_switch#module:protect).
    type: str
    choices: [copy, dump, none]
    default: copy
  mode:
    description:
      - Whether the upgrade is to go online, as in O(catmaid.admin.upgrade_switch#module:mode).
      - With V(online) it fails when there are RV(objections).
    type: str
    choices: [offline, online, auto]
    default: offline
  optional:
    description:
      - Do without a rehearsal where there is no backup, or no room for its copy. RV(objections) say so.
    type: bool
    default: false
  reuse_hours:
    description:
      - Let the last rehearsal count if it was of this very upgrade, of the migrations that are pending now, and its
        backup is not older than that. V(0) always rehearses.
      - Only with O(mode=offline). Whether an upgrade may go online is rehearsed each time.
    type: float
    default: 0
  lock_timeout:
    description: Seconds that a migration waits for a lock.
    type: int
    default: 30
  lock_seconds:
    description: For how many seconds a migration may keep people from a table if it is to be applied online.
    type: float
    default: 2
  max_downtime:
    description: Fail when people would wait for more seconds than that. With V(0) there is no limit.
    type: int
    default: 0
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.upgrade_plan
  - module: catmaid.admin.upgrade_switch
  - module: catmaid.admin.drill
"""

EXAMPLES = r"""
- name: See how long the migrations of a prepared release take
  catmaid.admin.upgrade_rehearsal:
    login_db: catmaid
    release: /opt/catmaid/releases/2021.12.21
    current: /opt/catmaid/current
    state_dir: /var/lib/catmaid
    backup_dir: /var/backups/catmaid
  register: catmaid_rehearsal
"""

RETURN = r"""
rehearsed:
  description: Whether it took place. It does not where no migration is pending.
  returned: success
  type: bool
reused:
  description: Whether it took place before and counts (O(reuse_hours)). How long people will wait is predicted anew.
  returned: success
  type: bool
online:
  description: Whether the migrations can be applied while the old release serves.
  returned: success, outside check mode
  type: bool
objections:
  description: Why they cannot.
  returned: success, outside check mode
  type: list
  elements: str
  sample: ["catmaid.0099_make_concept_ids_64_bit locks treenode for 41.0 s (AccessExclusiveLock), more than 2 s"]
migrations:
  description: What each migration did, in order.
  returned: when it took place
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    seconds:
      description: How long it took.
      type: float
    locks:
      description: Tables that people could not use, or not write to, with the mode of lock and for how many seconds.
      type: list
      elements: dict
    changes:
      description: Tables of which it has changed or deleted rows.
      type: list
      elements: str
seconds:
  description: Seconds of each step of the rehearsal.
  returned: when it took place
  type: dict
  sample: {"restore": 44.1, "migrate": 5.0, "ask": 6.2}
predicted:
  description: For how many seconds people will wait, by part; C(downtime) is their sum, C(online) what is left online.
  returned: when it took place
  type: dict
  sample: {"stop": 0.4, "protect": 2.1, "migrate": 5.0, "start": 2.2, "verify": 0.3, "downtime": 10.0, "online": 2.9}
grown:
  description: Bytes by which the migrations make the database larger.
  returned: when it took place
  type: int
backup:
  description: Name of the backup that it was done with.
  returned: when it took place
  type: str
summary:
  description: All of it for people, line by line.
  returned: success
  type: list
  elements: str
"""

import os
import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import (
    online,
    prediction,
    rehearsal,
    rehearsed,
    request,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.rehearsed import Rehearsal
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.request import Request


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            "release": {"type": "path", "required": True},
            "current": {"type": "path", "required": True},
            "state_dir": {"type": "path", "required": True},
            "project_user": {"type": "str"},
            "settings": {"type": "str", "default": "mysite.settings"},
            "backup": {"type": "path"},
            "backup_dir": {"type": "path"},
            "protect": {"type": "str", "default": "copy", "choices": ["copy", "dump", "none"]},
            "mode": {"type": "str", "default": "offline", "choices": list(online.MODES)},
            "optional": {"type": "bool", "default": False},
            "reuse_hours": {"type": "float", "default": 0},
            "lock_timeout": {"type": "int", "default": 30},
            "lock_seconds": {"type": "float", "default": 2},
            "max_downtime": {"type": "int", "default": 0},
        },
        required_one_of=[("backup", "backup_dir")],
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: rehearse(module))


def rehearse(module: AnsibleModule) -> dict[str, Any]:
    """Rehearse, unless there is nothing to rehearse."""
    params = module.params
    asked = ask(params)
    plan = rehearsal.pending(asked)
    if not plan.steps:
        summary = ["No migrations, nothing to rehearse."]
        told = {"rehearsed": False, "reused": False, "online": True, "objections": [], "summary": summary}
        return {"changed": False, **told}
    if params["mode"] == online.OFFLINE:
        known = rehearsal.known(asked, plan, params["reuse_hours"])
        if known:
            return tell(asked, known, params["mode"], reused=True)
    try:
        wanted = rehearsal.Wanted(asked, rehearsal.choose(asked, params["backup"] or ""), params["lock_seconds"])
        rehearsal.check_room(wanted)
    except CatmaidError as error:
        if not params["optional"]:
            raise
        reasons = [f"it cannot be rehearsed: {error.cause}"]
        told = {"rehearsed": False, "reused": False, "online": False, "objections": reasons, "summary": reasons}
        return {"changed": False, **told}
    if module.check_mode:
        rehearsal.check(wanted)
        summary = [f"Would rehearse with {wanted.backup.id}."]
        return {"changed": False, "rehearsed": False, "reused": False, "summary": summary}
    return tell(asked, rehearsal.run(wanted, module.log), params["mode"], reused=False)


def tell(asked: Request, found: Rehearsal, mode: str, *, reused: bool) -> dict[str, Any]:
    """Return what was found; raise where that forbids the upgrade."""
    if mode == online.ONLINE:
        online.check(asked, found.objections)
    goes_online = mode != online.OFFLINE and not found.objections
    prediction.refuse(asked, found.predicted["online" if goes_online else "downtime"])
    told = {"rehearsed": True, "reused": reused, "online": not found.objections, "summary": rehearsed.summary(found)}
    return {"changed": False, **found.told(), **told}


def ask(params: dict[str, Any]) -> Request:
    """Return the upgrade that is to be rehearsed."""
    names = ("state_dir", "current", "settings", "protect", "lock_timeout", "max_downtime")
    return Request(
        id=time.strftime(request.STAMP, time.gmtime()),
        kind=request.UPGRADE,
        instance="",
        services=[],
        old=request.release(os.path.realpath(params["current"])),
        new=request.release(params["release"]),
        database=params["login_db"],
        login=asdict(_ansible.server(params)),
        project_user=params["project_user"] or "",
        backup_dir=params["backup_dir"] or "",
        **{name: params[name] for name in names},
    )


if __name__ == "__main__":
    main()
