#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_prune
short_description: Drop old databases that were kept when others took their place
version_added: 1.0.0
description:
  - M(catmaid.admin.database_swap) keeps the database that was live under another name, and writes into its comment
    which one it was and until when. This module drops those of one live database after some time.
  - Nothing without that comment is dropped, nor what was renamed since, nor what somebody is connected to.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
  - catmaid.admin.login
attributes:
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  login_db:
    description: Name of the live database. It need not exist, and is never dropped.
  prefixes:
    description: Only databases whose names begin with one of these.
    type: list
    elements: str
    required: true
  older_than:
    description: How long they have been kept at least, in seconds or with a unit, such as V(14d) or V(2w).
    type: str
    required: true
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.database_swap
"""

EXAMPLES = r"""
- name: Drop what restores have kept for longer than two weeks
  catmaid.admin.database_prune:
    login_db: catmaid
    prefixes: [catmaid_before_restore_]
    older_than: 14d
"""

RETURN = r"""
gone:
  description: Databases that were dropped, or would be in check mode, with C(name), C(bytes) and C(since).
  returned: success
  type: list
  elements: dict
  sample:
    - name: catmaid_before_restore_20261101t031500
      bytes: 895000000
      since: "2026-11-01T03:15:41Z"
stay:
  description: Databases that were kept and stay, with the same, and C(reason).
  returned: success
  type: list
  elements: dict
"""

from datetime import timedelta
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import kept, marks


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.lock_argument_spec(),
            **_ansible.login_argument_spec(),
            "prefixes": {"type": "list", "elements": "str", "required": True},
            "older_than": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    live = module.params["login_db"]
    _ansible.run(module, lambda: work(module), job=f"dropping what was kept of {live}", databases=[live])


def work(module: AnsibleModule) -> dict[str, Any]:
    live, prefixes = module.params["login_db"], module.params["prefixes"]
    server = _ansible.server(module.params)
    if not all(prefixes):
        raise CatmaidError(f"dropping what was kept of {live}", "an empty prefix is that of every name")
    before = store.now() - timedelta(seconds=store.seconds(module.params["older_than"]))
    verdicts = kept.judge(server, live, prefixes, before)
    if not module.check_mode:
        verdicts = kept.drop(server, verdicts)
    gone = [told(verdict.kept) for verdict in verdicts if not verdict.reason]
    stay = [{**told(verdict.kept), "reason": verdict.reason} for verdict in verdicts if verdict.reason]
    names = [verdict.kept.name for verdict in verdicts]
    return {
        "changed": bool(gone),
        "gone": gone,
        "stay": stay,
        "diff": {"before": {"kept": names}, "after": {"kept": [database["name"] for database in stay]}},
    }


def told(database: kept.Kept) -> dict[str, Any]:
    return {"name": database.name, "bytes": database.bytes, "since": database.since.strftime(marks.TIME)}


if __name__ == "__main__":
    main()
