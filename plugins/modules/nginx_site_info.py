#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_site_info
short_description: Tell which certificate the visitors of a web site get, and for how long it is good
version_added: 1.0.0
description:
  - Asks nginx for the site by TLS. So a certificate that was renewed, but that nginx has not read, is not taken for the
    one that visitors get.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  diff_mode:
    support: none
options:
  name:
    description: Name of the site, as it is in C(sites-enabled).
    type: str
    required: true
  config_dir:
    description: Folder of nginx's configuration.
    type: path
    default: /etc/nginx
  warn_days:
    description: With fewer days than that there is a RV(complaint).
    type: float
    default: 21
requirements:
  - nginx of Debian or Ubuntu
  - openssl
seealso:
  - module: catmaid.admin.nginx_site
  - module: catmaid.admin.nginx_certificate
"""

EXAMPLES = r"""
- name: Look at the certificate
  catmaid.admin.nginx_site_info:
    name: catmaid
  register: site

- name: Fail a month before it expires
  ansible.builtin.assert:
    that: not site.certificate or site.certificate.days_left > 30
"""

RETURN = r"""
exists:
  description: Whether nginx has such a site.
  returned: success
  type: bool
server_name:
  description: The host name that it is asked for by; empty without a site.
  returned: success
  type: str
  sample: catmaid.example.org
certificate:
  description: What visitors get, nothing when the site has no TLS or nobody answers.
  returned: success
  type: dict
  contains:
    fingerprint:
      description: SHA-256 of it.
      type: str
    names:
      description: The names that it is for.
      type: list
      elements: str
    subject:
      description: Whose it is.
      type: str
    issuer:
      description: Who has signed it.
      type: str
    days_left:
      description: Days until it expires, fewer than 0 when it has.
      type: float
      sample: 88.4
complaint:
  description: What is wrong with it or will be within O(warn_days); an empty text when nothing is.
  returned: success
  type: str
  sample: the certificate of catmaid.example.org expires in 5 days
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.web import expiry

TOLD = ("fingerprint", "names", "subject", "issuer", "days_left")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "config_dir": {"type": "path", "default": "/etc/nginx"},
            "warn_days": {"type": "float", "default": 21},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    site = expiry.look(params["name"], params["config_dir"].rstrip("/"))
    shown = site.shown if site else None
    return {
        "changed": False,
        "exists": site is not None,
        "server_name": site.server_name if site else "",
        "certificate": {name: getattr(shown, name) for name in TOLD} if shown else None,
        "complaint": site.complaint(params["warn_days"]) if site else "",
    }


if __name__ == "__main__":
    main()
