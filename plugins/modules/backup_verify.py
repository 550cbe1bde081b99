#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Read backups again and prove that they are as they were made
version_added: 1.0.0
description:
  - Reads every file of backups of M(catmaid.admin.pg_dump) and compares it with the SHA-256 in the manifest, because
    disks forget.
  - It fails when one of them is damaged, and names it and what is wrong, after it has read all of them.
  - When and how it ended is noted beside the backups, for metrics and checks. No database is needed.
  - A backup that is read is not pruned meanwhile.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  check_mode:
    details:
      - In check mode everything is read, and nothing is noted.
  diff_mode:
    support: none
    details:
      - It changes no backup.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  dest:
    description: Folder that holds the backups of all databases, as in O(catmaid.admin.pg_dump#module:dest).
    type: path
    required: true
  database:
    description: Name of the database whose backups to read. Without it, those of all.
    type: str
  id:
    description: Name of the one backup to read. Without it, all.
    type: str
  requested_by:
    description: Who or what asks for it, for the note.
    type: str
    default: ""
seealso:
  - module: catmaid.admin.backup_info
  - module: catmaid.admin.pg_dump
"""

EXAMPLES = r"""
- name: Read all backups of this host again
  catmaid.admin.backup_verify:
    dest: /var/backups/catmaid
"""

RETURN = r"""
verified:
  description: The backups that were read.
  returned: success, and when one of them is damaged
  type: list
  elements: dict
  contains:
    id:
      description: Name of the backup.
      type: str
      sample: catmaid_20261123T030000Z_2021.12.21
    path:
      description: Its directory.
      type: str
      sample: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
    problems:
      description: What is wrong with it.
      type: list
      elements: str
      sample: []
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store, verify
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "database": {"type": "str"},
            "id": {"type": "str"},
            "requested_by": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    doing = f"verifying the backups in {params['dest']}"
    found = store.listing(params["dest"], params["database"])
    read = verify.again(found, params["id"], params["requested_by"], note=not module.check_mode)
    if not read:
        what = params["id"] or f"of {params['database'] or 'any database'}"
        raise CatmaidError(doing, f"there is no backup {what}", "The module backup_info lists them.")
    damaged = [f"{one.path}: {'; '.join(one.problems[:5])}" for one in read if one.problems]
    verified = [asdict(one) for one in read]
    if damaged:
        remedy = f"The other {len(read) - len(damaged)} are as they were made."
        raise CatmaidError(doing, f"{len(damaged)} damaged: {'. '.join(damaged)}", remedy, verified=verified)
    return {"changed": False, "verified": verified}


if __name__ == "__main__":
    main()
