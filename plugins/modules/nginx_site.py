#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_site
short_description: Let nginx serve a web site, or leave everything as it was
version_added: 1.0.0
description:
  - nginx tests its whole configuration with the new site in it, on a copy, before anything is changed.
  - Then the site is written and enabled, nginx is reloaded, and the module waits until new processes serve. If nginx
    does not take it after all, because another program has the port for instance, or if visitors get another
    certificate than they should, the site comes back as it was. It is served all the time.
  - Sites of others stay as they are. nginx is started when it does not run.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  check_mode:
    details:
      - In check mode the configuration is tested, too, so a site that nginx would not take is an error.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  name:
    description: Name of the site, of its file in C(sites-available) and of the link to it in C(sites-enabled).
    type: str
    required: true
  state:
    description: Whether nginx is to serve the site.
    type: str
    default: present
    choices: [present, absent]
  content:
    description: The site's configuration. Needed with O(state=present).
    type: str
  config_dir:
    description: Folder of nginx's configuration.
    type: path
    default: /etc/nginx
  server_name:
    description:
      - Name by which the site is asked for its certificate. The module fails when another site has it at the same
        address.
    type: str
    default: ""
  fingerprint:
    description:
      - SHA-256 of the certificate that visitors of O(server_name) are to get, as hexadecimal digits. nginx is reloaded
        when they get another one, even if the configuration is right already.
      - Empty when the site has none.
    type: str
    default: ""
requirements:
  - nginx of Debian or Ubuntu, run by systemd
seealso:
  - module: catmaid.admin.nginx_certificate
"""

EXAMPLES = r"""
- name: Serve tiles
  catmaid.admin.nginx_site:
    name: tiles
    content: |
      server {
          listen 80;
          server_name tiles.example.org;
          root /srv/tiles;
      }

- name: Serve them no more
  catmaid.admin.nginx_site:
    name: tiles
    state: absent
"""

RETURN = r"""
path:
  description: The site's file.
  returned: success
  type: str
  sample: /etc/nginx/sites-available/tiles
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.web import site


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "content": {"type": "str"},
            "config_dir": {"type": "path", "default": "/etc/nginx"},
            "server_name": {"type": "str", "default": ""},
            "fingerprint": {"type": "str", "default": ""},
        },
        required_if=[("state", "present", ["content"])],
        required_by={"fingerprint": ["server_name"]},
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    present = params["state"] == "present"
    request = site.Request(
        name=params["name"],
        content=params["content"] if present else None,
        config_dir=params["config_dir"].rstrip("/"),
        server_name=params["server_name"],
        fingerprint=params["fingerprint"].replace(":", "").lower() if present else "",
    )
    outcome = site.activate(request, check=module.check_mode)
    diff = {"before_header": request.available, "after_header": request.available}
    return {
        "changed": outcome.changed,
        "path": request.available,
        "diff": {**diff, "before": outcome.before, "after": request.content or ""},
    }


if __name__ == "__main__":
    main()
