#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tuning_plan
short_description: Plan the memory of a host for all that CATMAID needs there
version_added: 1.0.0
description:
  - Shares the memory among PostgreSQL, the workers of the application, nginx and the page cache, and calculates the
    settings of PostgreSQL and of the kernel from it, each with its reason.
  - Finds what contradicts, also in values of your own, and explains it.
  - Reads what the host has, and changes nothing.
author:
  - catmaid.admin contributors (@catmaid)
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
  login_db:
    description:
      - Database to log in to for the settings that PostgreSQL has now. Without it, or when it does not answer, these
        are not in the plan.
    type: str
    required: false
  memory:
    description: Memory of the host, such as V(16GB). V(0) means what this host has, or may use as a container.
    type: str
    default: "0"
  cores:
    description: Cores of the host. V(0) means those that this host may use.
    type: int
    default: 0
  disk:
    description:
      - What the database's disk is. V(auto) asks the kernel, and takes it for an SSD when it does not say.
    type: str
    default: auto
    choices: [auto, ssd, hdd]
  disk_path:
    description: Folder on the disk that V(auto) asks for.
    type: path
    default: /var/lib/postgresql
  parts:
    description: What runs on this host.
    type: list
    elements: str
    default: [database, application, web]
    choices: [database, application, web]
  demands:
    description: What is asked of the host.
    type: dict
    default: {}
    suboptions:
      workers:
        description: Processes that answer requests, on all hosts. V(0) lets them be advised.
        type: int
      threads:
        description: Threads of each of them.
        type: int
      worker_mb:
        description: Memory of one of them.
        type: int
      companions:
        description: Processes beside, such as Celery's and daphne.
        type: int
      other_connections:
        description: Connections to the database of others, such as psql and backups.
        type: int
      clients:
        description: Visitors at once.
        type: int
      buffers:
        description: Buffers of nginx for an answer, 4 KB each. V(0) lets them be advised.
        type: int
      body_buffer_kb:
        description: Memory of nginx for a request.
        type: int
      worker_connections:
        description: Connections of each of nginx's processes. V(0) is not known.
        type: int
      body_mb:
        description: Largest request that nginx takes.
        type: int
      upload_mb:
        description: Largest request that Django takes, C(DATA_UPLOAD_MAX_MEMORY_SIZE).
        type: int
  settings:
    description:
      - Values of your own, by name. A size is in bytes, or has a unit such as V(512MB).
      - Names with a dot are the kernel's, others PostgreSQL's.
    type: dict
    default: {}
  huge_pages:
    description: Reserve huge pages for the database's shared memory. It pays from about 8 GB of it on.
    type: bool
    default: false
  overcommit:
    description: Let the kernel refuse memory rather than end the database. Meant for a host of the database alone.
    type: bool
    default: false
  title:
    description: Name of the host in the reports.
    type: str
    default: this host
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2)), with O(login_db)
seealso:
  - module: catmaid.admin.kernel_settings
"""

EXAMPLES = r"""
- name: Plan this host
  catmaid.admin.tuning_plan:
    demands:
      workers: 8
      threads: 2
  register: plan

- name: Set what the kernel should have
  catmaid.admin.kernel_settings:
    settings: "{{ plan.kernel }}"
"""

RETURN = r"""
host:
  description: What the plan is for.
  returned: success
  type: dict
  sample: {memory: 17179869184, cores: 8, disk: ssd, parts: [database, application, web]}
shares:
  description: The memory in shares, in bytes.
  returned: success
  type: list
  elements: dict
  sample: [{name: page_cache, bytes: 3865470566, part: "", reason: what is left}]
values:
  description: Every setting, with the value that is there now as far as it is known.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: vm.swappiness, value: 10, text: "10", now: "60", part: kernel, reason: data stays, source: the manual}
kernel:
  description: The kernel's settings, as P(catmaid.admin.kernel_settings#module) wants them.
  returned: success
  type: list
  elements: dict
  sample: [{name: vm.swappiness, value: "10", at_least: false, reason: data stays in memory}]
conflicts:
  description: What contradicts.
  returned: success
  type: list
  elements: str
fatal:
  description: Those of them that must not be applied.
  returned: success
  type: list
  elements: str
summary:
  description: The plan in a few lines.
  returned: success
  type: list
  elements: str
markdown:
  description: The plan as a document.
  returned: success
  type: str
html:
  description: The plan as a page.
  returned: success
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning import budget, live, machine, model, report

UNITS = {"worker_mb": ("worker_bytes", model.MB), "body_buffer_kb": ("body_buffer_bytes", model.KB)}
UNITS |= {"body_mb": ("body_bytes", model.MB), "upload_mb": ("upload_bytes", model.MB)}
DEMANDS = ["workers", "threads", "companions", "other_connections", "clients", "buffers", "worker_connections", *UNITS]


def main() -> None:
    parts = list(model.PARTS)
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            "login_db": {"type": "str"},
            "memory": {"type": "str", "default": "0"},
            "cores": {"type": "int", "default": 0},
            "disk": {"type": "str", "default": "auto", "choices": ["auto", *model.DISKS]},
            "disk_path": {"type": "path", "default": "/var/lib/postgresql"},
            "parts": {"type": "list", "elements": "str", "default": parts, "choices": parts},
            "demands": {"type": "dict", "default": {}, "options": {name: {"type": "int"} for name in DEMANDS}},
            "settings": {"type": "dict", "default": {}},
            "huge_pages": {"type": "bool", "default": False},
            "overcommit": {"type": "bool", "default": False},
            "title": {"type": "str", "default": "this host"},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    host = model.Host(
        memory=model.bytes_of("memory", params["memory"]) or machine.memory(),
        cores=params["cores"] or machine.cores(),
        disk=params["disk"] if params["disk"] != "auto" else machine.disk(params["disk_path"]) or "ssd",
        parts=tuple(params["parts"]),
    )
    plan = budget.plan(
        host,
        model.Demands(**demands(params["demands"])),
        params["settings"],
        present=live.limits(),
        options=[name for name in budget.OPTIONS if params[name]],
        swap=machine.swap(),
    )
    server = _ansible.server(params) if params["login_db"] else None
    try:
        now = live.read(plan, server, params["login_db"] or "")
    except CatmaidError as error:  # it may not be installed yet, and the plan does not depend on it
        module.warn(f"What PostgreSQL has now is not in the plan. {error}")
        now = live.read(plan, None, "")
    told = plan.as_dict()
    return {
        "changed": False,
        "host": told["host"],
        "shares": told["shares"],
        "values": [{**value, "now": now.get(value["name"])} for value in told["values"]],
        "kernel": [
            {"name": value.name, "value": f"{value.value}", "at_least": value.at_least, "reason": value.reason}
            for value in plan.of(model.KERNEL).values()
        ],
        "conflicts": [str(conflict) for conflict in plan.conflicts],
        "fatal": [str(conflict) for conflict in plan.conflicts if conflict.fatal],
        "summary": report.summary(plan, now),
        "markdown": report.markdown(plan, now, params["title"]),
        "html": report.page(plan, now, params["title"]),
    }


def demands(given: dict[str, Any]) -> dict[str, int]:
    found = {}
    for name, value in given.items():
        if value is not None:
            known, unit = UNITS.get(name, (name, 1))
            found[known] = value * unit
    return found


if __name__ == "__main__":
    main()
