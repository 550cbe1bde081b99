#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: superuser
short_description: Make a superuser of the application
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Makes the user when there is none of this name. CATMAID cannot be upgraded once it has projects and no superuser.
  - A user that exists is left as it is, password included. It is an error when it is no active superuser.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
options:
  username:
    description: Name to log in by.
    type: str
    required: true
  email:
    description: E-mail address.
    type: str
    default: ""
  password:
    description: Password of a user that is made.
    type: str
    required: true
requirements:
  - psycopg2 for the Python that runs the module
"""

EXAMPLES = r"""
- name: Make the first superuser
  catmaid.admin.superuser:
    login_db: catmaid
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    project_user: catmaid
    username: admin
    password: "{{ catmaid_admin_password }}"
"""

RETURN = r"""
username:
  description: Name of the user.
  returned: success
  type: str
  sample: admin
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


def exists(runner: Runner, username: str) -> bool:
    """Tell whether the superuser is there; a user of that name who is none is an error."""
    found = users.find(runner.server, runner.database, username)
    if found and not found.rules:
        raise CatmaidError(
            f"making the superuser {username}",
            "there is a user of that name who is no active superuser",
            "Choose another name, or give that user the right in CATMAID's administration.",
        )
    return bool(found)


def work(module: AnsibleModule) -> dict[str, Any]:
    """Make what is missing."""
    params = module.params
    runner = Runner(project(params), server(params), params["login_db"])
    username = params["username"]
    changed = not exists(runner, username)
    if changed and not module.check_mode:
        runner.make_superuser(username, params["email"], params["password"])
    after = f"superuser {username}\n"
    return {"changed": changed, "username": username, "diff": {"before": "" if changed else after, "after": after}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **login_argument_spec(),
            **project_argument_spec(),
            "username": {"type": "str", "required": True},
            "email": {"type": "str", "default": ""},
            "password": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    run(module, lambda: work(module))


if __name__ == "__main__":
    main()
