#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_upkeep
short_description: Gather statistics, remove dead rows, and build indexes anew
version_added: 1.0.0
description:
  - C(VACUUM ANALYZE) of a whole database by C(vacuumdb), and C(REINDEX CONCURRENTLY) by C(reindexdb), several tables
    at a time. The instance works on meanwhile.
  - No other job works on the database at that time.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.lock
attributes:
  check_mode:
    details:
      - In check mode the numbers from before are returned.
  diff_mode:
    description: What is done has no content to compare.
    support: none
  idempotent:
    description: It does its work each time.
    support: none
options:
  login_db:
    description: Name of the database.
  vacuum:
    description: Whether to remove dead rows and gather statistics.
    type: bool
    default: true
  reindex:
    description:
      - Whether to build all indexes anew. Those of a database from before PostgreSQL 13 become smaller by it once, and
        so do others that much was deleted from. It needs as much disk space as the largest index while it runs.
    type: bool
    default: false
  jobs:
    description: Tables that are worked on at the same time.
    type: int
    default: 2
requirements:
  - psycopg2
  - PostgreSQL's programs C(vacuumdb) and C(reindexdb)
"""

EXAMPLES = r"""
- name: Fresh statistics
  catmaid.admin.database_upkeep:
    login_db: catmaid

- name: Smaller indexes
  catmaid.admin.database_upkeep:
    login_db: catmaid
    vacuum: false
    reindex: true
"""

RETURN = r"""
before:
  description: What there was.
  returned: success
  type: dict
  contains:
    dead_rows:
      description: Dead rows, as the server estimates.
      type: int
    never_analyzed:
      description: Tables without any statistics.
      type: int
    index_bytes:
      description: Bytes of all indexes.
      type: int
    total_bytes:
      description: Bytes of the database.
      type: int
    invalid:
      description: Indexes that were never finished.
      type: list
      elements: str
after:
  description: The same afterwards.
  returned: success, not in check mode
  type: dict
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import upkeep


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.lock_argument_spec(),
            "vacuum": {"type": "bool", "default": True},
            "reindex": {"type": "bool", "default": False},
            "jobs": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module), job="database_upkeep", databases=[module.params["login_db"]])


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    server, database = _ansible.server(params), params["login_db"]
    result: dict[str, Any] = {
        "changed": params["vacuum"] or params["reindex"],
        "before": asdict(upkeep.numbers(server, database)),
    }
    if module.check_mode:
        return result
    if params["reindex"]:
        upkeep.reindex(server, database, params["jobs"])
    if params["vacuum"]:
        upkeep.vacuum_analyze(server, database, params["jobs"])
    return {**result, "after": asdict(upkeep.numbers(server, database))}


if __name__ == "__main__":
    main()
