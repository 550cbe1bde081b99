#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Prove a backup by a restore beside the live database, with the application's own answers
version_added: 1.0.0
description:
  - Restores a backup of M(catmaid.admin.pg_dump) into a new database on the same server, compares all tables with the
    manifest, brings it to the migrations of the release, rebuilds what the backup left out, and lets the release answer
    from it. Version, start page, project list, a skeleton and a node list have to be what SQL says, and what the same
    release answers on the live database where nobody has changed those rows since. Then it drops the database.
  - The live database is neither written to nor locked. How it ended is noted beside the backups, for metrics and
    checks.
  - It fails when anything is not as it should be. What a drill that was killed has left is dropped by the next one.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
attributes:
  check_mode:
    details:
      - In check mode the backup is read to its last byte, and room, roles and extensions are looked at.
  diff_mode:
    support: none
    details:
      - It changes nothing that stays.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: partial
    details:
      - It changes nothing, unless O(keep=true) lets a database stay each time.
options:
  login_db:
    description: Name of the database whose backup it is.
    type: str
    required: true
  dest:
    description: Folder that holds the backups of all databases, as in O(catmaid.admin.pg_dump#module:dest).
    type: path
    required: true
  id:
    description: Name or path of the backup. Without it, the newest one that is whole.
    type: str
    default: ""
  keep:
    description: Whether the restored database is to stay, to look something up.
    type: bool
    default: false
  requested_by:
    description: Who or what asks for it, for the note.
    type: str
    default: ""
  lock_wait:
    description: Seconds to wait for another drill on this host. With V(0) it fails at once.
    type: float
    default: 0
seealso:
  - module: catmaid.admin.backup_verify
  - module: catmaid.admin.backup_fetch
  - module: catmaid.admin.pg_restore
"""

EXAMPLES = r"""
- name: Prove the newest backup
  catmaid.admin.drill:
    login_db: catmaid
    dest: /var/backups/catmaid
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
  become: true
"""

RETURN = r"""
id:
  description: Name of the backup.
  returned: success
  type: str
  sample: catmaid_20261123T030000Z_2021.12.21
path:
  description: Its directory.
  returned: success
  type: str
  sample: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
tables:
  description: How many tables were compared with the manifest.
  returned: success, not in check mode
  type: int
  sample: 253
rows:
  description: How many rows they have.
  returned: success, not in check mode
  type: int
  sample: 4854217
fingerprints:
  description: How many of them were compared by the contents of their rows.
  returned: success, not in check mode
  type: int
  sample: 247
migrated:
  description: The migrations that the release has and the backup lacked.
  returned: success, not in check mode
  type: list
  elements: str
  sample: []
rebuilt:
  description: The materializations that the backup left out, and that are back.
  returned: success, not in check mode
  type: list
  elements: str
  sample: [edges]
smoke:
  description: What the application answered.
  returned: success, not in check mode
  type: dict
  contains:
    version:
      description: The release that was asked.
      type: str
      sample: 2021.12.21
    pages:
      description: The pages.
      type: list
      elements: str
    projects:
      description: How many projects it told.
      type: int
    nodes:
      description: How many nodes the skeleton has that it was asked for.
      type: int
    compared:
      description: What it answered as it does on the live database.
      type: list
      elements: str
      sample: [skeleton, node list]
kept:
  description: The database that stays; empty when it was dropped.
  returned: success, not in check mode
  type: str
swept:
  description: Databases that drills which were killed have left, and that were dropped.
  returned: success, not in check mode
  type: list
  elements: str
seconds:
  description: How long the steps took.
  returned: success, not in check mode
  type: dict
  sample: {"restore": 47.1, "migrate": 2.2, "rebuild": 19.8, "smoke": 4.1}
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible, _progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import drill, store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Report


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.project_argument_spec(),
            "dest": {"type": "path", "required": True},
            "id": {"type": "str", "default": ""},
            "keep": {"type": "bool", "default": False},
            "requested_by": {"type": "str", "default": ""},
            "lock_wait": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    with _progress.reporting() as report:
        _ansible.run(module, lambda: work(module, report))


def work(module: AnsibleModule, report: Report | None) -> dict[str, Any]:
    params = module.params
    database = params["login_db"]
    request = drill.Request(
        server=_ansible.server(params),
        database=database,
        project=_ansible.project(params),
        keep=params["keep"],
        requested_by=params["requested_by"],
        on_progress=report,
    )
    if module.check_mode:
        backup = drill.choose(params["dest"], database, params["id"])
        drill.check(request, backup)
        return {"changed": params["keep"], "id": backup.id, "path": backup.path}
    with drill.turn(params["lock_wait"]):
        outcome = drill.run(
            request,
            lambda: drill.choose(params["dest"], database, params["id"]),
            lambda line: None,
            store.folder(params["dest"], database),
        )
    for warning in outcome.warnings:
        module.warn(warning)
    told = {name: value for name, value in asdict(outcome).items() if name != "warnings"}
    return {"changed": bool(outcome.kept), **told}


if __name__ == "__main__":
    main()
