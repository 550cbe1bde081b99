#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: activity_info
short_description: Tell who works with CATMAID right now
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Tells who has changed something lately, by CATMAID's own log and by the newest treenodes, connectors, links and
    reviews; which transactions are under way; and which requests uWSGI is answering.
  - An open connection is no work. Those of this collection's own jobs are left out.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
attributes:
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    description: It changes nothing.
    support: full
options:
  seconds:
    description: Who has changed something within so many seconds works.
    type: int
    default: 300
  stats_socket:
    description: Socket of uWSGI's setting C(stats), a path or C(host:port). Left out, no requests are told.
    type: str
  wait:
    description:
      - Look again and again for so many seconds, until nobody works.
      - It does not fail when somebody still does.
    type: int
    default: 0
requirements:
  - psycopg2 for the Python that runs the module
"""

EXAMPLES = r"""
- name: Wait until nobody has changed anything for five minutes
  catmaid.admin.activity_info:
    login_db: catmaid
    wait: 1800
  register: catmaid_activity
  failed_when: catmaid_activity.busy
"""

RETURN = r"""
busy:
  description: Whether anybody works.
  returned: success
  type: bool
people:
  description: Who has changed something, the latest first.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "ada", "changes": 12, "seconds_ago": 30, "last": "treenodes.create"}]
transactions:
  description: Transactions on the database that are under way, the oldest first.
  returned: success
  type: list
  elements: dict
requests:
  description: Requests that uWSGI is answering, without what follows a question mark.
  returned: success
  type: list
  elements: dict
  sample: [{"worker": 1, "method": "POST", "path": "/3/treenode/create", "client": "192.0.2.7"}]
waited:
  description: Seconds since the first look.
  returned: success
  type: float
summary:
  description: All of it for people, line by line.
  returned: success
  type: list
  elements: str
"""

import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import login_argument_spec, run, server
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import activity

LOOK_EVERY = 10.0  # seconds


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Return who works, in the end."""
    started = time.monotonic()
    while True:
        found = activity.read(server(params), params["login_db"], params["seconds"], params["stats_socket"] or "")
        waited = time.monotonic() - started
        if not found.busy or waited >= params["wait"]:
            break
        time.sleep(min(LOOK_EVERY, params["wait"] - waited))
    return {
        "changed": False,
        "busy": found.busy,
        "summary": found.lines(),
        "waited": round(waited, 1),
        **asdict(found),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **login_argument_spec(),
            "seconds": {"type": "int", "default": 300},
            "stats_socket": {"type": "str"},
            "wait": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
