#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_certificate
short_description: Check a certificate with its key, and put them where a web site can use them
version_added: 1.0.0
description:
  - Fails unless the key is the certificate's, the certificate is valid today and for every one of O(names), its
    authority is trusted, and its key is nobody else's to read. Nothing is written then.
  - Each certificate gets a folder of its own below O(dest), named for its fingerprint. So one that is in use is never
    overwritten, and a site changes over by naming the other folder.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  diff_mode:
    details:
      - Shows the paths; never a key.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  certificate:
    description: The certificate in PEM, followed by the intermediate ones that lead to its authority.
    type: str
  key:
    description: Its private key in PEM, without a passphrase.
    type: str
  certificate_file:
    description: File on the host with the certificate, instead of O(certificate).
    type: path
  key_file:
    description: File on the host with the key, instead of O(key). Nobody but its owner and its group may read it.
    type: path
  names:
    description: Host names that the certificate has to be for.
    type: list
    elements: str
    default: []
  verify_chain:
    description: Whether the certificate has to lead to an authority that is trusted.
    type: bool
    default: true
  authorities:
    description: Certificates of the authorities that are trusted, in PEM. Empty means those that the host trusts.
    type: str
    default: ""
  dest:
    description: Folder for certificates. Without it they are only checked.
    type: path
  keep:
    description:
      - How many older certificates stay in O(dest), besides this one and those that nginx's configuration names. The
        others are removed with their keys. Without it all stay.
    type: int
requirements:
  - openssl
seealso:
  - module: catmaid.admin.nginx_site
"""

EXAMPLES = r"""
- name: Install a certificate of the institute's authority
  catmaid.admin.nginx_certificate:
    certificate: "{{ lookup('ansible.builtin.file', 'catmaid.pem') }}"
    key: "{{ lookup('ansible.builtin.file', 'catmaid.key') }}"
    authorities: "{{ lookup('ansible.builtin.file', 'institute.pem') }}"
    names: [catmaid.example.org]
    dest: /etc/ssl/catmaid
"""

RETURN = r"""
certificate_path:
  description: Where the certificate is, or would be. Without O(dest) what O(certificate_file) says.
  returned: success
  type: str
  sample: /etc/ssl/catmaid/5f8d1c0e9a7b6c5d/fullchain.pem
key_path:
  description: Where its key is, or would be. Without O(dest) what O(key_file) says.
  returned: success
  type: str
  sample: /etc/ssl/catmaid/5f8d1c0e9a7b6c5d/key.pem
removed:
  description: Folders of older certificates that were, or would be, removed.
  returned: success
  type: list
  elements: str
  sample: [/etc/ssl/catmaid/00aa11bb22cc33dd]
fingerprint:
  description: SHA-256 of the certificate.
  returned: success
  type: str
names:
  description: The names that it is for.
  returned: success
  type: list
  elements: str
  sample: [catmaid.example.org]
subject:
  description: Whose it is.
  returned: success
  type: str
  sample: CN=catmaid.example.org
issuer:
  description: Who has signed it.
  returned: success
  type: str
  sample: CN=Institute CA
days_left:
  description: Days until it expires. There is a warning when they are fewer than 21.
  returned: success
  type: float
  sample: 88.4
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.web import certificates, expiry


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "certificate": {"type": "str"},
            "key": {"type": "str", "no_log": True},
            "certificate_file": {"type": "path"},
            "key_file": {"type": "path", "no_log": False},
            "names": {"type": "list", "elements": "str", "default": []},
            "verify_chain": {"type": "bool", "default": True},
            "authorities": {"type": "str", "default": ""},
            "dest": {"type": "path"},
            "keep": {"type": "int"},
        },
        required_one_of=[("certificate", "certificate_file")],
        mutually_exclusive=[("certificate", "certificate_file"), ("key", "key_file")],
        required_together=[("certificate", "key"), ("certificate_file", "key_file")],
        required_by={"keep": ["dest"]},
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if params["certificate_file"]:
        pair = certificates.read(params["certificate_file"], params["key_file"])
    else:
        pair = certificates.Pair(params["certificate"], params["key"])
    found = certificates.check(
        pair, params["names"], chain=params["verify_chain"], authorities=params["authorities"]
    )  # fmt: skip
    changed, certificate, key = False, params["certificate_file"], params["key_file"]
    old: list[str] = []
    if params["dest"]:
        changed, certificate, key = certificates.install(pair, found, params["dest"], check_only=module.check_mode)
        if params["keep"] is not None:
            old = certificates.surplus(params["dest"], os.path.dirname(certificate), params["keep"])
        if not module.check_mode:
            certificates.remove(old)
    if found.days_left < expiry.WARN_DAYS:
        module.warn(f"The certificate of {', '.join(found.names)} expires in {found.days_left} days.")
    return {
        "changed": changed or bool(old),
        "removed": old,
        "certificate_path": certificate,
        "key_path": key,
        "fingerprint": found.fingerprint,
        "names": found.names,
        "subject": found.subject,
        "issuer": found.issuer,
        "days_left": found.days_left,
        "diff": {
            "before": {**({} if changed else {"certificate": certificate}), **({"old": old} if old else {})},
            "after": {"certificate": certificate},
        },
    }


if __name__ == "__main__":
    main()
