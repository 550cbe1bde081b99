#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_copy
short_description: Copy backups off the host
version_added: 1.0.0
description:
  - Brings targets up to date with the local backups of a database. What a target lacks and would keep is copied, the
    newest first; a target that was down catches up.
  - A copy is one file, C(<path>/<database>/<id>.tar), with C(.age) or C(.gpg) appended when it is encrypted. Standard
    tools read it. Beside it C(<id>.json) tells its size and SHA-256, and that it is complete.
  - Every file of a backup is compared with the manifest on its way, so what has rotted on the disk is not copied. The
    copy is verified before its C(.json) is written. What has none is not complete; the next run replaces or removes it.
  - A target that fails keeps no other one from its turn. In the end the module fails if any did.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.encryption
attributes:
  check_mode:
    details:
      - In check mode the keys are tried and the targets are asked what they have, and nothing is written.
  diff_mode:
    details:
      - The diff lists the copies on each target.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  dest:
    description: Folder that holds the backups of all databases, as in O(catmaid.admin.pg_dump#module:dest).
    type: path
    required: true
  database:
    description: Name of the database whose backups to copy.
    type: str
    required: true
  targets:
    description: Where to copy to.
    type: list
    elements: dict
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
          - A bucket must exist. With O(targets[].type=rsync) the folder that holds this one must exist.
        type: str
        required: true
      backend:
        description:
          - Kind of place in rclone's words, such as V(s3), V(sftp), V(webdav).
          - Either this, with O(targets[].options) and O(targets[].secrets), or O(targets[].remote).
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
        description: Name of a remote that O(targets[].config_file) describes.
        type: str
      config_file:
        description: rclone's configuration file on the host.
        type: path
      host:
        description: Host to reach by ssh, with O(targets[].type=rsync).
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
        description: Whether copies there are encrypted. Then O(encryption) is needed.
        type: bool
        default: true
      check:
        description:
          - How a copy is verified before it counts.
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
  expected:
    description:
      - Name of a backup that M(catmaid.admin.pg_dump) would make before, as its RV(catmaid.admin.pg_dump#module:id)
        tells in check mode. In check mode it counts as if it were there. Otherwise nobody looks at it.
    type: str
    default: ""
  requested_by:
    description: Who or what asks for it, for the status.
    type: str
    default: ""
  wait:
    description: How many seconds to wait for another run that copies backups of this database.
    type: float
    default: 0
requirements:
  - rclone 1.60 or newer for targets of that type
  - rsync and ssh for targets of type rsync
  - age or gpg, as O(encryption.method) says
seealso:
  - module: catmaid.admin.backup_fetch
  - module: catmaid.admin.pg_dump
"""

EXAMPLES = r"""
- name: Copy backups to an object store and to a host of another institute
  catmaid.admin.backup_copy:
    dest: /var/backups/catmaid
    database: catmaid
    encryption:
      method: age
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    targets:
      - name: store
        backend: s3
        options:
          provider: Other
          endpoint: https://s3.example.org
          access_key_id: catmaid-backup
        secrets:
          secret_access_key: "{{ vault_s3_secret }}"
        path: lab-backups/catmaid
        keep_daily: 14
        keep_monthly: 12
      - name: neighbours
        type: rsync
        host: backup.example.org
        user: catmaid
        key_file: /root/.ssh/catmaid-backup
        path: /srv/backups/catmaid
        keep_last: 30
"""

RETURN = r"""
targets:
  description: How it went with each target, also when the module fails.
  returned: always
  type: list
  elements: dict
  contains:
    target:
      description: Name of the target.
      type: str
      sample: store
    ok:
      description: Whether it is up to date.
      type: bool
    message:
      description: What went wrong.
      type: str
    copied:
      description: Copies that were made, with C(id), C(object), C(bytes) and C(seconds). In check mode, estimates.
      type: list
      elements: dict
    removed:
      description: Ids of the copies that no rule keeps.
      type: list
      elements: str
    cleaned:
      description: Incomplete files of former runs that were removed.
      type: list
      elements: str
    damaged:
      description: Ids of copies that are damaged, with what is wrong.
      type: dict
    foreign:
      description: Files beside the copies that are none, and stay.
      type: list
      elements: str
    warnings:
      description: What somebody should look at.
      type: list
      elements: str
    backups:
      description: The complete copies there, newest first, each with what its C(.json) tells.
      type: list
      elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible, _progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import copies, targets
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups.encryption import Encryption
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Report


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "database": {"type": "str", "required": True},
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": _ansible.target_argument_spec(),
            },
            "encryption": {"type": "dict", "options": _ansible.encryption_argument_spec()},
            "expected": {"type": "str", "default": ""},
            "requested_by": {"type": "str", "default": ""},
            "wait": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    with _progress.reporting() as report:
        _ansible.run(module, lambda: work(module, report))


def work(module: AnsibleModule, report: Report | None) -> dict[str, Any]:
    params = module.params
    outcomes = copies.copy_all(
        params["dest"],
        params["database"],
        targets.parse(params["targets"]),
        Encryption(**(params["encryption"] or {})),
        check=module.check_mode,
        expected=params["expected"],
        wait=params["wait"],
        progress=report,
        requested_by=params["requested_by"],
    )
    told = [copies.told(outcome) for outcome in outcomes]
    changed = any(outcome.changed for outcome in outcomes)
    failure = copies.failure(outcomes)
    if failure:
        raise CatmaidError(f"copying backups of database {params['database']}", failure, targets=told, changed=changed)
    return {
        "changed": changed,
        "targets": told,
        "diff": {
            "before": {one.target: one.before for one in outcomes},
            "after": {one.target: [record["id"] for record in one.backups] for one in outcomes},
        },
    }


if __name__ == "__main__":
    main()
