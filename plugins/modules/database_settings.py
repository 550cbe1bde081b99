#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_settings
short_description: Settings of roles, tables and columns, with a way back
version_added: 1.0.0
description:
  - What PostgreSQL keeps with a role (C(ALTER ROLE ... SET), for all databases or one), with a table (its own settings
    of autovacuum) and with a column (its statistics target).
  - All of it is set in one transaction. What was there before is kept in a file, so that a setting which is no longer
    listed goes back to it. One that somebody has changed since stays, and is told.
  - A role, table or column that is not there is skipped, and told, as releases differ.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
attributes:
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  login_db:
    description: Database of the tables. When there is none, roles alone are set.
  state:
    description: Whether the settings are to be there. With V(absent) all that was set for this database goes.
    type: str
    default: present
    choices: [present, absent]
  roles:
    description: Settings of roles.
    type: list
    elements: dict
    default: []
    suboptions:
      role:
        description: Name of the role.
        type: str
        required: true
      database:
        description: The only database in which they hold. Empty means all.
        type: str
        default: ""
      settings:
        description: Values by their names.
        type: dict
        required: true
      reason:
        description: Why.
        type: str
        default: ""
  tables:
    description: Settings of tables and columns.
    type: list
    elements: dict
    default: []
    suboptions:
      table:
        description: Name of the table. Tables that inherit from it have settings of their own.
        type: str
        required: true
      schema:
        description: Its schema.
        type: str
        default: public
      settings:
        description: Values of the table's own settings by their names, such as C(autovacuum_vacuum_scale_factor).
        type: dict
        default: {}
      statistics:
        description: Statistics targets by the names of columns.
        type: dict
        default: {}
      reason:
        description: Why.
        type: str
        default: ""
  analyze:
    description: Whether to gather statistics about columns whose target has changed, so that it has an effect at once.
    type: bool
    default: true
  state_dir:
    description: Folder in which it is kept what was there before.
    type: path
    default: /var/lib/catmaid/tuning
requirements:
  - psycopg2
seealso:
  - module: catmaid.admin.postgres_settings
"""

EXAMPLES = r"""
- name: What Django would ask for in every connection, and statistics that fit CATMAID's data
  catmaid.admin.database_settings:
    login_db: catmaid
    roles:
      - role: catmaid
        database: catmaid
        settings:
          client_encoding: UTF8
          default_transaction_isolation: read committed
          timezone: UTC
    tables:
      - table: treenode
        settings: {autovacuum_vacuum_scale_factor: 0.02}
        statistics: {skeleton_id: 3000}
"""

RETURN = r"""
changes:
  description: What was changed, or would be.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Which setting of what.
      type: str
      sample: statistics of column treenode.skeleton_id
    before:
      description: Its value before, nothing when none was set.
      type: str
    after:
      description: Its value now.
      type: str
    reason:
      description: Why.
      type: str
unchanged:
  description: What was so already, in the same form.
  returned: success
  type: list
  elements: dict
skipped:
  description: What could not be set because it is not there, or not be undone because somebody has changed it since.
  returned: success
  type: list
  elements: str
"""

from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import attached, attaching
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.attached import Place


def main() -> None:
    role = {
        "role": {"type": "str", "required": True},
        "database": {"type": "str", "default": ""},
        "settings": {"type": "dict", "required": True},
        "reason": {"type": "str", "default": ""},
    }
    table = {
        "table": {"type": "str", "required": True},
        "schema": {"type": "str", "default": "public"},
        "settings": {"type": "dict", "default": {}},
        "statistics": {"type": "dict", "default": {}},
        "reason": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "roles": {"type": "list", "elements": "dict", "default": [], "options": role},
            "tables": {"type": "list", "elements": "dict", "default": [], "options": table},
            "analyze": {"type": "bool", "default": True},
            "state_dir": {"type": "path", "default": "/var/lib/catmaid/tuning"},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    request = attaching.Request(
        server=_ansible.server(params),
        database=params["login_db"],
        wanted=tuple(wanted(params)) if params["state"] == "present" else (),
        state_dir=params["state_dir"],
        analyze=params["analyze"],
    )
    outcome = attaching.apply(request, check=module.check_mode)
    for text in outcome.skipped:
        module.warn(text)
    return {
        "changed": outcome.changed,
        "changes": outcome.changes,
        "unchanged": outcome.unchanged,
        "skipped": outcome.skipped,
        "diff": {
            side: "".join(f"{one['name']}: {one[side]}\n" for one in outcome.changes if one[side] is not None)
            for side in ("before", "after")
        },
    }


def wanted(params: dict[str, Any]) -> Iterator[attaching.Wanted]:
    """Yield the settings of the options."""
    for one in params["roles"]:
        for name, value in one["settings"].items():
            place = Place(attached.ROLE, (one["role"], one["database"]), name)
            yield attaching.Wanted(place, text(value), one["reason"])
    for one in params["tables"]:
        table = (one["schema"], one["table"])
        for name, value in one["settings"].items():
            yield attaching.Wanted(Place(attached.TABLE, table, name), text(value), one["reason"])
        for column, value in one["statistics"].items():
            if not str(value).isdigit():
                raise CatmaidError(f"reading the statistics of column {column}", f"{value} is no number")
            place = Place(attached.COLUMN, (*table, column), attached.STATISTICS)
            yield attaching.Wanted(place, str(value), one["reason"])


def text(value: Any) -> str:
    """Return a value as PostgreSQL writes it."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
