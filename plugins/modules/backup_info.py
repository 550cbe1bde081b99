#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List the backups below a folder
version_added: 1.0.0
description:
  - Lists the backups that M(catmaid.admin.pg_dump) has made, newest first, and whether each is whole.
  - Presence and size of every file are always looked at, their contents with O(verify).
  - Anything else in these folders is told apart, and no database is needed for any of it.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  diff_mode:
    support: none
    details:
      - It changes nothing.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  dest:
    description: Folder that holds the backups of all databases, as in O(catmaid.admin.pg_dump#module:dest).
    type: path
    required: true
  database:
    description: Name of the database whose backups to list. Without it, those of all.
    type: str
  verify:
    description: Read every file again and compare its SHA-256.
    type: bool
    default: false
seealso:
  - module: catmaid.admin.pg_dump
  - module: catmaid.admin.pg_restore
"""

EXAMPLES = r"""
- name: Find the newest backup
  catmaid.admin.backup_info:
    dest: /var/backups/catmaid
    database: catmaid
  register: backups

- name: Check all backups, byte by byte
  catmaid.admin.backup_info:
    dest: /var/backups/catmaid
    verify: true
  register: backups
  failed_when: backups.backups | rejectattr('sound') | list | length > 0
"""

RETURN = r"""
backups:
  description: The backups, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Name of the backup.
      type: str
      sample: catmaid_20261123T030000Z_2021.12.21
    path:
      description: Its directory.
      type: str
      sample: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
    database:
      description: Name of the database.
      type: str
      sample: catmaid
    finished:
      description: When it was complete, in UTC.
      type: str
      sample: "2026-11-23T03:00:07.120000Z"
    age:
      description: Seconds since then.
      type: int
      sample: 7200
    bytes:
      description: Its size.
      type: int
      sample: 37200000
    rows:
      description: Number of rows in it.
      type: int
      sample: 5313378
    commit:
      description: Commit of the source code, empty when it was not recorded.
      type: str
    describe:
      description: The release, as C(git describe) told it.
      type: str
      sample: "2021.12.21"
    materializations:
      description: Level at which derived tables were left out.
      type: str
      sample: safe
    requested_by:
      description: Who or what asked for it.
      type: str
    sound:
      description: Whether nothing is known to be wrong with it.
      type: bool
    problems:
      description: What is wrong with it.
      type: list
      elements: str
    suspicious:
      description: Whether it lost more rows than it should since the one before, and nobody has accepted that.
      type: bool
    held:
      description: Whether it stays whatever the rules of M(catmaid.admin.backup_prune) say.
      type: bool
    hold:
      description: Why it is held.
      type: str
newest:
  description: The newest sound one of RV(backups), null if there is none.
  returned: success
  type: dict
incomplete:
  description: Directories that runs in progress or killed ones left, or whose manifest cannot be read.
  returned: success
  type: list
  elements: str
foreign:
  description: Files and directories that are no backups of M(catmaid.admin.pg_dump).
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "database": {"type": "str"},
            "verify": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    found = store.listing(params["dest"], params["database"], checksums=params["verify"])
    newest = found.newest()
    return {
        "changed": False,
        "backups": [told(backup) for backup in found.backups],
        "newest": told(newest) if newest else None,
        "incomplete": found.incomplete,
        "foreign": found.foreign,
    }


def told(backup: store.Backup) -> dict[str, Any]:
    manifest = backup.manifest
    source = manifest.get("source") or {}
    return {
        "id": backup.id,
        "path": backup.path,
        "database": manifest["database"],
        "finished": manifest["finished"],
        "age": int((store.now() - backup.finished).total_seconds()),
        "bytes": manifest.get("bytes", 0),
        "rows": sum(table["rows"] for table in manifest["tables"]),
        "commit": source.get("commit", ""),
        "describe": source.get("describe", ""),
        "materializations": manifest.get("materializations", ""),
        "requested_by": manifest.get("requested_by", ""),
        "sound": backup.sound,
        "problems": backup.problems,
        "suspicious": backup.suspicious,
        "held": backup.held,
        "hold": backup.hold,
    }


if __name__ == "__main__":
    main()
