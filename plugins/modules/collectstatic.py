#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: collectstatic
short_description: Collect the static files of a release
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Runs Django's C(collectstatic) with the virtual environment on C(PATH), as CATMAID's compressors need it, and never
    asks.
  - Whether there is something to do is told by a fingerprint of C(STATIC_ROOT) that is kept beside that folder, for the
    command itself always reports work. A collection that was cut short is done anew.
extends_documentation_fragment:
  - catmaid.admin.project
  - catmaid.admin.attributes
options:
  revision:
    description: Commit of the source code. Files are collected again when it is another one than last time.
    type: str
    default: ""
  link:
    description: Make symbolic links instead of copies. The release's folder must then stay where it is.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Collect the static files of a release that is not served yet
  catmaid.admin.collectstatic:
    project_path: /opt/catmaid/releases/2021.12.21/source
    virtualenv: /opt/catmaid/releases/2021.12.21/env
    project_user: catmaid
    revision: 22487fe0c2dc3a1a4ad4d4c5a2e2f0e4cfa0f9f2
"""

RETURN = r"""
static_root:
  description: Folder of the static files. Empty in check mode, when the settings are not there to be asked.
  returned: success
  type: str
  sample: /opt/catmaid/releases/2021.12.21/static
files:
  description: Number of files and links in it.
  returned: success
  type: int
  sample: 1769
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import project, project_argument_spec, run
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django import static


def work(module: AnsibleModule) -> dict[str, Any]:
    """Compare, and collect when the files are not those of the revision."""
    target = project(module.params)
    revision = module.params["revision"]
    if module.check_mode and not os.path.exists(target.python):
        # The release is not there yet, so neither are its files.
        return {"changed": True, "static_root": "", "files": 0, "diff": {"before": "0 files\n", "after": "collected\n"}}
    target.validate()
    state = static.look(static.root(target))
    if static.is_fresh(state, revision):
        return {"changed": False, "static_root": state.root, "files": state.files}
    before = f"{state.files} files\n"
    if not module.check_mode:
        state = static.collect(target, state.root, revision, module.params["link"])
    after = f"collected for revision {revision or '(none)'}\n"
    return {
        "changed": True,
        "static_root": state.root,
        "files": state.files,
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **project_argument_spec(),
            "revision": {"type": "str", "default": ""},
            "link": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    run(module, lambda: work(module))


if __name__ == "__main__":
    main()
