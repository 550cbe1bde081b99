#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: integrity
short_description: Say whether a database of CATMAID's is sound
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Looks again at what PostgreSQL and CATMAID take for granted, and what an edit in replica mode, a restore without
    triggers or a crash may have broken.
  - C(foreign_keys) lead to rows. C(constraints) were validated. C(triggers) fire. C(sequences) are not behind the
    numbers in use. C(indexes) are finished. C(extensions) are there, and as new as their libraries. C(connector_links)
    are not there twice. C(skeletons_of_nodes), as links and reviews name them, are those of their nodes.
    C(materializations) say what their sources say.
  - For C(skeletons), which have one root that all nodes lead to, and C(meshes) it asks CATMAID's own command
    C(catmaid_check_db_integrity). Its exit code says nothing, so its lines are read.
  - A fault is a result and no failure of the module; see RV(sound).
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
  - catmaid.admin.lock
attributes:
  check_mode:
    details:
      - In check mode nothing is mended, and RV(mended) says what would be.
  diff_mode:
    description: The faults are told, before and after.
    support: full
options:
  login_db:
    description: Name of the database.
  mend:
    description:
      - Whether to mend what can be derived from the rest. Materializations that differ are rebuilt, sequences that are
        behind go on after the highest number in use, and indexes that were never finished are built anew.
      - All else needs somebody who knows what is right.
    type: bool
    default: false
requirements:
  - psycopg2
seealso:
  - module: catmaid.admin.rebuild_materializations
"""

EXAMPLES = r"""
- name: Look at the database
  catmaid.admin.integrity:
    login_db: catmaid
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
  register: found

- name: It is sound
  ansible.builtin.assert:
    that: found.sound
    fail_msg: "{{ found.faults | join('; ') }}"
"""

RETURN = r"""
sound:
  description: Whether no check has found anything, after what was mended.
  returned: success
  type: bool
faults:
  description: What was found and not mended, in words.
  returned: success
  type: list
  elements: str
checks:
  description: Each check.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    what:
      description: What has to be so.
      type: str
    state:
      description: V(ok) or V(failed).
      type: str
    faults:
      description: What was found.
      type: list
      elements: str
mended:
  description: Names of the checks whose faults were mended, or in check mode would be.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible, _progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import integrity
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Report


def judge(module: AnsibleModule, report: Report | None) -> dict[str, Any]:
    """Look, and mend if that is wanted."""
    params = module.params
    runner = Runner(_ansible.project(params), _ansible.server(params), params["login_db"])
    runner.project.validate()
    before = verdict = integrity.look(runner, report)
    mended = verdict.mendable if params["mend"] else []
    if mended and not module.check_mode:
        for warning in integrity.mend(runner, verdict, report):
            module.warn(warning)
        verdict = integrity.look(runner, report)
    return {
        "changed": bool(mended),
        "sound": not verdict.faults,
        "faults": verdict.faults,
        "checks": [
            {"name": check.name, "what": check.what, "state": check.state, "faults": check.faults}
            for check in verdict.checks
        ],
        "mended": mended,
        "diff": {"before": told(before, []), "after": told(verdict, mended)},
    }


def told(verdict: integrity.Verdict, mended: list[str]) -> str:
    """Return the faults as lines, without those that are mended."""
    faults = [fault for check in verdict.checks if check.name not in mended for fault in check.faults]
    return "".join(f"{fault}\n" for fault in faults)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.project_argument_spec(),
            **_ansible.lock_argument_spec(),
            "mend": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    database = module.params["login_db"]
    # Whoever only looks is in nobody's way.
    locked = [database] if module.params["mend"] else []
    with _progress.reporting() as report:
        _ansible.run(module, lambda: judge(module, report), job=f"mending database {database}", databases=locked)


if __name__ == "__main__":
    main()
