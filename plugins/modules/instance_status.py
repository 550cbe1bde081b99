#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_status
short_description: Tell how an instance of CATMAID is, at a glance
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Gathers on a host, in one task, what somebody wants to know who looks after many instances, and judges it.
  - It only reads. The database is asked in sessions that cannot write, git and C(manage.py) run as the service user.
    Nothing of the network is asked without O(fetch).
  - What cannot be looked at is a reason for V(failed), and hides nothing else. The module itself only fails when it
    cannot be run at all.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
attributes:
  diff_mode:
    support: N/A
    description: It changes nothing.
options:
  root:
    description: Folder of the instance, with its clone of CATMAID and its releases.
    type: path
    default: /opt/catmaid
  dest:
    description: Folder that holds the backups of all databases.
    type: path
    default: /var/backups/catmaid
  instance:
    description: Name of the instance, by which its web site is found.
    type: str
    default: catmaid
  services:
    description: Units of the instance, which have to run.
    type: list
    elements: str
    default: [catmaid]
  site:
    description: How people call the instance, for the report.
    type: str
    default: ""
  branch:
    description: Branch of upstream that the code is compared with. By default upstream's own, C(master) or C(main).
    type: str
    default: ""
  fetch:
    description:
      - Whether to ask upstream now, instead of going by what was fetched last. What comes is not kept, so that
        nothing changes.
    type: bool
    default: false
  repository:
    description: URL or path of upstream's repository, for O(fetch).
    type: str
    default: ""
  compare:
    description:
      - Whether to compare derived tables with their sources. That reads both of them, which takes some seconds per
        million treenodes.
    type: bool
    default: true
  backup_warn_hours:
    description: From this age on the newest verified backup is a warning.
    type: float
    default: 26
  backup_fail_hours:
    description: From this age on it is a failure.
    type: float
    default: 50
  drill_warn_days:
    description: From this age on the last restore drill that went well is a warning. With 0 none is expected.
    type: float
    default: 9
  certificate_warn_days:
    description: With fewer days than that before it expires the certificate is a warning.
    type: float
    default: 21
  certificate_fail_days:
    description: With fewer days than that it is a failure.
    type: float
    default: 7
  disk_warn_percent:
    description: With less than that free a disk is a warning.
    type: float
    default: 15
  disk_fail_percent:
    description: With less than that it is a failure.
    type: float
    default: 5
requirements:
  - psycopg2
  - git
seealso:
  - module: catmaid.admin.instance_check
  - module: catmaid.admin.backup_info
"""

EXAMPLES = r"""
- name: Look at the instance
  catmaid.admin.instance_status:
    login_db: catmaid
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
  register: found

- name: Say how it is
  ansible.builtin.debug:
    msg: "{{ found.state }} {{ found.reasons | map(attribute='text') | join('; ') }}"
"""

RETURN = r"""
state:
  description: How the instance is, as bad as the worst of RV(reasons).
  returned: success
  type: str
  sample: warning
site:
  description: O(site).
  returned: success
  type: str
reasons:
  description: What somebody should look after, the worst first.
  returned: success
  type: list
  elements: dict
  contains:
    level:
      description: V(failed) or V(warning).
      type: str
    part:
      description: Which part of RV(status) it is about.
      type: str
    text:
      description: What is the matter.
      type: str
status:
  description: What was found.
  returned: success
  type: dict
  contains:
    time:
      description: When it was looked at, in UTC.
      type: str
    seconds:
      description: How long that took.
      type: float
    errors:
      description: Why a part is V(null), by the part's name.
      type: dict
    code:
      description:
        - C(commit), C(describe), C(branch) and whether it is C(dirty); the C(release) that it is or follows, and a
          C(newer_release) if one is known.
        - How many commits it is C(behind) the branch C(upstream), and C(ahead) of it, as of C(fetched) seconds ago.
      type: dict
    database:
      description: C(bytes), C(server_version), and of C(postgis) the versions C(extension), C(library), C(available).
      type: dict
    migrations:
      description: How many are C(applied), which are C(pending), and which are C(unknown) to the code.
      type: dict
    materializations:
      description: Which are C(stale), and the C(reasons). Nothing without O(compare).
      type: dict
    backups:
      description:
        - Their C(number), the C(newest) verified one with C(id), C(finished), C(age), C(bytes), C(rows), C(seconds) and
          C(suspicious), and the C(history) of the newest 90, oldest first.
        - Which are C(damaged), and C(runs) of jobs that failed.
      type: dict
    drill:
      description: When the last restore drill C(finished) that went well, and its C(age). Nothing if there was none.
      type: dict
    certificate:
      description: C(name) and C(days_left) of what visitors get. Nothing for a web site without TLS.
      type: dict
    disks:
      description: Of C(data), C(instance) and C(backups) the bytes that are C(free), of how many in C(total).
      type: list
      elements: dict
    units:
      description: Which units of the instance are C(stopped), and which others have C(failed).
      type: dict
"""

from dataclasses import asdict, fields
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.fleet import judgement, survey


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Look and judge."""
    names = ("root", "dest", "instance", "services", "branch", "fetch", "repository", "compare")
    request = survey.Request(
        project=_ansible.project(params),
        server=_ansible.server(params),
        database=params["login_db"],
        **{name: params[name] for name in names},
    )
    limits = judgement.Limits(**{field.name: params[field.name] for field in fields(judgement.Limits)})
    found = survey.look(request)
    reasons = judgement.judge(found, limits)
    return {
        "changed": False,
        "site": params["site"],
        "state": judgement.state(reasons),
        "reasons": [asdict(reason) for reason in reasons],
        "status": found,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.project_argument_spec(),
            "root": {"type": "path", "default": "/opt/catmaid"},
            "dest": {"type": "path", "default": "/var/backups/catmaid"},
            "instance": {"type": "str", "default": "catmaid"},
            "services": {"type": "list", "elements": "str", "default": ["catmaid"]},
            "site": {"type": "str", "default": ""},
            "branch": {"type": "str", "default": ""},
            "fetch": {"type": "bool", "default": False},
            "repository": {"type": "str", "default": ""},
            "compare": {"type": "bool", "default": True},
            **{field.name: {"type": "float", "default": field.default} for field in fields(judgement.Limits)},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
