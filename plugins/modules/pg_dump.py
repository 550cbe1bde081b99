#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_dump
short_description: Make a verified backup of a CATMAID database
version_added: 1.0.0
description:
  - Dumps a database with C(pg_dump) into a directory of its own, together with the cluster's roles and a manifest.
  - All of it is one snapshot. Writers go on meanwhile.
  - The dump is read back completely, and only then gets its final name. Whatever goes wrong before leaves nothing
    behind that looks like a backup; what a killed run has left is removed by the next run.
  - "The manifest says what the backup holds: the source code's commit, the applied migrations, versions, the rows and
    a fingerprint of each table in the very snapshot, what was left out and how it comes back, and the SHA-256 of every
    file."
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.encryption
  - catmaid.admin.login
  - catmaid.admin.lock
  - catmaid.admin.make_room
attributes:
  check_mode:
    details:
      - In check mode the login, the names of tables, the versions, the space on the disk and the age of the newest
        backup are checked, and nothing is written. The name it tells is that of a backup made at that moment.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: partial
    details:
      - Each run makes a new backup, unless O(min_age) says that the newest one is young enough.
options:
  dest:
    description:
      - Folder that holds the backups of all databases. It is created when it is missing.
      - The backup is the directory C(<dest>/<database>/<database>_<UTC time>_<git describe>). Characters of the
        database's name that are awkward in a path are written like in a URL, a blank as C(%20).
    type: path
    required: true
  format:
    description:
      - Format of the dump, in the words of C(pg_dump).
      - V(directory) is written and restored by several jobs, V(custom) is one file and written by one.
    type: str
    default: directory
    choices: [directory, custom]
  jobs:
    description:
      - How many tables are dumped at the same time, with O(format=directory).
      - Without it, as many as the host has CPUs, but four at most.
    type: int
  materializations:
    description:
      - What to do with the rows of CATMAID's derived tables. Their definitions are always in the backup.
      - V(safe) leaves out those that a rebuild brings back exactly, and the caches.
      - V(exclude) leaves out the two summary tables too. What a rebuild cannot compute again (the number of imported
        nodes and the last editor of each skeleton, the imports of each hour) is kept in a small sidecar, for
        O(catmaid.admin.rebuild_materializations#module:sidecar).
      - V(include) leaves out nothing.
    type: str
    default: safe
    choices: [safe, include, exclude]
  exclude_tables:
    description:
      - Tables to leave out completely, with definition, indexes and triggers.
      - Names are literal, capitals count and no character is a wildcard. A schema stands before a dot where it is
        needed. A table that does not exist is an error.
      - No table comes back from such a backup, so O(allow_incomplete) is needed.
    type: list
    elements: str
    default: []
  exclude_table_data:
    description:
      - Tables whose rows to leave out, in addition to O(materializations). Named like O(exclude_tables).
      - Tables that are not derived need O(allow_incomplete).
    type: list
    elements: str
    default: []
  allow_incomplete:
    description: Make the backup although it lacks rows or tables that nothing can bring back.
    type: bool
    default: false
  compression:
    description:
      - How the dump is compressed.
      - V(auto) is V(zstd) at level 1, and V(gzip) at level 1 where zstd cannot be had.
      - C(pg_dump) 16 and newer compress by themselves. Older ones know gzip only; with O(format=directory) the program
        C(zstd) compresses what they write, while they write it, and a restore with an older C(pg_restore) needs that
        program again, but no more space on the disk.
    type: str
    default: auto
    choices: [auto, none, gzip, lz4, zstd]
  compression_level:
    description: Level of the compression. Without it, the method's own.
    type: int
  globals:
    description:
      - Whether the roles of the cluster are written next to the dump.
      - Passwords of roles are in it as hashes when the login may read them, see RV(missing).
    type: bool
    default: true
  project_path:
    description: Folder of CATMAID's source code, a git checkout whose commit the manifest is to tell.
    type: path
  project_user:
    description: OS user that runs git in O(project_path). Without it, the owner of that folder.
    type: str
  source:
    description:
      - What the manifest is to tell of source code that is not on this host, instead of O(project_path).
    type: dict
    suboptions:
      commit:
        description: The commit.
        type: str
        required: true
      describe:
        description: What C(git describe) calls it. It becomes part of the backup's name.
        type: str
        required: true
      branch:
        description: The branch, if there is one.
        type: str
        default: ""
      dirty:
        description: Whether tracked files were changed. Without it, nobody knows.
        type: bool
  fingerprint:
    description:
      - Whether the manifest tells a fingerprint of each table in the dump, besides its rows. Equal contents give equal
        fingerprints, so a restore can be proven, see O(catmaid.admin.pg_restore#module:verify).
      - Rows are counted in any case; with fingerprints the same scan hashes them. It comes after the dump, in the same
        snapshot, by as many sessions as O(jobs) says. On two CPUs it costs about a second for a million tracing nodes.
      - Tables that a rebuild brings back exactly have none.
    type: bool
    default: true
  shrink_percent:
    description:
      - When a table lost more of its rows than this since the newest sound backup that is not suspicious itself, the
        new backup is suspicious. It is complete, verified and kept, and the module fails and names the tables. As
        long as the newest backup is suspicious, M(catmaid.admin.backup_prune) removes none.
      - The next run compares with the same older backup, and fails again. When the rows were removed on purpose, accept
        the suspicious backup once with M(catmaid.admin.backup_hold); later ones are compared with it then.
      - More than 100 rows must be gone, or the whole table. Derived tables do not count, nor do those that come and go
        by themselves (C(django_session), C(django_admin_log), celery's messages and results).
      - V(0) switches this guard off. In check mode rows are not counted, and nothing is compared therefore.
    type: int
    default: 10
  media_path:
    description:
      - CATMAID's C(MEDIA_ROOT), to be kept in the backup as C(media.tar.zst), but for the folders C(cache) and C(tmp).
      - What vanishes while it is read is told in RV(missing), and is no failure.
    type: path
  files:
    description:
      - Files and folders with settings, to be kept in the backup as C(files.tar.age) or C(files.tar.gpg), such as
        C(settings.py), C(configuration.py), nginx's site and custom front-end code.
      - They hold passwords and keys, so O(encryption) is needed. The rest of the backup is not encrypted.
    type: list
    elements: path
    default: []
  min_age:
    description:
      - Do nothing if the newest verified backup is younger than this, unless it is suspicious.
      - Backups of another database cluster do not count, here and for O(shrink_percent), see RV(manifest). The first
        backup after a move to another server is made in any case, therefore.
      - Seconds, or a number with C(s), C(m), C(h), C(d) or C(w).
    type: str
  lock_wait_timeout:
    description: How many seconds to wait for a table that somebody has locked exclusively.
    type: int
    default: 60
  requested_by:
    description: Who or what asks for this backup, for the manifest.
    type: str
    default: ""
requirements:
  - PostgreSQL's client programs in the server's major version or a newer one
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
  - zstd (Debian and Ubuntu C(zstd)) to compress well with PostgreSQL 15 and older
seealso:
  - module: catmaid.admin.pg_restore
  - module: catmaid.admin.backup_info
  - module: catmaid.admin.backup_hold
"""

EXAMPLES = r"""
- name: Back up the database
  catmaid.admin.pg_dump:
    login_db: catmaid
    dest: /var/backups/catmaid
    project_path: /opt/catmaid/current/source
    requested_by: nightly timer
  register: backup

- name: Make sure that there is a backup of today
  catmaid.admin.pg_dump:
    login_db: catmaid
    dest: /var/backups/catmaid
    min_age: 24h

- name: Back up everything, small, from another host
  catmaid.admin.pg_dump:
    login_db: catmaid
    login_host: db.example.org
    login_user: catmaid_user
    login_password: "{{ vault_catmaid_password }}"
    dest: /var/backups/catmaid
    materializations: include
    compression_level: 9
"""

RETURN = r"""
path:
  description: Directory of the backup. In check mode, what it would be now.
  returned: success
  type: str
  sample: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
id:
  description: Name of the backup.
  returned: success
  type: str
  sample: catmaid_20261123T030000Z_2021.12.21
manifest:
  description: The manifest, as it stands in the file C(manifest.json) of the backup.
  returned: success, not in check mode, unless the newest backup is young enough
  type: dict
bytes:
  description: Size of the backup.
  returned: like RV(manifest)
  type: int
  sample: 37200000
rows:
  description: Number of rows in the backup.
  returned: like RV(manifest)
  type: int
  sample: 5313378
seconds:
  description: How long it took to make.
  returned: like RV(manifest)
  type: float
gone:
  description:
    - The backups that O(make_room) let go, or would in check mode, as RV(catmaid.admin.backup_prune#module:gone).
  returned: success
  type: list
  elements: dict
left_out:
  description:
    - Tables that are not in the backup, with C(schema), C(name), C(what) (V(rows) or V(table)), C(rows) that they had,
      and C(returns_by), which is empty when nothing brings them back.
  returned: success
  type: list
  elements: dict
  sample:
    - schema: public
      name: treenode_edge
      what: rows
      rows: 1000000
      returns_by: catmaid.admin.rebuild_materializations
suspicious:
  description:
    - Tables that have shrunk, with C(schema), C(table), their rows C(before) and C(after), and C(percent), the loss.
  returned: when O(shrink_percent) made the module fail
  type: list
  elements: dict
  sample:
    - schema: public
      table: treenode
      before: 1000000
      after: 600000
      percent: 40.0
missing:
  description:
    - What the login was not allowed to read, and is not in the backup therefore.
    - What vanished from O(media_path) and O(files) while it was read.
  returned: like RV(manifest)
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible, _progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import (
    archive,
    extras,
    prune,
    selection,
    store,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups.encryption import Encryption
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import facts
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Report


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.lock_argument_spec(),
            "dest": {"type": "path", "required": True},
            "format": {"type": "str", "default": "directory", "choices": ["directory", "custom"]},
            "jobs": {"type": "int"},
            "materializations": {"type": "str", "default": "safe", "choices": ["safe", "include", "exclude"]},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "exclude_table_data": {"type": "list", "elements": "str", "default": []},
            "allow_incomplete": {"type": "bool", "default": False},
            "compression": {"type": "str", "default": "auto", "choices": ["auto", "none", "gzip", "lz4", "zstd"]},
            "compression_level": {"type": "int"},
            "globals": {"type": "bool", "default": True},
            "project_path": {"type": "path"},
            "project_user": {"type": "str"},
            "source": {"type": "dict", "options": _ansible.source_argument_spec()},
            "fingerprint": {"type": "bool", "default": True},
            "shrink_percent": {"type": "int", "default": 10},
            "make_room": {"type": "dict", "options": _ansible.retention_argument_spec()},
            "media_path": {"type": "path"},
            "files": {"type": "list", "elements": "path", "default": []},
            "encryption": {"type": "dict", "options": _ansible.encryption_argument_spec()},
            "min_age": {"type": "str"},
            "lock_wait_timeout": {"type": "int", "default": 60},
            "requested_by": {"type": "str", "default": ""},
        },
        mutually_exclusive=[("project_path", "source")],
        supports_check_mode=True,
    )
    with _progress.reporting() as report:
        _ansible.run(module, lambda: work(module, report))


def work(module: AnsibleModule, report: Report | None) -> dict[str, Any]:
    params = module.params
    request = archive.Request(
        server=_ansible.server(params),
        database=params["login_db"],
        dest=params["dest"],
        format=params["format"],
        jobs=params["jobs"],
        materializations=params["materializations"],
        exclude_tables=params["exclude_tables"],
        exclude_table_data=params["exclude_table_data"],
        allow_incomplete=params["allow_incomplete"],
        compression=params["compression"],
        compression_level=params["compression_level"],
        globals=params["globals"],
        project_path=params["project_path"],
        project_user=params["project_user"],
        source=facts.Source(**params["source"]) if params["source"] else None,
        fingerprint=params["fingerprint"],
        shrink_percent=params["shrink_percent"],
        min_age=params["min_age"],
        lock_wait_timeout=params["lock_wait_timeout"],
        lock_wait=params["lock_wait"],
        lock_token=params["lock_token"],
        requested_by=params["requested_by"],
        beside=extras.Wanted(params["media_path"] or "", params["files"], Encryption(**(params["encryption"] or {}))),
        room=_ansible.room(params),
        on_progress=report,
    )
    if module.check_mode:
        prepared = archive.prepare(request)
        backup = prepared.young
    else:
        prepared, backup = archive.create(request)
    if prepared.strange:
        module.warn(prepared.strange)
    changed = prepared.young is None
    name = backup.id if backup else prepared.id
    before = prepared.newest.id if prepared.newest else ""
    result: dict[str, Any] = {
        "changed": changed,
        "id": name,
        "path": backup.path if backup else f"{store.folder(request.dest, request.database)}/{name}",
        "diff": {"before": {"newest_backup": before}, "after": {"newest_backup": name if changed else before}},
        "gone": prune.told_gone(prepared.room) if prepared.room else [],
        "left_out": selection.left_out(prepared.plan),
    }
    if backup:
        manifest = backup.manifest
        result.update(
            manifest=manifest,
            bytes=manifest["bytes"],
            rows=sum(table["rows"] for table in manifest["tables"]),
            seconds=backup.seconds,
            left_out=manifest["left_out"],
            missing=manifest["missing"],
        )
    return result


if __name__ == "__main__":
    main()
