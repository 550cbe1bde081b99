#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: command_line
short_description: Install the program catmaid-admin
version_added: 1.0.0
description:
  - Writes C(catmaid-admin), the engine of this collection as one file that C(/usr/bin/python3) runs.
  - The host then makes, lists, verifies and prunes backups without Ansible, by a timer for instance, and with the very
    same code.
  - Nothing is downloaded. The same version of the collection always writes the same bytes.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  path:
    description: The program. Its folder must exist.
    type: path
    default: /usr/local/bin/catmaid-admin
  state:
    description: Whether it is to be there.
    type: str
    default: present
    choices: [present, absent]
requirements:
  - Python 3.9 or newer as C(/usr/bin/python3), with psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.pg_dump
  - module: catmaid.admin.backup_info
"""

EXAMPLES = r"""
- name: Install catmaid-admin
  catmaid.admin.command_line:
  become: true

- name: Remove it
  catmaid.admin.command_line:
    state: absent
  become: true
"""

RETURN = r"""
path:
  description: The program.
  returned: success
  type: str
  sample: /usr/local/bin/catmaid-admin
build:
  description: What C(catmaid-admin --version) tells, made from its sources.
  returned: when O(state=present)
  type: str
  sample: 5c9e0f3a1b2d
"""

import os
import stat
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine import files

# All of catmaid-admin is imported, so that Ansible sends it along and bundle finds it.
from ansible_collections.catmaid.admin.plugins.module_utils.engine.cli import bundle
from ansible_collections.catmaid.admin.plugins.module_utils.engine.cli import main as program
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError

MODE = 0o755


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/usr/local/bin/catmaid-admin"},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    path = module.params["path"]
    doing = f"installing {program.PROGRAM} as {path}"
    wanted = bundle.build() if module.params["state"] == "present" else None
    if os.path.isdir(path) or (wanted is not None and not os.path.isdir(os.path.dirname(path) or ".")):
        raise CatmaidError(doing, "that is a folder, or is to be in one that does not exist", "Name a file.")
    try:
        before, after = look(path), told(wanted, MODE) if wanted is not None else ""
        changed = content(path) != wanted or before != after
        if changed and not module.check_mode:
            if wanted is None:
                os.unlink(path)
            else:
                files.write_bytes_atomically(path, wanted, MODE)
    except OSError as error:
        raise CatmaidError(doing, error.strerror or str(error), "Is become missing?") from error
    result: dict[str, Any] = {"changed": changed, "path": path, "diff": {"before": before, "after": after}}
    if wanted is not None:
        result["build"] = bundle.number(wanted)
    return result


def content(path: str) -> bytes | None:
    if not os.path.lexists(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def look(path: str) -> str:
    found = content(path)
    return "" if found is None else told(found, stat.S_IMODE(os.stat(path).st_mode))


def told(program_file: bytes, mode: int) -> str:
    """Describe a program for the diff: it is no text itself."""
    return f"build {bundle.number(program_file) or 'of somebody else'}, {len(program_file)} bytes, mode {mode:04o}\n"


if __name__ == "__main__":
    main()
