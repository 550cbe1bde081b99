#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: settings_file
short_description: Set values in a CATMAID settings file that people edit as well
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Keeps a block of its own at the end of C(settings.py), where it wins over what stands before. Nothing else in
    the file changes, so passwords and C(SECRET_KEY) stay what they are.
  - Before the file is replaced, the application is started with the new text by its own Python, without a file being
    written. What it refuses, and what does not come out as it was wanted, is an error, and the file stays as it is.
  - Tells what is wrong in the file, by reading and not by executing it.
extends_documentation_fragment:
  - catmaid.admin.project
  - catmaid.admin.attributes
options:
  values:
    description:
      - Settings by name. They can be texts, numbers, booleans, none, and lists and dictionaries of them.
      - C(NODE_PROVIDER), which the manual page still names, is written as C(NODE_PROVIDERS), the list that is read.
    type: dict
    default: {}
  secret_values:
    description: The same, for values that nobody may see in the output, in a diff or in a log.
    type: dict
    default: {}
  database:
    description: Keys of the default database, such as C(CONN_MAX_AGE).
    type: dict
    default: {}
  state:
    description: Whether the block is there. With V(absent) the file becomes what it was before, to the byte.
    type: str
    default: present
    choices: [absent, present]
  strict:
    description: Fail, and change nothing, if anything is wrong in the file as it would be.
    type: bool
    default: false
  backup:
    description: Keep what the file was before, beside it, as readable as the file.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Let more nodes be shown, and connections be kept for a minute
  catmaid.admin.settings_file:
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    values:
      NODE_LIST_MAXIMUM_COUNT: 20000
      NODE_PROVIDERS: [postgis2d]
    database:
      CONN_MAX_AGE: 60
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /opt/catmaid/current/source/django/projects/mysite/settings.py
backup_file:
  description: What the file was before. Empty if nothing was kept.
  returned: success
  type: str
uid:
  description: Number of the file's owner.
  returned: success
  type: int
gid:
  description: Number of its group.
  returned: success
  type: int
findings:
  description: What is wrong in the file as it is now, by line. Line 0 is the whole file.
  returned: success
  type: list
  elements: dict
  contains:
    setting:
      description: Name of the setting.
      type: str
    line:
      description: Line in the file.
      type: int
    problem:
      description: What is wrong.
      type: str
    remedy:
      description: What to do.
      type: str
"""

import json
import os
import shutil
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import project, project_argument_spec, run
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import settings_rules
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django import settings_file
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.project import Project
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server


def work(module: AnsibleModule) -> dict[str, Any]:
    """Write the block, and try it before."""
    target = project(module.params)
    target.validate()
    path = os.path.realpath(os.path.join(target.folder, *target.settings.split(".")) + ".py")
    before = settings_file.read(path)
    settings_file.parse(path, before)
    there = module.params["state"] == "present"
    values = settings_rules.current_names(
        {**module.params["values"], **module.params["secret_values"]} if there else {}
    )
    database = module.params["database"] if there else {}
    after = settings_file.with_block(path, before, values, database)
    changed = after != before
    findings = settings_rules.lint(path, after)
    if findings and module.params["strict"]:
        wrong = [
            f"line {found['line']}: {found['setting']}: {found['problem']}. {found['remedy']}" for found in findings
        ]
        raise CatmaidError(f"checking {path}", " ".join(wrong), findings=findings)
    if changed:
        attempt(target, path, after, values, database)
    backup = ""
    if changed and not module.check_mode:
        backup = replace(module, path, after, keep=module.params["backup"])
    secret = module.params["secret_values"].keys()
    owner = os.stat(path)
    return {
        "changed": changed,
        "path": path,
        "backup_file": backup,
        "uid": owner.st_uid,
        "gid": owner.st_gid,
        "findings": findings,
        "diff": {
            "before_header": path,
            "after_header": path,
            "before": settings_file.shown(before, secret),
            "after": settings_file.shown(after, secret),
        },
    }


def attempt(target: Project, path: str, text: str, values: dict[str, Any], database: dict[str, Any]) -> None:
    """Start the application with the new text, and compare what it finds with what is wanted."""
    found = Runner(target, Server(), "").trial(text, path, sorted(values), sorted(database))
    for wanted, got in ((values, found["values"]), (database, found["database"])):
        for name, value in wanted.items():
            if name not in got or got[name] != json.loads(json.dumps(value)):
                raise CatmaidError(
                    f"setting {name} in {path}",
                    "another value comes out of it",
                    "Give it as text, number, boolean, null, list or dictionary.",
                )


def replace(module: AnsibleModule, path: str, text: str, *, keep: bool) -> str:
    """Put the new text in the place of the file, with its owner and mode, and return what the old one is called now."""
    backup = f"{path}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}" if keep else ""
    if keep:
        # Nobody else's from its first moment: there may be passwords in it.
        with open(path, "rb") as old, open(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as kept:
            shutil.copyfileobj(old, kept)
        os.chown(backup, os.stat(path).st_uid, os.stat(path).st_gid)
        shutil.copystat(path, backup)
    new = f"{path}.catmaid-admin-{os.getpid()}"
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="") as file:
            file.write(text)
        module.atomic_move(new, path)  # which keeps owner and mode
    finally:
        if os.path.exists(new):
            os.unlink(new)
    return backup


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **project_argument_spec(),
            "values": {"type": "dict", "default": {}},
            "secret_values": {"type": "dict", "default": {}, "no_log": True},
            "database": {"type": "dict", "default": {}, "no_log": False},
            "state": {"type": "str", "default": "present", "choices": ["absent", "present"]},
            "strict": {"type": "bool", "default": False},
            "backup": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    run(module, lambda: work(module))


if __name__ == "__main__":
    main()
