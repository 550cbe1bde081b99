#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_info
short_description: Tell which databases a PostgreSQL server has
version_added: 1.0.0
description:
  - Lists the databases of a server that people work with, which are those that the login may connect to, apart from
    templates and C(postgres).
  - Those that the roles C(catmaid.admin.restore) and C(catmaid.admin.upgrade) keep from before, by a name
    such as C(catmaid_before_restore_20261123t031500), make to look things up, or have not finished, are not among them
    unless O(kept) is set.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
attributes:
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    description: It changes nothing.
    support: full
options:
  login_db:
    description: Database to log in to for that. Without it, V(postgres), or V(template1) where that is missing.
    type: str
    required: false
  kept:
    description: List also those that were kept, are to look things up, or were not finished.
    type: bool
    default: false
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.pg_dump
"""

EXAMPLES = r"""
- name: Look which databases there are
  catmaid.admin.database_info:
  register: found

- name: Back up all of them
  catmaid.admin.pg_dump:
    login_db: "{{ item.name }}"
    dest: /var/backups/catmaid
  loop: "{{ found.databases }}"
"""

RETURN = r"""
databases:
  description:
    - The databases by name, with C(name), C(owner) and C(bytes). A size that the login may not ask for is V(0).
  returned: success
  type: list
  elements: dict
  sample:
    - name: catmaid
      owner: catmaid_user
      bytes: 2643460635
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import databases


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            "login_db": {"type": "str"},
            "kept": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    found = databases.listing(
        _ansible.server(module.params), module.params["login_db"] or "", kept=module.params["kept"]
    )
    return {"changed": False, "databases": [{"name": p.name, "owner": p.owner, "bytes": p.bytes} for p in found]}


if __name__ == "__main__":
    main()
