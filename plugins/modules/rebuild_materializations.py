#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_materializations
short_description: Bring CATMAID's derived tables in line with their sources
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Compares CATMAID's derived tables, which it calls materializations, with the tables that they are derived from, and
    rebuilds those that differ. A restored backup without them needs it; so may a database that was edited directly.
  - The comparison only reads. It looks at every edge's geometry and every skeleton's number of nodes. Node statistics
    are stale if an hour before the newest one of their project is missing or has fewer nodes than exist, or if a
    project has nodes of past hours and no statistics. That they lack the newest hours is how CATMAID works.
  - V(edges) are built as new tables beside those in use, in the schema C(catmaid_admin_twin), while people view and
    trace. Then writers wait, for some seconds per million treenodes, while what they have changed meanwhile is made up
    for, and viewers for the moment in which the tables are exchanged. New and old tables have the same definition,
    rights, options and comments, which is compared before.
  - Of a release whose contents are not known here, and where something hangs on the tables (a view of your own, say),
    CATMAID's own command rebuilds V(edges), and a warning says why. It locks viewers out while it runs.
  - Each other materialization is rebuilt in one transaction. A run that is killed leaves what was there before; what it
    had begun with, the next one takes away.
  - The column C(num_imported_nodes) of C(catmaid_skeleton_summary), which CATMAID's own rebuild sets to 0, is kept.
    An empty table gets it from the backup's O(sidecar).
  - After a rebuild the tables are compared again; the module fails if they still differ.
notes:
  - The login options say which database is meant, and need a role that can read it and owns, or may empty, the derived
    tables. Commands of the project log in as the settings module says, to O(login_db); that it is the same database is
    proved before they run. See M(catmaid.admin.migrate) for settings that lead to another server.
  - The rebuilds of the two summaries lock them against readers until they are done, some seconds per million treenodes.
  - C(last_editor_id) in C(catmaid_skeleton_summary) is the editor of the newest node after a rebuild, unless O(sidecar)
    knows it; triggers keep the user of the newest request.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
  - catmaid.admin.login
  - catmaid.admin.project
options:
  materializations:
    description:
      - Which ones to look at, by default all.
      - V(edges) are the tables C(treenode_edge), C(treenode_connector_edge) and C(connector_geom).
      - V(node_statistics) is C(catmaid_stats_summary), V(skeleton_summary) is C(catmaid_skeleton_summary).
      - V(node_query_cache) is only looked at if C(NODE_PROVIDERS) in the settings use it.
    type: list
    elements: str
    choices: [edges, node_statistics, skeleton_summary, node_query_cache]
    default: [edges, node_statistics, skeleton_summary, node_query_cache]
  force:
    description: Rebuild them also if they do not differ.
    type: bool
    default: false
  sidecar:
    description:
      - Directory of the backup that the database was restored from. What its sidecar kept of the two summary tables,
        and a rebuild cannot compute, is put back by a rebuild of them. See
        O(catmaid.admin.pg_dump#module:materializations).
      - What the database itself still knows wins. A backup without a sidecar changes nothing.
    type: path
  lock_timeout:
    description:
      - Seconds that a rebuild waits for a lock; V(0) means for ever. For the exchange of V(edges) it asks again and
        again, for less than a second each time, so that viewers get through.
      - When it is over, the module fails and names the sessions that hold the lock.
    type: int
    default: 30
requirements:
  - psycopg2 for the Python that runs the module
"""

EXAMPLES = r"""
- name: Rebuild what differs
  catmaid.admin.rebuild_materializations:
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    login_db: catmaid

- name: Rebuild the edges of a restored database beside the live one
  catmaid.admin.rebuild_materializations:
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    login_db: catmaid_restore
    materializations: [edges]
    force: true

- name: Rebuild what a backup without derived tables left out, and lose nothing
  catmaid.admin.rebuild_materializations:
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    login_db: catmaid_restore
    sidecar: /var/backups/catmaid/catmaid/catmaid_20261123T030000Z_2021.12.21
"""

RETURN = r"""
stale:
  description: How tables differed from their sources when the module started.
  returned: success
  type: list
  elements: dict
  contains:
    materialization:
      description: Name of the materialization.
      type: str
      sample: edges
    table:
      description: The table.
      type: str
      sample: treenode_edge
    reason:
      description: What is wrong with it.
      type: str
      sample: 1000000 rows missing
rebuilt:
  description: Materializations that were, or in check mode would be, rebuilt.
  returned: success
  type: list
  elements: str
  sample: [edges]
unused:
  description: Caches that the settings do not use.
  returned: success
  type: list
  elements: str
  sample: [node_query_cache]
rows:
  description: Rows of each table, by its name. In check mode both numbers are those of now.
  returned: success
  type: dict
  sample:
    treenode_edge:
      before: 0
      after: 1000000
duration:
  description: Seconds.
  returned: success
  type: dict
  contains:
    total:
      description: The whole run, with the comparisons.
      type: float
    materializations:
      description: Each rebuild, by name.
      type: dict
"""

import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _progress
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import (
    lock_argument_spec,
    login_argument_spec,
    project,
    project_argument_spec,
    run,
    server,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import sidecar
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import edges, rebuild
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid.materializations import TABLES
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Report


def difference(survey: rebuild.Survey, names: list[str]) -> dict[str, str]:
    """Return the diff: what is wrong with each table before, and that it is fresh after."""
    reasons = {finding.table: finding.reason for finding in survey.findings}
    before, after = [], []
    for name, tables in TABLES.items():
        for table in tables:
            if table in survey.rows:
                before.append(f"{table}: {reasons.get(table, 'fresh')}\n")
                after.append(f"{table}: {'rebuilt' if name in names else 'fresh'}\n")
    return {"before": "".join(before), "after": "".join(after)}


def bring_in_line(module: AnsibleModule, report: Report | None) -> dict[str, Any]:
    """Compare, and outside check mode rebuild what differs."""
    params = module.params
    started = time.monotonic()
    runner = Runner(project(params), server(params), params["login_db"])
    runner.project.validate()
    kept = sidecar.read(params["sidecar"]) if params["sidecar"] else {}
    before = rebuild.survey(runner, params["materializations"], report=report)
    asked = [name for name in TABLES if name in params["materializations"] and name not in before.unused]
    names = asked if params["force"] else before.stale
    after, seconds = before, {}
    left_over = "edges" in params["materializations"] and edges.left_over(runner)
    if left_over and not module.check_mode:
        edges.tidy(runner)
    if names and not module.check_mode:
        seconds, warnings = rebuild.rebuild(runner, names, before, params["lock_timeout"], kept, report)
        for warning in warnings:
            module.warn(warning)
        after = rebuild.verify(runner, asked, before, report)
    return {
        "changed": bool(names) or left_over,
        "stale": [asdict(finding) for finding in before.findings],
        "rebuilt": names,
        "unused": before.unused,
        "rows": {table: {"before": count, "after": after.rows[table]} for table, count in before.rows.items()},
        "duration": {"total": round(time.monotonic() - started, 3), "materializations": seconds},
        "diff": difference(before, names),
    }


def main() -> None:
    """Run the module."""
    names = list(TABLES)
    module = AnsibleModule(
        argument_spec={
            **lock_argument_spec(),
            **login_argument_spec(),
            **project_argument_spec(),
            "materializations": {"type": "list", "elements": "str", "choices": names, "default": names},
            "force": {"type": "bool", "default": False},
            "sidecar": {"type": "path"},
            "lock_timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    database = module.params["login_db"]
    job = f"rebuilding materializations of database {database}"
    with _progress.reporting() as report:
        run(module, lambda: bring_in_line(module, report), job=job, databases=[database])


if __name__ == "__main__":
    main()
