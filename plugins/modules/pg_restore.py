#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore a backup or an archive of pg_dump into a database
version_added: 1.0.0
description:
  - Restores into a database of any name a backup of M(catmaid.admin.pg_dump), whatever C(pg_dump) wrote (custom,
    directory or tar format, or SQL, which gzip, bzip2, xz or zstd may have compressed), or the two files of a database
    that CATMAID's own script for small backups writes. What it is shows by its contents.
  - "Before anything is touched the archive is proven to be whole: a backup by its manifest and the SHA-256 of every
    file, all others by reading all of them."
  - SQL is not given to C(psql). Only what C(pg_dump) writes is run, in the one database that is restored into. What is
    about the original database by its name is left out, and told in RV(skipped). A file with any other command of
    psql, or with more than one database, is refused.
  - It stops at the first error. What is known to fail and to do no harm by it (comments of extensions, for a login
    that is no superuser) is left out beforehand and told in RV(skipped); no error is ever excused.
  - Afterwards the planner's statistics are made, and rows and fingerprint of each table and the number of objects are
    compared with the manifest. Without a manifest, the rows of each table are compared with those that the archive
    holds. A database that this run created is dropped again when anything of it fails.
  - A database that holds tables is refused, so that a live one is safe. Restore next to it, and let
    M(catmaid.admin.database_swap) put the result in its place.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
  - catmaid.admin.login
attributes:
  check_mode:
    details:
      - In check mode the archive is read and checked as in a real run, and so are the target, its roles, extensions and
        disk.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: none
    details:
      - The second run is refused, because the database holds tables then.
options:
  login_db:
    description: Name of the database to restore into.
  archive:
    description:
      - Directory of a backup, a file or folder of C(pg_dump), or of a backup in two files either of them or the folder
        with both (C(<database>.schema.gz.dump) and C(<database>.all.gz.dump)).
    type: path
    required: true
  sections:
    description:
      - Sections to restore, in the words of C(pg_restore). They are restored in their order, whatever the order here.
      - One by one, they allow to fill tables before indexes and triggers exist. A database that this module created
        counts as unfinished until V(post-data) is in it; M(catmaid.admin.database_swap) does not take it before.
    type: list
    elements: str
    choices: [pre-data, data, post-data]
    default: [pre-data, data, post-data]
  jobs:
    description:
      - How many tables or indexes are restored at the same time.
      - Without it, as many as this host has CPUs, but four at most.
    type: int
  create_database:
    description:
      - Create the database when it does not exist, with owner, encoding and locale of the original.
      - One that a killed run of this module has left unfinished is dropped first.
    type: bool
    default: true
  owner:
    description:
      - Owner of a database that is created. Without it, the owner of the original, or O(login_user) for an archive
        that does not tell.
    type: str
  create_extensions:
    description:
      - Extensions to create before the restore. Without it, those of the original.
      - This is what lets the database's owner restore, who may not create them. An extension that the server lacks is
        an error before anything is touched.
    type: list
    elements: str
  restore_roles:
    description:
      - Create the roles that do not exist from the file next to the dump, if it has one (C(globals.gz.dump), or
        another name that begins with C(globals.), beside what is no backup of this collection). Those that exist stay
        as they are.
      - Without it, a missing owner is an error before anything is touched.
    type: bool
    default: false
  verify:
    description:
      - Compare rows and objects with the manifest, and the fingerprints of tables that it tells.
      - Of a foreign archive the number of rows of each table is compared.
      - A fingerprint is of the contents alone. Neither order of rows or columns nor the version of the server matters.
    type: bool
    default: true
  in_place:
    description:
      - Replace what the database holds, in one transaction and therefore with one job. When it fails, everything is as
        before. Not from SQL.
      - Tables that the archive does not know stay as they are.
    type: bool
    default: false
  fill:
    description:
      - Fill CATMAID's geometry tables, when the archive has them without their rows, while their indexes and triggers
        do not exist yet. That is much sooner done than a rebuild afterwards.
      - This is done for releases of CATMAID of which it is proven that the result is that of CATMAID's own command, and
        for tables whose sources are in the archive. All others stay empty and in RV(left_out).
      - Not with O(in_place).
    type: bool
    default: true
  tables:
    description:
      - Restore the rows of these tables alone, to look up what they held. All other tables are made, and stay empty.
      - A table outside of the schema C(public) is named with its schema before a dot.
      - The section V(post-data) is left out, because constraints would miss the rows of other tables. So there are no
        indexes, and M(catmaid.admin.database_swap) refuses the database, which is marked as unfinished.
    type: list
    elements: str
    default: []
  source_db:
    description:
      - Name of the database that was backed up, when O(archive) is a folder with the backups of several in two files
        each. Without it, O(login_db) if there is one of that name, else the only one.
    type: str
    default: ""
  scrub:
    description:
      - Take out of the database what M(catmaid.admin.database_scrub) takes out, for a copy that others are to work
        with.
      - The database must be one that is created. Until it is scrubbed, nobody but superusers can connect to it, not
        even its owner, and M(catmaid.admin.database_swap) does not take it. So what is left when this is killed shows
        nothing to anybody. Needs a superuser.
      - What the original's owner owned in it, belongs to O(owner) then. The database is marked as a copy, as by
        M(catmaid.admin.clone_target).
    type: dict
    suboptions:
      keep:
        description: What is not to be removed.
        type: list
        elements: str
        default: []
        choices: [admin_log, client_data, emails, history, messages, passwords, sessions, social, tokens, urls]
      domain:
        description: Where the copy is to be reached, for C(django_site). Empty changes nothing.
        type: str
        default: ""
      label:
        description: What the title of each project is to begin with.
        type: str
        default: ""
requirements:
  - PostgreSQL's client programs in the server's major version or a newer one
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.pg_dump
  - module: catmaid.admin.database_swap
  - module: catmaid.admin.rebuild_materializations
"""

EXAMPLES = r"""
- name: Restore the newest backup next to the live database
  catmaid.admin.pg_restore:
    login_db: catmaid_restored
    archive: "{{ backups.newest.path }}"
  register: restored

- name: Restore everything but indexes and triggers
  catmaid.admin.pg_restore:
    login_db: catmaid_restored
    archive: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
    sections: [pre-data, data]

- name: Look up what a table held
  catmaid.admin.pg_restore:
    login_db: catmaid_scratch
    archive: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
    tables: [treenode, treenode__history]
- name: Restore what CATMAID's script for small backups wrote
  catmaid.admin.pg_restore:
    login_db: catmaid_restored
    archive: /var/backups/postgres
    source_db: catmaid
    restore_roles: true

- name: Restore on a new server, roles included
  catmaid.admin.pg_restore:
    login_db: catmaid
    archive: /root/catmaid_20261123T030000Z_2021.12.21
    restore_roles: true
"""

RETURN = r"""
database:
  description: Name of the database.
  returned: success
  type: str
  sample: catmaid_restored
created:
  description: Whether the database was created, or would be in check mode.
  returned: success
  type: bool
seconds:
  description:
    - What each part took, by the name of the section, and V(analyze), V(verify), or V(all) with O(in_place).
    - V(data) lasts until all rows are there, V(post-data) from then on, although the first indexes are built before.
    - V(fill) is the time that filling tables took, which is part of V(data).
  returned: success, not in check mode
  type: dict
  sample: {"pre-data": 1.1, "data": 11.2, "fill": 5.9, "post-data": 29.3, "analyze": 1.4, "verify": 1.2}
proved_by:
  description:
    - What the restored rows were compared with. V(manifest) is that of the backup. V(counted rows) are those that were
      counted in a foreign archive while it was read to see whether it is whole.
    - Empty when nothing was compared, as without O(verify) or without rows.
  returned: success, not in check mode
  type: str
  sample: manifest
tables_compared:
  description: Number of tables whose rows were compared.
  returned: success, not in check mode
  type: int
  sample: 245
rows_compared:
  description: Number of rows in them.
  returned: success, not in check mode
  type: int
  sample: 5313378
fingerprints_compared:
  description:
    - Number of tables whose fingerprints were compared, too. Derived tables have none, nor have backups that were made
      without; none is compared in a database of another encoding than the original.
  returned: success, not in check mode
  type: int
  sample: 239
filled:
  description: Tables that the archive has without their rows and that were filled.
  returned: success, not in check mode
  type: list
  elements: str
  sample: [connector_geom, treenode_connector_edge, treenode_edge]
left_out:
  description:
    - Tables that the backup does not hold, as in RV(catmaid.admin.pg_dump#module:left_out), without those that were
      filled.
  returned: success
  type: list
  elements: dict
skipped:
  description: Entries of the archive that were not restored on purpose, with the reason.
  returned: success
  type: list
  elements: dict
  sample:
    - entry: COMMENT - EXTENSION postgis
      reason: the extension has its comment already, and only its owner may change it
roles_created:
  description: Roles that were created, or would be in check mode.
  returned: success
  type: list
  elements: str
missing:
  description: What of the original database's rights and settings could not be restored.
  returned: success, not in check mode
  type: list
  elements: str
notes:
  description:
    - What is otherwise than one may expect, and no error, such as an extension of a newer version than the original's.
  returned: success, not in check mode
  type: list
  elements: str
  sample: ["extension postgis is 3.5.2, and was 3.3.2"]
scrubbed:
  description: What was taken out, as the results of M(catmaid.admin.database_scrub).
  returned: with O(scrub), not in check mode
  type: dict
manifest:
  description: The manifest of the backup; null for a foreign archive.
  returned: success
  type: dict
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible, _progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import restoration, store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import scrub
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Report

SECTIONS = ["pre-data", "data", "post-data"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.lock_argument_spec(),
            **_ansible.login_argument_spec(),
            "archive": {"type": "path", "required": True},
            "sections": {"type": "list", "elements": "str", "choices": SECTIONS, "default": SECTIONS},
            "jobs": {"type": "int"},
            "create_database": {"type": "bool", "default": True},
            "owner": {"type": "str"},
            "create_extensions": {"type": "list", "elements": "str"},
            "restore_roles": {"type": "bool", "default": False},
            "verify": {"type": "bool", "default": True},
            "in_place": {"type": "bool", "default": False},
            "fill": {"type": "bool", "default": True},
            "tables": {"type": "list", "elements": "str", "default": []},
            "source_db": {"type": "str", "default": ""},
            "scrub": {
                "type": "dict",
                "options": {
                    "keep": {"type": "list", "elements": "str", "default": [], "choices": scrub.KEEPABLE},
                    "domain": {"type": "str", "default": ""},
                    "label": {"type": "str", "default": ""},
                },
            },
        },
        supports_check_mode=True,
    )
    database, path = module.params["login_db"], module.params["archive"]
    job = f"restoring {path} into {database}"
    with _progress.reporting() as report:
        _ansible.run(module, lambda: reading(module, report), job=job, databases=[database])


def reading(module: AnsibleModule, report: Report | None) -> dict[str, Any]:
    with store.using(module.params["archive"]):
        return work(module, report)


def work(module: AnsibleModule, report: Report | None) -> dict[str, Any]:
    params = module.params
    request = restoration.Request(
        server=_ansible.server(params),
        database=params["login_db"],
        archive=params["archive"],
        sections=[name for name in params["sections"] if name != "post-data" or not params["tables"]],
        jobs=params["jobs"],
        create_database=params["create_database"],
        owner=params["owner"],
        create_extensions=params["create_extensions"],
        restore_roles=params["restore_roles"],
        verify=params["verify"],
        in_place=params["in_place"],
        fill=params["fill"],
        tables=params["tables"],
        source_db=params["source_db"],
        scrub=scrub.Scrubbing(**params["scrub"]) if params["scrub"] else None,
        on_progress=report,
    )
    prepared = restoration.prepare(request)
    before = None if prepared.target is None else {"tables": prepared.tables}
    result: dict[str, Any] = {
        "changed": True,
        "database": request.database,
        "created": prepared.creates,
        "left_out": restoration.left_out(prepared.source),
        "skipped": [{"entry": entry, "reason": reason} for entry, reason in prepared.skip.items()],
        "roles_created": prepared.roles,
        "manifest": prepared.source.manifest,
        "diff": {
            "before": {request.database: before},
            "after": {request.database: {"restored_from": request.archive, "sections": request.sections}},
        },
    }
    if not module.check_mode:
        outcome = restoration.run(request, prepared)
        result.update(
            seconds=outcome.seconds,
            filled=outcome.filled,
            left_out=restoration.left_out(prepared.source, outcome.filled),
            proved_by=outcome.proof.by,
            tables_compared=outcome.proof.tables,
            rows_compared=outcome.proof.rows,
            fingerprints_compared=outcome.proof.fingerprints,
            roles_created=outcome.roles_created,
            missing=outcome.missing,
            notes=list(outcome.proof.notes),
            **({"scrubbed": asdict(outcome.scrubbed)} if outcome.scrubbed else {}),
        )
    return result


if __name__ == "__main__":
    main()
