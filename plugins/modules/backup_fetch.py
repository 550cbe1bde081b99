#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_fetch
short_description: Get a backup back from off the host
version_added: 1.0.0
description:
  - Fetches a copy that M(catmaid.admin.backup_copy) has made, decrypts it on the way, and puts it where backups are.
  - It gets its name only after its SHA-256 is found to be that of what was written, and every file that of the
    manifest. Then M(catmaid.admin.pg_restore) restores it like any other.
  - In check mode it tells what is on the target.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  diff_mode:
    support: none
    details:
      - What it changes is RV(path).
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  dest:
    description: Folder that holds the backups of all databases. The backup becomes C(<dest>/<database>/<id>).
    type: path
    required: true
  database:
    description: Name of the database whose backup to fetch.
    type: str
    required: true
  id:
    description: Name of the backup. Without it, the newest that is not suspicious.
    type: str
    default: ""
  identity_file:
    description: File on the host with the private key to decrypt with, without a passphrase. It is not kept.
    type: path
  identity:
    description:
      - Private key to decrypt with, without a passphrase, instead of a file with it. It never gets on a disk, except
        for gpg on a host without C(/dev/shm).
    type: str
  target:
    description: Where to fetch from.
    type: dict
    required: true
    suboptions:
      name:
        description: Name by which results and messages call it. Letters, digits, dots, C(_) and C(-).
        type: str
        required: true
      type:
        description:
          - V(rclone) reaches S3 and other object stores, SFTP, WebDAV and more. The copy is streamed, nothing of it
            lies on this host's disk.
          - V(rsync) reaches a host by ssh that has rsync. The copy needs room on this host's disk while it is sent.
        type: str
        default: rclone
        choices: [rclone, rsync]
      path:
        description:
          - Folder for the copies, with the bucket before it where there are buckets. Each database gets a folder in
            it. Hosts must not share it.
          - A bucket must exist. With O(target.type=rsync) the folder that holds this one must exist.
        type: str
        required: true
      backend:
        description:
          - Kind of place in rclone's words, such as V(s3), V(sftp), V(webdav).
          - Either this, with O(target.options) and O(target.secrets), or O(target.remote).
        type: str
      options:
        description: Options of the backend as in C(rclone.conf), without secrets. They reach rclone by its environment.
        type: dict
        default: {}
      secrets:
        description:
          - Options of the backend that are secret, such as C(secret_access_key).
          - What rclone keeps obscured (C(pass), C(key_file_pass)) has to be, as C(rclone obscure -) prints it.
        type: dict
        default: {}
      remote:
        description: Name of a remote that O(target.config_file) describes.
        type: str
      config_file:
        description: rclone's configuration file on the host.
        type: path
      host:
        description: Host to reach by ssh, with O(target.type=rsync).
        type: str
      port:
        description: Port of sshd there.
        type: int
        default: 22
      user:
        description: User there. An account that may run C(rrsync) only is enough.
        type: str
      key_file:
        description: Private key for ssh, without a passphrase. Without it, what ssh of the module's user finds.
        type: path
      known_hosts:
        description: File with the host's public key, which is always checked. Without it, that of the module's user.
        type: path
      encrypt:
        description: Has a meaning for copying only, see O(catmaid.admin.backup_copy#module:encryption).
        type: bool
        default: true
      check:
        description:
          - Has a meaning for copying only.
          - V(contents) reads all of it again over there. rclone has to transfer it back for that.
          - V(size) compares its size, which trusts the transfer's own checksums.
        type: str
        default: contents
        choices: [contents, size]
      bandwidth:
        description: Limit of the transfer in KiB per second. V(0) is none.
        type: int
        default: 0
      keep_last:
        description:
          - How many of the newest copies to keep there.
          - Without any C(keep) option, all copies stay. With one, those that no rule keeps go, once all that was
            missing is copied. The newest verified one, held and suspicious ones stay, as with local backups.
        type: int
      keep_hourly:
        description: For how many hours to keep the newest copy of each.
        type: int
      keep_daily:
        description: For how many days to keep the newest copy of each.
        type: int
      keep_weekly:
        description: For how many weeks to keep the newest copy of each.
        type: int
      keep_monthly:
        description: For how many months to keep the newest copy of each.
        type: int
      keep_yearly:
        description: For how many years to keep the newest copy of each.
        type: int
      keep_within:
        description: Keep all copies of backups that are at most this much older than the newest, such as V(30d).
        type: str
  wait:
    description: How many seconds to wait for another run that copies or fetches backups of this database.
    type: float
    default: 0
requirements:
  - what M(catmaid.admin.backup_copy) requires
seealso:
  - module: catmaid.admin.backup_copy
  - module: catmaid.admin.pg_restore
"""

EXAMPLES = r"""
- name: Fetch the newest copy
  catmaid.admin.backup_fetch:
    dest: /var/backups/catmaid
    database: catmaid
    identity: "{{ vault_backup_private_key }}"
    target: "{{ backup_targets | selectattr('name', 'eq', 'store') | first }}"
  register: fetched

- name: Restore it
  catmaid.admin.pg_restore:
    archive: "{{ fetched.path }}"
    login_db: catmaid_restored
"""

RETURN = r"""
path:
  description: Directory of the backup. In check mode, what it would be.
  returned: success
  type: str
  sample: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
id:
  description: Name of the backup.
  returned: success
  type: str
  sample: catmaid_20261123T030000Z_2021.12.21
copies:
  description: The complete copies on the target, newest first, each with what its C(.json) tells.
  returned: success
  type: list
  elements: dict
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import fetching, store, targets
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups.encryption import Identity


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "database": {"type": "str", "required": True},
            "id": {"type": "str", "default": ""},
            "identity_file": {"type": "path"},
            "identity": {"type": "str", "no_log": True},
            "target": {"type": "dict", "required": True, "options": _ansible.target_argument_spec()},
            "wait": {"type": "float", "default": 0},
        },
        mutually_exclusive=[("identity_file", "identity")],
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    dest, database, name = params["dest"], params["database"], params["id"]
    target = targets.parse([params["target"]])[0]
    if module.check_mode:
        found = fetching.find(dest, database, target, name)
    else:
        identity = Identity(params["identity_file"] or "", params["identity"] or "")
        found, _backup = fetching.fetch(dest, database, target, identity, name, params["wait"])
    return {
        "changed": found.here is None,
        "id": found.record.id,
        "path": f"{store.folder(dest, database)}/{found.record.id}",
        "copies": [asdict(record) for record in found.there],
    }


if __name__ == "__main__":
    main()
