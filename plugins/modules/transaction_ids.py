#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: transaction_ids
short_description: Let a PostgreSQL cluster get past the transaction ids that a database of CATMAID knows
version_added: 1.0.0
description:
  - CATMAID writes down the ids of transactions, in C(catmaid_transaction_info) and beside rows, and looks them up
    later. Every cluster counts its own, so a database that was restored into a younger one meets the same ids once
    more, and CATMAID takes what is done then for what was done long ago, an edit for an import for example.
  - The ids are compared. When the cluster is behind, the ids between are spent by that many empty transactions, in
    batches that are each committed. A run that is killed goes on where it was. Nothing else in the cluster changes.
  - In the cluster that the rows come from, there is nothing to do.
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
options:
  login_db:
    description: Name of the database whose rows are looked at.
  limit:
    description:
      - Spend no more ids than this. A database that needs more is an error that says how many, and how long they take.
      - All databases of the cluster become older by these ids, which brings the next vacuum against wraparound nearer.
        What the cluster cannot bear is refused whatever the limit.
    type: int
    default: 100000000
notes:
  - The server spends some hundred thousand ids in a second.
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.pg_restore
"""

EXAMPLES = r"""
- name: Get past the ids of a database that came from another server
  catmaid.admin.transaction_ids:
    login_db: catmaid_restored
"""

RETURN = r"""
recorded:
  description: The highest id that its rows tell, 0 when they tell none.
  returned: success
  type: int
  sample: 812345
following:
  description: The id that the cluster gave next when the module started.
  returned: success
  type: int
  sample: 3576
spent:
  description: How many ids were spent, or would be in check mode.
  returned: success
  type: int
  sample: 808770
estimated_seconds:
  description: How long that takes on a small host.
  returned: success
  type: float
  sample: 8.1
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import transactions


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.lock_argument_spec(),
            **_ansible.login_argument_spec(),
            "limit": {"type": "int", "default": 100000000},
        },
        supports_check_mode=True,
    )
    database = module.params["login_db"]
    job = f"passing the transaction ids that {database} knows"
    _ansible.run(module, lambda: work(module), job=job, databases=[database])


def work(module: AnsibleModule) -> dict[str, Any]:
    server, database = _ansible.server(module.params), module.params["login_db"]
    ids = transactions.read(server, database)
    transactions.check(server, database, ids, module.params["limit"])
    if ids.lacking and not module.check_mode:
        transactions.spend(server, database, ids)
    after = max(ids.following, ids.recorded + 1)
    return {
        "changed": ids.lacking > 0,
        "recorded": ids.recorded,
        "following": ids.following,
        "spent": ids.lacking,
        "estimated_seconds": ids.seconds,
        "diff": {"before": {"following": ids.following}, "after": {"following": after}},
    }


if __name__ == "__main__":
    main()
