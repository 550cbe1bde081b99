#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: project_view
short_description: Show the rows of one project of CATMAID as a schema
version_added: 1.0.0
description:
  - Makes a schema, C(project_3) for project 3, with a view of each table whose rows belong to a project, those of the
    history included. A view has the name of its table and shows the rows of that project alone.
  - It is meant for a restored copy in which somebody looks for what was lost. The tables themselves stay as they are.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
  - catmaid.admin.login
attributes:
  check_mode:
    details:
      - Of a database that does not exist it says that views would be made, as a restore before it would make it.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  login_db:
    description: Name of the database.
  project:
    description: Number of the project. One that is not there is an error that tells which there are.
    type: int
    required: true
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.pg_restore
"""

EXAMPLES = r"""
- name: Let project 3 be looked at in a restored copy
  catmaid.admin.project_view:
    login_db: catmaid_scratch
    project: 3
"""

RETURN = r"""
schema:
  description: Name of the schema.
  returned: success
  type: str
  sample: project_3
made:
  description:
    - Views that were made, or would be in check mode. None are told there of a database that does not exist yet.
  returned: success
  type: list
  elements: str
rows:
  description: Number of rows in each view that shows any.
  returned: success, not in check mode
  type: dict
  sample: {"connector": 35000, "project": 1, "treenode": 700000}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import projects
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import databases


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.lock_argument_spec(),
            **_ansible.login_argument_spec(),
            "project": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    database, project = module.params["login_db"], module.params["project"]
    job = f"making views of project {project} in {database}"
    _ansible.run(module, lambda: work(module), job=job, databases=[database])


def work(module: AnsibleModule) -> dict[str, Any]:
    database, project = module.params["login_db"], module.params["project"]
    result: dict[str, Any] = {}
    server = _ansible.server(module.params)
    if module.check_mode and not databases.read(server, database):
        return {"changed": True, "schema": projects.schema(project), "made": []}
    with server.connect(database) as connection:
        wanted = projects.missing(connection, project)
        if not module.check_mode:
            projects.make(connection, project, wanted)
            result["rows"] = projects.rows(connection, project)
    schema = projects.schema(project)
    return {
        **result,
        "changed": bool(wanted),
        "schema": schema,
        "made": list(wanted),
        "diff": {"before": {schema: []}, "after": {schema: list(wanted)}},
    }


if __name__ == "__main__":
    main()
