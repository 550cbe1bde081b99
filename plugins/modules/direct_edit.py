#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: direct_edit
short_description: Edit rows of a CATMAID database by SQL, with a net
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Runs a file of SQL in one transaction in which no trigger fires (C(session_replication_role = replica)), and keeps
    what it does only if the database is as sound afterwards as it was before.
  - First the file is tried in a transaction that is rolled back. Its locks tell which tables it writes to. These are
    locked against others, and their rows are backed up into O(dest).
  - Then it runs. The geometry tables and the summaries of the skeletons that were touched are brought to what their
    sources say now. Foreign keys from and to the edited tables, the trees of the touched skeletons, links, meshes,
    materializations, constraints and triggers are looked at before and after.
  - With any fault that was not there before all of it is rolled back. Faults of before are told in RV(known_faults).
  - No history is written while triggers are off, see RV(without_history) and O(replica).
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
  - catmaid.admin.lock
attributes:
  check_mode:
    details:
      - In check mode all is done but the backup, and rolled back. Sequences may have given numbers meanwhile.
  diff_mode:
    description: Rows and fingerprint of each table that is edited, before and after.
    support: full
  idempotent:
    description: A second run without a change in between changes nothing.
    support: partial
    details:
      - As far as the SQL does. When all tables hold afterwards what they held before, nothing was changed.
options:
  login_db:
    description: Name of the database.
  login_user:
    description: With O(replica) it has to be a superuser.
  src:
    description:
      - Path of the file on the host. Its statements may change rows, and make temporary tables.
      - Refused are statements about transactions (C(BEGIN), C(COMMIT) and so on), commands of C(psql) such as C(\\i),
        what is about the schema or the server, what reads or writes files of the server, C(setval), and whatever
        changes C(session_replication_role). C(COPY … FROM stdin) with its rows is understood.
    type: path
    required: true
  name:
    description: What to call the file in messages and in the record. Without it, its path.
    type: str
    default: ""
  encoding:
    description: Character encoding of the file, as Python calls it.
    type: str
    default: utf-8
  dest:
    description:
      - Folder for the backups of edited tables, one below it for each database. It is created when it is missing.
      - The file C(direct-edits.jsonl) in it tells of each edit who made it, when and to which rows, and how to get at
        what was there before. The SQL is kept beside it. Nothing in the folder is ever removed.
      - It is not that of the backups of whole databases, which one of these must not be taken for.
    type: path
    required: true
  replica:
    description:
      - Whether triggers are off while the file runs. It may do what they would refuse then, and no history is written.
      - With V(false) they fire as in everyday life, history is written, and the net is the same. No superuser is
        needed.
    type: bool
    default: true
  lock_timeout:
    description: How many seconds to wait for a table or a row that somebody else has locked.
    type: int
    default: 30
  requested_by:
    description: Who or what asks for this edit, for the record.
    type: str
    default: ""
requirements:
  - psycopg2
  - What M(catmaid.admin.pg_dump) needs
seealso:
  - module: catmaid.admin.integrity
  - module: catmaid.admin.rebuild_materializations
"""

EXAMPLES = r"""
- name: Give the neurons of somebody who has left to somebody else
  catmaid.admin.direct_edit:
    login_db: catmaid
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    src: /root/reassign.sql
    dest: /var/backups/catmaid-edits
    requested_by: Jane
"""

RETURN = r"""
tables:
  description: The tables whose rows the file has written to.
  returned: success
  type: list
  elements: dict
  contains:
    table:
      description: Schema and name.
      type: str
    inserted:
      description: Rows that were inserted.
      type: int
    updated:
      description: Rows that were updated, also to what they were.
      type: int
    deleted:
      description: Rows that were deleted.
      type: int
    before:
      description: Rows before.
      type: int
    after:
      description: Rows after.
      type: int
statements:
  description: Number of statements in the file.
  returned: success
  type: int
skeletons:
  description: Number of skeletons whose nodes are others than before.
  returned: success
  type: int
mended:
  description:
    - Rows of derived tables that were brought to what their sources say, by table. V(0) where a table was rebuilt.
  returned: success
  type: dict
sequences:
  description: Sequences that were brought forward, because rows with numbers of their own had come.
  returned: success
  type: list
  elements: str
known_faults:
  description: Faults that were there before, and still are.
  returned: success
  type: list
  elements: str
without_history:
  description: Edited tables that have a history to which nothing was added.
  returned: success
  type: list
  elements: str
backup:
  description: Backup of the rows that the edited tables had, empty when nothing was changed, and in check mode.
  returned: success
  type: str
undo:
  description: Command that restores these tables into a database to look things up in.
  returned: success
  type: str
faults:
  description: What would have been wrong afterwards.
  returned: when it was rolled back for that
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible, _progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner
from ansible_collections.catmaid.admin.plugins.module_utils.engine.edits import job, statements
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Report


def edit(module: AnsibleModule, report: Report | None) -> dict[str, Any]:
    """Do it, and tell of it."""
    params = module.params
    runner = Runner(_ansible.project(params), _ansible.server(params), params["login_db"])
    runner.project.validate()
    request = job.Request(
        runner=runner,
        edit=statements.read(params["src"], params["name"] or params["src"], params["encoding"]),
        dest=params["dest"],
        replica=params["replica"],
        lock_timeout=params["lock_timeout"],
        by=params["requested_by"],
        check=module.check_mode,
        on_progress=report,
    )
    outcome = job.carry_out(request)
    for warning in outcome.warnings:
        module.warn(warning)
    return {
        "changed": outcome.changed,
        "tables": [
            {
                "table": change.table.label,
                **dict(zip(("inserted", "updated", "deleted"), change.counts)),
                "before": change.before.rows,
                "after": change.after.rows,
            }
            for change in outcome.changes
        ],
        "statements": outcome.statements,
        "skeletons": len(outcome.skeletons),
        "mended": outcome.mended,
        "sequences": outcome.sequences,
        "known_faults": outcome.known_faults,
        "without_history": outcome.without_history,
        "backup": outcome.backup,
        "undo": outcome.undo,
        "diff": {
            "before": "".join(
                f"{one.table.label}: {one.before.fingerprint}\n" for one in outcome.changes if one.is_one
            ),
            "after": "".join(f"{one.table.label}: {one.after.fingerprint}\n" for one in outcome.changes if one.is_one),
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.project_argument_spec(),
            **_ansible.lock_argument_spec(),
            "src": {"type": "path", "required": True},
            "name": {"type": "str", "default": ""},
            "encoding": {"type": "str", "default": "utf-8"},
            "dest": {"type": "path", "required": True},
            "replica": {"type": "bool", "default": True},
            "lock_timeout": {"type": "int", "default": 30},
            "requested_by": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    database = module.params["login_db"]
    with _progress.reporting() as report:
        _ansible.run(module, lambda: edit(module, report), job=f"editing database {database}", databases=[database])


if __name__ == "__main__":
    main()
