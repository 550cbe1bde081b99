#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_plan
short_description: Compare a backup with the release of CATMAID that serves
version_added: 1.0.0
description:
  - Tells before a restore whether the backup fits to the code. A backup with migrations that the code lacks is of a
    newer release, which Django itself does not notice. One that lacks migrations of the code will be migrated.
  - Tells how much room the restored database takes, and how much there is, and whether the settings lead to the server
    of the login options.
  - It reads the manifest and no more of the backup. M(catmaid.admin.pg_restore) proves that the backup is whole.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
attributes:
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    description: It changes nothing.
    support: full
options:
  login_db:
    description: Name of the live database. It need not exist any more.
  archive:
    description: Directory of a backup. Of anything else only the room is told.
    type: path
    required: true
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.pg_restore
"""

EXAMPLES = r"""
- name: See whether a backup fits
  catmaid.admin.restore_plan:
    login_db: catmaid
    archive: "{{ backups.newest.path }}"
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
  register: plan
  failed_when: plan.unknown | length > 0
"""

RETURN = r"""
summary:
  description: All of it for people, in two or three lines.
  returned: success
  type: list
  elements: str
backup:
  description: Commit and name of the release that the backup was made with, as far as its manifest tells.
  returned: success
  type: dict
  sample: {"commit": "7d9f836180d199d9d7321f3c57d1d1ed96dcfdd5", "describe": "2021.12.21-305-g7d9f83618"}
code:
  description: The same of the code that serves, and whether tracked files of it were edited.
  returned: success
  type: dict
  sample: {"commit": "22487fe0c9d199d9d7321f3c57d1d1ed96dcfdd5", "describe": "2021.12.21", "dirty": false}
same:
  description: Whether both are one commit.
  returned: success
  type: bool
unknown:
  description: Migrations that the backup has and the code lacks, of apps that the code has.
  returned: success
  type: list
  elements: str
forward:
  description: Migrations that the code has and the backup lacks.
  returned: success
  type: list
  elements: str
needed:
  description:
    - Bytes that the database took when it was backed up, or those of the live one for an archive that does not tell.
    - V(0) when neither is known.
  returned: success
  type: int
  sample: 895000000
free:
  description: Bytes that are free where the server keeps its data; null when that cannot be asked.
  returned: success
  type: int
  sample: 120000000000
settings_lead_to:
  description: Host and port of the database in the settings.
  returned: success
  type: dict
  sample: {"host": "127.0.0.1", "port": 5432}
moves:
  description:
    - Whether another server is there than that of the login options, so that the instance moves to this one with the
      restore. A server that does not answer is another one if its host or port is.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import plan


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.project_argument_spec(),
            "archive": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    found = plan.read(_ansible.server(params), params["login_db"], params["archive"], _ansible.project(params))
    return {
        "changed": False,
        "summary": found.lines(),
        "backup": {key: found.source.get(key) or "" for key in ("commit", "describe")},
        "code": {"commit": found.code.commit, "describe": found.code.describe, "dirty": found.code.dirty},
        "same": found.same,
        "unknown": found.unknown,
        "forward": found.forward,
        "needed": found.needed,
        "free": found.free,
        "settings_lead_to": found.leads,
        "moves": found.moves,
    }


if __name__ == "__main__":
    main()
