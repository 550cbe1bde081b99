#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_services
short_description: Start or stop everything that runs an instance
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Starts and stops what runs the application's code as an upgrade does it (M(catmaid.admin.upgrade_switch)), one after
    the other, whether systemd or supervisor runs it.
  - What was started has to run; if it does not, this fails and says where to look.
  - While an upgrade is under way, or was interrupted and is not undone yet, nothing starts.
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  diff_mode:
    support: full
  idempotent:
    description: To restart changes something each time.
    support: partial
options:
  services:
    description:
      - What runs the instance, in the order in which it starts. These are systemd units, or programs of supervisor as
        C(supervisor:group:program), C(supervisor:program) for one without a group, or C(supervisor:group:*) for all
        of a group.
      - Where a target has the name of the first one, all that belongs to it need not be named.
    type: list
    elements: str
    required: true
  state:
    description: What is wanted. V(restarted) stops all of it before it starts any.
    type: str
    choices: [started, stopped, restarted]
    required: true
requirements:
  - systemd
seealso:
  - module: catmaid.admin.upgrade_switch
"""

EXAMPLES = r"""
- name: Stop all of an instance that was set up by hand
  catmaid.admin.instance_services:
    services: [supervisor:lab:catmaid-uwsgi, supervisor:lab:catmaid-celery]
    state: stopped
"""

RETURN = r"""
services:
  description: All services of the instance, those of its target too, in the order in which they start.
  returned: success
  type: list
  elements: str
  sample: [catmaid-redis.service, catmaid.service]
"""

from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import units

RUNS = "runs"
STOPPED = "stopped"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped", "restarted"], "required": True},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    """Start them, stop them, or both."""
    state = module.params["state"]
    if not module.params["services"]:
        raise CatmaidError("looking for the services of an instance", "none is named", "Name what runs it.")
    services = units.all_of(module.params["services"])
    before = states(services)
    wanted = STOPPED if state == "stopped" else RUNS
    if not module.check_mode:
        if state != "started":
            units.stop(services)
        if state != "stopped":
            start(services)
    after = dict.fromkeys(services, wanted)
    changed = state == "restarted" or before != after
    return {"changed": changed, "services": services, "diff": {"before": before, "after": after}}


def start(services: Sequence[str]) -> None:
    """Start them, and what holds them together, for those who stop it."""
    units.bring_up(services)
    if target := units.target(services):
        units.systemctl("start", target)


def states(services: Sequence[str]) -> dict[str, str]:
    """Return what is seen of each of them."""
    return {name: RUNS if units.is_active(name) else STOPPED for name in services}


if __name__ == "__main__":
    main()
