#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: clone_target
short_description: Make sure that a database may become a copy of another instance's, and mark it
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - A backup of this very database is refused, and a database in which people work, unless it was such a copy before.
  - The database gets a comment that says that it is a copy. M(catmaid.admin.database_swap) hands that on to the
    database that takes its place.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
attributes:
  diff_mode:
    support: none
options:
  login_db:
    description: Name of the database that is to be replaced. It need not exist.
  archive:
    description: Path of the backup that it is to become a copy of.
    type: path
    required: true
  replace:
    description: Whether to accept a database that was no copy until now, and has treenodes.
    type: bool
    default: false
requirements:
  - psycopg2
seealso:
  - module: catmaid.admin.database_scrub
"""

EXAMPLES = r"""
- name: Make sure that nobody's work is replaced
  catmaid.admin.clone_target:
    login_db: catmaid_training
    archive: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
"""

RETURN = r"""
there:
  description: Whether there is a database of that name.
  returned: success
  type: bool
marked:
  description: Whether it was a copy before.
  returned: success
  type: bool
treenodes:
  description: How many treenodes it has.
  returned: success
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import clones


def work(module: AnsibleModule) -> dict[str, Any]:
    """Look at it, and mark it."""
    server, database = _ansible.server(module.params), module.params["login_db"]
    target = clones.look(server, database, module.params["archive"], replace=module.params["replace"])
    marks = target.there and not target.marked
    if marks and not module.check_mode:
        clones.mark(server, database)
    return {"changed": marks, "there": target.there, "marked": target.marked, "treenodes": target.treenodes}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            "archive": {"type": "path", "required": True},
            "replace": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


if __name__ == "__main__":
    main()
