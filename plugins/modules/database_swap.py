#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_swap
short_description: Put one database in the place of another
version_added: 1.0.0
description:
  - Renames the database O(login_db) to O(keep_as) and O(replacement) to O(login_db), both in one transaction. Whoever
    connects finds the old database or the new one, and a run that is killed has changed nothing.
  - The sessions of both databases are ended. New ones wait for the renames, which take a fraction of a second. No
    setting is changed for that which could stay behind.
  - The new database gets what the old one had besides its contents, which a rename does not carry along. That is owner,
    rights, settings of C(ALTER DATABASE) and of C(ALTER ROLE ... IN DATABASE), comment and connection limit.
  - The comment of the old database tells from then on which one it was and until when, before what it said.
    M(catmaid.admin.database_prune) goes by that. Swapped in again, it has its own comment back.
  - When there is no database O(login_db) any more, O(replacement) is renamed and nothing else.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
  - catmaid.admin.login
attributes:
  idempotent:
    description: A second run without a change in between changes nothing.
    support: none
    details:
      - The second run is refused, because there is no O(replacement) any more.
options:
  login_db:
    description: Name of the live database.
  replacement:
    description: Database that takes its place.
    type: str
    required: true
  keep_as:
    description: Name that the old database gets. There must be none of this name.
    type: str
    required: true
notes:
  - The login must be a superuser, or own both databases and have the right C(CREATEDB).
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.pg_restore
  - module: catmaid.admin.database_copy
  - module: catmaid.admin.database_prune
"""

EXAMPLES = r"""
- name: Let the restored database be the live one
  catmaid.admin.database_swap:
    login_db: catmaid
    replacement: catmaid_restored
    keep_as: catmaid_before_restore
"""

RETURN = r"""
before:
  description: Number (OID) and size of the databases by their names before. Null for one that did not exist.
  returned: success
  type: dict
  sample: {"catmaid": {"oid": 16385, "bytes": 895000000}, "catmaid_restored": {"oid": 24801, "bytes": 870000000}}
after:
  description: The same by their names afterwards, in check mode as it would be.
  returned: success
  type: dict
  sample: {"catmaid": {"oid": 24801, "bytes": 870000000}, "catmaid_before_restore": {"oid": 16385, "bytes": 895000000}}
sessions_ended:
  description: How many sessions were ended, in check mode would be.
  returned: success
  type: int
  sample: 4
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import databases
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.properties import Properties


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.lock_argument_spec(),
            **_ansible.login_argument_spec(),
            "replacement": {"type": "str", "required": True},
            "keep_as": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    live, replacement = module.params["login_db"], module.params["replacement"]
    job = f"putting database {replacement} in the place of {live}"
    _ansible.run(module, lambda: work(module), job=job, databases=[live, replacement])


def work(module: AnsibleModule) -> dict[str, Any]:
    live, replacement, keep_as = (module.params[name] for name in ("login_db", "replacement", "keep_as"))
    server = _ansible.server(module.params)
    if module.check_mode:
        with databases.maintenance(server) as connection:
            found = databases.pair(connection, live, replacement, keep_as)
            ended = databases.sessions(connection, [live, replacement])
    else:
        found, ended = databases.swap(server, live, replacement, keep_as)
    before = {live: told(found.live), replacement: told(found.replacement)}
    after = {live: told(found.replacement)}
    if found.live:
        after[keep_as] = told(found.live)
    return {
        "changed": True,
        "before": before,
        "after": after,
        "sessions_ended": len(ended),
        "diff": {"before": before, "after": after},
    }


def told(database: Properties | None) -> dict[str, int] | None:
    return {"oid": database.oid, "bytes": database.bytes} if database else None


if __name__ == "__main__":
    main()
