#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_copy
short_description: Copy a database on its server, or drop a copy
version_added: 1.0.0
description:
  - Copies a database file by file, which takes a fraction of the time of dump and restore, with its owner, rights,
    settings, comment and connection limit.
  - The copy gets its name when it is complete. What a killed run has left is removed by the next one.
  - Nobody can be connected to O(login_db) while it is copied. New sessions wait.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
  - catmaid.admin.login
attributes:
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
    details:
      - A database O(name) that exists is taken for the copy, whatever it holds. Drop it first to have a fresh one.
options:
  login_db:
    description: Name of the database to copy.
  name:
    description: Name of the copy.
    type: str
    required: true
  state:
    description:
      - V(present) makes the copy if there is no database O(name).
      - V(absent) drops the database O(name). O(login_db) is only named for safety then, it cannot be the same.
    type: str
    default: present
    choices: [present, absent]
  end_sessions:
    description:
      - End the sessions that are in the way, those of O(login_db) for a copy, those of O(name) for dropping it.
      - Without it, they are named in an error.
    type: bool
    default: false
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.database_swap
"""

EXAMPLES = r"""
- name: Keep a copy of the database, the instance being stopped
  catmaid.admin.database_copy:
    login_db: catmaid
    name: catmaid_before_upgrade

- name: Drop the copy
  catmaid.admin.database_copy:
    login_db: catmaid
    name: catmaid_before_upgrade
    state: absent
"""

RETURN = r"""
name:
  description: Name of the copy.
  returned: success
  type: str
  sample: catmaid_before_upgrade
bytes:
  description: Size of what was copied or dropped, on disk.
  returned: success
  type: int
  sample: 895000000
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import databases
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.properties import Properties


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.lock_argument_spec(),
            **_ansible.login_argument_spec(),
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "end_sessions": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    source, name = module.params["login_db"], module.params["name"]
    job, databases = f"copying database {source} to {name}", [source, name]
    if module.params["state"] == "absent":
        job, databases = f"dropping database {name}", [name]
    _ansible.run(module, lambda: work(module), job=job, databases=databases)


def work(module: AnsibleModule) -> dict[str, Any]:
    source, name, present = module.params["login_db"], module.params["name"], module.params["state"] == "present"
    end_sessions = module.params["end_sessions"]
    server = _ansible.server(module.params)
    doing = f"copying database {source} to {name}" if present else f"dropping database {name}"
    if source == name:
        raise CatmaidError(doing, "name is login_db itself")
    there = databases.read(server, name)
    if present and not there:
        original = databases.check_copy(server, source, name, end_sessions=end_sessions)
        if not module.check_mode:
            databases.copy(server, source, name, end_sessions=end_sessions)
        return {"changed": True, "name": name, "bytes": original.bytes, "diff": diff(name, None, original)}
    if not present and there:
        databases.check_unused(server, doing, name, end_sessions=end_sessions)
        if not module.check_mode:
            databases.drop(server, name, end_sessions=end_sessions)
        return {"changed": True, "name": name, "bytes": there.bytes, "diff": diff(name, there, None)}
    return {"changed": False, "name": name, "bytes": there.bytes if there else 0, "diff": diff(name, there, there)}


def diff(name: str, before: Properties | None, after: Properties | None) -> dict[str, Any]:
    return {
        "before": {name: {"owner": before.owner, "bytes": before.bytes} if before else None},
        "after": {name: {"owner": after.owner, "bytes": after.bytes} if after else None},
    }


if __name__ == "__main__":
    main()
