#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tile_storage
short_description: Let reading tiles write nothing, and know the way back
version_added: 1.0.0
description:
  - By default a file system writes down when a file was read, once a day at least. For folders with millions of tiles
    that is a lot of writing for nothing.
  - Mounts their file system with C(noatime), now and with the next boot, or gives the files an attribute (C(chattr +A))
    where others use the same file system. What the kernel has is read back.
  - Sets how much is read ahead from their disk, now and with the next boot by a rule of udev.
  - What was before is noted. A folder that is not among O(paths) any more is as it was.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  paths:
    description: The folders. With none of them all is as it was.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: The folder.
        type: path
        required: true
      method:
        description:
          - With V(mount) the file system, which has to be in C(/etc/fstab), is mounted with C(noatime).
          - With V(attribute) all files in the folder get an attribute, and new ones have it. The first time takes long.
        type: str
        default: mount
        choices: [mount, attribute]
      read_ahead_kb:
        description: Kilobytes that are read ahead. V(0) leaves it as it is.
        type: int
        default: 0
  note:
    description: File that keeps what was before.
    type: path
    default: /var/lib/catmaid/tuning/tiles.json
seealso:
  - module: ansible.posix.mount
"""

EXAMPLES = r"""
- name: Let reading tiles write nothing
  catmaid.admin.tile_storage:
    paths:
      - path: /srv/tiles
        read_ahead_kb: 1024
      - path: /home/lab/stack
        method: attribute

- name: Bring back what was before
  catmaid.admin.tile_storage:
    paths: []
"""

RETURN = r"""
changes:
  description: What was changed, or would be.
  returned: success
  type: list
  elements: dict
  sample: [{what: /srv/tiles, before: relatime, after: noatime}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning import storage

PATH = {
    "path": {"type": "path", "required": True},
    "method": {"type": "str", "default": "mount", "choices": ["mount", "attribute"]},
    "read_ahead_kb": {"type": "int", "default": 0},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "dict", "required": True, "options": PATH},
            "note": {"type": "path", "default": "/var/lib/catmaid/tuning/tiles.json"},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    wanted = [storage.Wanted(**one) for one in module.params["paths"]]
    changes = storage.apply(module.params["note"], wanted, check=module.check_mode)
    told = [{"what": one.what, "before": one.before.strip(), "after": one.after.strip()} for one in changes]
    return {
        "changed": bool(changes),
        "changes": told,
        "diff": [
            {
                "before_header": one["what"],
                "after_header": one["what"],
                **{n: f"{one[n]}\n" for n in ("before", "after")},
            }
            for one in told
        ],
    }


if __name__ == "__main__":
    main()
