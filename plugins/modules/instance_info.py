#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_info
short_description: Look at an instance of CATMAID
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Returns what the code, the settings and the database of an instance say of themselves.
  - Writes nothing. Settings are imported without a database; migrations are compared in a read-only session, without
    Django's system checks, which in CATMAID write to the database.
notes:
  - The login options say which database is meant. C(manage.py) logs in as the settings say, to O(login_db); that it
    is the same database is proved. See M(catmaid.admin.migrate).
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
attributes:
  diff_mode:
    support: N/A
    description: It changes nothing.
options:
  biggest_tables:
    description: How many tables to return in RV(biggest_tables).
    type: int
    default: 10
requirements:
  - psycopg2 for the Python that runs the module
  - git
"""

EXAMPLES = r"""
- name: Look at the instance
  catmaid.admin.instance_info:
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    login_db: catmaid
  register: catmaid_instance

- name: Say what runs here
  ansible.builtin.debug:
    msg: "{{ catmaid_instance.catmaid.describe }}, migrations to come: {{ catmaid_instance.migrations.unapplied }}"
"""

RETURN = r"""
catmaid:
  description: Where the source code stands.
  returned: success
  type: dict
  contains:
    commit:
      description: The commit.
      type: str
    describe:
      description: What C(git describe --tags --always) calls it.
      type: str
      sample: 2021.12.21-43-g2964e04e6
    branch:
      description: The branch; empty on a detached head.
      type: str
    dirty:
      description: Whether files that git tracks were changed.
      type: bool
release:
  description: What the release needs, as the filter P(catmaid.admin.release_facts#filter) returns it.
  returned: success
  type: dict
python:
  description: Version of the virtual environment's Python.
  returned: success
  type: str
  sample: 3.8.18
django:
  description: Version of Django.
  returned: success
  type: str
  sample: 3.0.14
settings:
  description:
    - Settings that matter to administrators, with their names in lower case; V(null) for those that are not set.
    - In C(database) are C(name), C(host), C(port), C(user) and C(conn_max_age). Passwords are never returned.
  returned: success
  type: dict
migrations:
  description: Migrations of the database, compared with those of the code.
  returned: success
  type: dict
  contains:
    applied:
      description: How many the database has recorded.
      type: int
    unapplied:
      description: Those of the code that the database lacks, in the order in which they would be applied.
      type: list
      elements: str
    unknown:
      description: Those of the database that the code lacks, of apps that the code has.
      type: list
      elements: str
    orphaned:
      description: Those of the database of apps that the code does not have.
      type: list
      elements: str
database:
  description: The database.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    bytes:
      description: Its size.
      type: int
    owner:
      description: The role that owns it.
      type: str
    encoding:
      description: Its encoding.
      type: str
      sample: UTF8
    collation:
      description: Its collation.
      type: str
    server_version:
      description: The server's version as a number.
      type: int
      sample: 150018
    postgis:
      description: Version of the extension PostGIS.
      type: str
    extensions:
      description: Versions of all extensions by name.
      type: dict
biggest_tables:
  description: The biggest tables, with the bytes of their indexes, and the number of rows as the planner knows it.
  returned: success
  type: list
  elements: dict
  sample:
    - name: treenode_edge
      bytes: 396361728
      rows_estimated: 1000000
sessions:
  description: Sessions on the database by application name, without the module's own.
  returned: success
  type: dict
  sample:
    without a name: 4
history_tracking:
  description: Whether changes are recorded in the history tables, as the triggers have it.
  returned: success
  type: dict
  contains:
    enabled:
      description: Whether there are such triggers.
      type: bool
    triggers:
      description: How many.
      type: int
      sample: 182
materializations:
  description: Rows of each derived table by name; V(null) for a table that does not exist.
  returned: success
  type: dict
  sample:
    treenode_edge: 1000000
    catmaid_stats_summary: 45378
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
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import instance
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Return what the instance says of itself."""
    runner = Runner(project(params), server(params), params["login_db"])
    return {"changed": False, **instance.read(runner, params["biggest_tables"])}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **login_argument_spec(),
            **project_argument_spec(),
            "biggest_tables": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
