#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_server
short_description: Set the numbers of nginx that no site can set, or leave everything as it was
version_added: 1.0.0
description:
  - Edits these directives of C(nginx.conf) where they stand, and nothing else of it. A note behind each says what was
    there before, so that O(state=absent) can bring it back.
  - nginx tests its whole configuration with the new numbers, on a copy, before anything is changed. Then it is
    reloaded, and the module waits until new processes serve. What nginx does not take after all, or what the kernel
    does not allow, is taken back.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  check_mode:
    details:
      - In check mode the configuration is tested, too, so numbers that nginx would not take are an error.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  state:
    description: Whether nginx is to work by these numbers, or by those from before.
    type: str
    default: present
    choices: [present, absent]
  worker_processes:
    description: Processes that serve, V(auto) for one per CPU.
    type: str
    default: auto
  worker_connections:
    description: Connections of each process, those to the application included.
    type: int
    default: 2048
  worker_rlimit_nofile:
    description:
      - Files that each process may have open, connections and those of C(open_file_cache) included.
      - systemd's usual limit is 1024, and a process that has reached it refuses visitors.
    type: int
    default: 16384
  multi_accept:
    description: Whether a process takes all new connections at once.
    type: bool
    default: true
  config_dir:
    description: Folder of nginx's configuration.
    type: path
    default: /etc/nginx
requirements:
  - nginx of Debian or Ubuntu, run by systemd
seealso:
  - module: catmaid.admin.nginx_site
"""

EXAMPLES = r"""
- name: Let nginx take many visitors
  catmaid.admin.nginx_server:
    worker_connections: 4096
    worker_rlimit_nofile: 20000

- name: Bring back what was there before
  catmaid.admin.nginx_server:
    state: absent
"""

RETURN = r"""
path:
  description: The file with the numbers.
  returned: success
  type: str
  sample: /etc/nginx/nginx.conf
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.web import server


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "worker_processes": {"type": "str", "default": "auto"},
            "worker_connections": {"type": "int", "default": 2048},
            "worker_rlimit_nofile": {"type": "int", "default": 16384},
            "multi_accept": {"type": "bool", "default": True},
            "config_dir": {"type": "path", "default": "/etc/nginx"},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    wanted = {
        "worker_processes": params["worker_processes"],
        "worker_rlimit_nofile": str(params["worker_rlimit_nofile"]),
        "worker_connections": str(params["worker_connections"]),
        "multi_accept": "on" if params["multi_accept"] else "off",
    }
    present = params["state"] == "present"
    outcome = server.activate(params["config_dir"].rstrip("/"), wanted if present else None, check=module.check_mode)
    diff = {"before_header": outcome.path, "after_header": outcome.path}
    return {
        "changed": outcome.changed,
        "path": outcome.path,
        "diff": {**diff, "before": outcome.before, "after": outcome.after},
    }


if __name__ == "__main__":
    main()
