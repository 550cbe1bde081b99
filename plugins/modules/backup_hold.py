#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_hold
short_description: Keep a backup, or accept a suspicious one
version_added: 1.0.0
description:
  - A backup that is held stays, whatever the rules of M(catmaid.admin.backup_prune) say.
  - A backup that lost many rows since the one before it is marked suspicious by M(catmaid.admin.pg_dump). It stays, it
    counts for no rule, and while it is the newest nothing is pruned. To accept it says that its contents are right.
  - It stands in the file C(holds.json) beside the backups. The backups themselves are never changed.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  dest:
    description: Folder that holds the backups of all databases, as in O(catmaid.admin.pg_dump#module:dest).
    type: path
    required: true
  database:
    description: Name of the database that was backed up.
    type: str
    required: true
  id:
    description: Name of the backup.
    type: str
    required: true
  state:
    description:
      - V(present) holds the backup, V(absent) holds it no longer.
      - V(accepted) says that its contents are right although it was marked suspicious.
    type: str
    default: present
    choices: [present, absent, accepted]
  reason:
    description: Why, for those who read it later.
    type: str
    default: ""
  requested_by:
    description: Who decided that.
    type: str
    default: ""
seealso:
  - module: catmaid.admin.backup_prune
  - module: catmaid.admin.backup_info
"""

EXAMPLES = r"""
- name: Keep the backup from before the migration for good
  catmaid.admin.backup_hold:
    dest: /var/backups/catmaid
    database: catmaid
    id: catmaid_20261123T030000Z_2021.12.21
    reason: last state with the old tracing project

- name: The project was deleted on purpose
  catmaid.admin.backup_hold:
    dest: /var/backups/catmaid
    database: catmaid
    id: catmaid_20261124T030000Z_2021.12.21
    state: accepted
    reason: test project 7 was deleted
"""

RETURN = r"""
held:
  description: The backups of this database that are held, by name.
  returned: success
  type: list
  elements: str
  sample: [catmaid_20261123T030000Z_2021.12.21]
accepted:
  description: The backups of this database whose contents were accepted, by name.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import holds, status, store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "database": {"type": "str", "required": True},
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent", "accepted"]},
            "reason": {"type": "str", "default": ""},
            "requested_by": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    name, reason = params["id"], params["reason"]
    folder = store.folder(params["dest"], params["database"])
    what = holds.ACCEPTED if params["state"] == "accepted" else holds.HELD
    notes = holds.check(folder)
    entry = notes.entries.get(what, {}).get(name)
    before = {name: entry.get("reason", "") if entry is not None else None}
    if params["state"] == "absent":
        changed, after = entry is not None, {name: None}
        if changed and not module.check_mode:
            holds.forget(folder, what, name)
    else:
        check_is_there(params["dest"], params["database"], name)
        # Without a reason the one that was given before stays.
        changed, after = entry is None or bool(reason and reason != before[name]), {name: reason or before[name] or ""}
        if changed and not module.check_mode:
            holds.note(folder, what, name, reason, params["requested_by"])
            status.publish(folder)
    listed = {key: set(notes.names(key)) for key in (holds.HELD, holds.ACCEPTED)}
    listed[what] = listed[what] - {name} if params["state"] == "absent" else listed[what] | {name}
    return {
        "changed": changed,
        "held": sorted(listed[holds.HELD]),
        "accepted": sorted(listed[holds.ACCEPTED]),
        "diff": {"before": {what: before}, "after": {what: after}},
    }


def check_is_there(dest: str, database: str, name: str) -> None:
    found = store.listing(dest, database).backups
    there = [backup.id for backup in found if backup.id == os.path.basename(backup.path)]
    if name not in there:
        raise CatmaidError(
            f"deciding about the backup {name}",
            f"there is none of this name of {database} in {dest}",
            f"There are: {', '.join(there) or 'none'}.",
        )


if __name__ == "__main__":
    main()
