#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: example_projects
short_description: Make CATMAID's example projects
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Runs C(manage.py catmaid_insert_example_projects), for an instance that has no projects.
  - An instance that has any is left as it is, also when the examples are not among them.
  - The images of the examples come from servers of others.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
options:
  username:
    description: Name of the superuser whose projects they are to be.
    type: str
    required: true
requirements:
  - psycopg2 for the Python that runs the module
"""

EXAMPLES = r"""
- name: Have something to look at
  catmaid.admin.example_projects:
    login_db: catmaid
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    project_user: catmaid
    username: admin
"""

RETURN = r"""
projects:
  description: Titles of the instance's projects, in alphabetical order.
  returned: success
  type: list
  elements: str
  sample: [Default Project, Evaluation data set, Focussed Ion Beam (FIB)]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import (
    login_argument_spec,
    project,
    project_argument_spec,
    run,
    server,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import users
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError

COMMAND = "catmaid_insert_example_projects"


def titles(runner: Runner) -> list[str]:
    """Return the titles of the projects, without that of CATMAID's own (-1)."""
    with runner.server.connect(runner.database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT title FROM project WHERE id > 0 ORDER BY title")
        return [title for (title,) in cursor]


def work(module: AnsibleModule) -> dict[str, Any]:
    """Make them where there are none."""
    params = module.params
    runner = Runner(project(params), server(params), params["login_db"])
    owner = users.find(runner.server, runner.database, params["username"])
    if not owner or not owner.rules:
        raise CatmaidError(
            f"making the example projects of {params['username']}",
            "there is no active superuser of that name",
            "Name one that there is; the module superuser makes one.",
        )
    found = titles(runner)
    changed = not found
    if changed and not module.check_mode:
        runner.command([COMMAND], f"--user={owner.id}")
        found = titles(runner)
    return {"changed": changed, "projects": found}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **login_argument_spec(),
            **project_argument_spec(),
            "username": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    run(module, lambda: work(module))


if __name__ == "__main__":
    main()
