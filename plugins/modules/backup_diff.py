#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_diff
short_description: Tell what happened between two backups
version_added: 1.0.0
description:
  - Compares two backups of M(catmaid.admin.pg_dump) by their manifests, in rows of each table, migrations, sizes and
    versions.
  - Tables with as many rows as before are told apart by their fingerprints, where both manifests have them.
  - It reads nothing but the two manifests, so it is quick, and no database is needed.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  diff_mode:
    support: none
    details:
      - It changes nothing. What it tells is a difference in any mode.
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
  before:
    description:
      - Name of the older backup. Without it, the newest sound one that was complete before O(after).
      - Like O(after), it may be one that is damaged or suspicious, if it is named.
    type: str
  after:
    description: Name of the younger backup. Without it, the newest sound one.
    type: str
seealso:
  - module: catmaid.admin.backup_info
  - module: catmaid.admin.pg_dump
"""

EXAMPLES = r"""
- name: See what was done since the backup before
  catmaid.admin.backup_diff:
    dest: /var/backups/catmaid
    database: catmaid
  register: since

- name: See what a suspicious backup has lost
  catmaid.admin.backup_diff:
    dest: /var/backups/catmaid
    database: catmaid
    before: catmaid_20261123T030000Z_2021.12.21
    after: catmaid_20261124T030000Z_2021.12.21
"""

RETURN = r"""
before:
  description: The older backup, with C(id), C(database) and C(finished).
  returned: success
  type: dict
after:
  description: The younger one.
  returned: success
  type: dict
bytes:
  description: The sizes of both, as C(before) and C(after).
  returned: success
  type: dict
  sample: {"before": 37200000, "after": 37900000}
rows:
  description: The rows in both, as C(before) and C(after).
  returned: success
  type: dict
  sample: {"before": 5313378, "after": 5320044}
tables:
  description: The tables that are not proven to be equal.
  returned: success
  type: list
  elements: dict
  contains:
    schema:
      description: Schema of the table.
      type: str
      sample: public
    name:
      description: Name of the table.
      type: str
      sample: treenode
    before:
      description: Its rows in the older backup, or beside it if they were left out. Null if there was no such table.
      type: int
      sample: 1000000
    after:
      description: Its rows in the younger one.
      type: int
      sample: 1003200
    change:
      description: The rows that were added, less than 0 if some are gone. Null if there are not two tables.
      type: int
      sample: 3200
    contents:
      description: V(different), or V(unknown) where nothing but an equal number of rows is known.
      type: str
      sample: different
unchanged:
  description: Number of the other tables. Each has the same rows as before.
  returned: success
  type: int
  sample: 187
migrations_added:
  description: Migrations that only the younger backup has.
  returned: success
  type: list
  elements: str
  sample: [catmaid.0111_add_point_sets]
migrations_removed:
  description: Migrations that only the older backup has.
  returned: success
  type: list
  elements: str
  sample: []
versions:
  description: What was changed of C(source), C(postgresql), C(postgis) and C(pg_dump), each C(before) and C(after).
  returned: success
  type: dict
  sample: {"source": {"before": "2020.02.15", "after": "2021.12.21"}}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import comparison, store


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "database": {"type": "str", "required": True},
            "before": {"type": "str"},
            "after": {"type": "str"},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    found = store.listing(params["dest"], params["database"])
    before, after = comparison.choose(found.backups, params["before"], params["after"])
    return {"changed": False, **comparison.compare(before.manifest, after.manifest)}


if __name__ == "__main__":
    main()
