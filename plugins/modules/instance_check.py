#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_check
short_description: Check that an instance of CATMAID is as it should be
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Asks the web site of the instance as a visitor would, through the web server of this host, and looks at its
    services, its database, its files and its logs.
  - Each check has a result of its own, and one that fails keeps no other from its turn. The module itself only fails
    when they cannot be made at all.
  - Changes nothing, but that V(login) logs the superuser in and out.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.site
  - catmaid.admin.project
attributes:
  diff_mode:
    support: N/A
    description: It changes nothing.
options:
  checks:
    description:
      - V(services) run and start at boot. V(version) is that of the checkout. V(pages) and static files are there,
        folders are not listed. V(login) works as in a browser. V(websocket) opens. V(celery) answers.
      - V(migrations) are those of the code. V(database) has its extensions. V(permissions) of secrets are narrow.
        V(hardening) is against C(DEBUG), other host names and usual passwords. V(logs) tell of no exception.
    type: list
    elements: str
    choices: [services, version, pages, login, websocket, celery, migrations, database, permissions, hardening, logs]
    default: [services, version, pages, websocket, celery, migrations, database, permissions, hardening, logs]
  instance:
    description: Name of the instance, by which its web site and its sockets are found.
    type: str
    default: catmaid
  services:
    description: Units of the instance.
    type: list
    elements: str
    default: [catmaid]
  secrets_dir:
    description: Folder with the secrets of the instance.
    type: path
    default: ""
  superuser:
    description: The user that logs in.
    type: str
    default: admin
  superuser_password:
    description:
      - The password. Without it the first line of C(superuser_password) in O(secrets_dir) is taken, and without that
        nobody logs in.
    type: str
    default: ""
requirements:
  - psycopg2
  - git
"""

EXAMPLES = r"""
- name: Look at the instance
  catmaid.admin.instance_check:
    login_db: catmaid
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    server_name: catmaid.example.org
  register: found

- name: All is well
  ansible.builtin.assert:
    that: found.failed_checks | length == 0
"""

RETURN = r"""
checks:
  description: What was found.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the check.
      type: str
    what:
      description: What it has looked for.
      type: str
    state:
      description: V(ok), V(failed), or V(nothing to look at) where the instance has no such thing.
      type: str
    message:
      description: What it has seen.
      type: str
    seconds:
      description: How long it took.
      type: float
failed_checks:
  description: Names of those that failed.
  returned: success
  type: list
  elements: str
"""

import os
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.checks import request
from ansible_collections.catmaid.admin.plugins.module_utils.engine.checks import run as checks
from ansible_collections.catmaid.admin.plugins.module_utils.engine.checks.site import Site
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import units


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Make the checks."""
    asked = request.Request(
        project=_ansible.project(params),
        server=_ansible.server(params),
        database=params["login_db"],
        site=Site(*_ansible.site(params)),
        services=units.all_of(params["services"]),
        secrets=params["secrets_dir"],
        instance=params["instance"],
        superuser=params["superuser"],
        password=params["superuser_password"] or password(params["secrets_dir"]),
    )
    asked.project.validate()
    found = checks.run(asked, params["checks"])
    failed = [one.name for one in found if one.state == request.FAILED]
    return {"changed": False, "checks": [asdict(one) for one in found], "failed_checks": failed}


def password(folder: str) -> str:
    """Return the password that the role instance has left, if any."""
    path = os.path.join(folder, "superuser_password")
    if not folder or not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.readline().strip()


def main() -> None:
    """Run the module."""
    names = list(checks.CHECKS)
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.project_argument_spec(),
            "checks": {
                "type": "list",
                "elements": "str",
                "choices": names,
                "default": [name for name in names if name != "login"],
            },
            **_ansible.site_argument_spec(),
            "instance": {"type": "str", "default": "catmaid"},
            "services": {"type": "list", "elements": "str", "default": ["catmaid"]},
            "secrets_dir": {"type": "path", "default": ""},
            "superuser": {"type": "str", "default": "admin"},
            "superuser_password": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(filter(None, [password(module.params["secrets_dir"])]))
    _ansible.run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
