#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: connection_probe
short_description: Try whether CATMAID uses its kept database connections again
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Asks for a page of the web site again and again, many at a time, and looks after each round which connections of the
    application the database server has (C(pg_stat_activity)).
  - With C(CONN_MAX_AGE) there have to be as many as there are threads, and the same ones. Where they become more, or
    others each time, C(CONN_MAX_AGE) has to be 0, or the server will have none left.
  - It stops before the server has none left. Nothing is changed.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.site
attributes:
  check_mode:
    support: full
    details:
      - In check mode it does the same, as it changes nothing.
  diff_mode:
    support: N/A
    description: It changes nothing.
options:
  role:
    description: Database role of the application.
    type: str
    required: true
  page:
    description: A page that asks the database and needs no login.
    type: str
    default: /projects/
  rounds:
    description: How often to look, at least twice.
    type: int
    default: 5
  requests:
    description: Requests between two looks.
    type: int
    default: 24
  parallel:
    description: How many of them at a time.
    type: int
    default: 8
  capacity:
    description:
      - How many threads answer, in all workers together, and how many connections are kept beside them by others of the
        same role. 0 means that it is not known, and that the last round must bring none more.
    type: int
    default: 0
requirements:
  - psycopg2
"""

EXAMPLES = r"""
- name: Look whether connections are used again
  catmaid.admin.connection_probe:
    login_db: catmaid
    role: catmaid
    server_name: catmaid.example.org
    capacity: 4
  register: probed

- name: They are
  ansible.builtin.assert:
    that: probed.good
    fail_msg: "{{ probed.why }}"
"""

RETURN = r"""
good:
  description: Whether connections are used again.
  returned: success
  type: bool
why:
  description: What was seen.
  returned: success
  type: str
  sample: 4 connections, which are used again
rounds:
  description: What there was after each round.
  returned: success
  type: list
  elements: dict
  contains:
    sessions:
      description: Connections of the role.
      type: int
    new:
      description: Those that were not there after the round before.
      type: int
    stayed:
      description: Those that were.
      type: int
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.checks import connections
from ansible_collections.catmaid.admin.plugins.module_utils.engine.checks.site import Site
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Put load on, and look."""
    if params["rounds"] < 2 or params["requests"] < 1 or params["parallel"] < 1:
        raise CatmaidError("probing connections", "rounds is less than 2, or requests or parallel less than 1")
    load = connections.Load(**{name: params[name] for name in ("page", "rounds", "requests", "parallel")})
    site = Site(*_ansible.site(params))
    server = _ansible.server(params)
    found = connections.probe(server, params["login_db"], params["role"], site, load, params["capacity"])
    return {"changed": False, **asdict(found)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            "role": {"type": "str", "required": True},
            **_ansible.site_argument_spec(),
            "page": {"type": "str", "default": "/projects/"},
            "rounds": {"type": "int", "default": 5},
            "requests": {"type": "int", "default": 24},
            "parallel": {"type": "int", "default": 8},
            "capacity": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
