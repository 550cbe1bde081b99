#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_prune
short_description: Remove old backups of a database
version_added: 1.0.0
description:
  - Removes the backups of M(catmaid.admin.pg_dump) that no rule keeps. A backup that one rule keeps stays.
  - Rules choose among the verified backups, those that are whole and not suspicious. Periods are hours, days, ISO
    weeks, months and years in UTC. The newest backup of a period stands for it, and a period without a backup costs
    nothing.
  - The newest verified backup always stays. So do backups that are held by M(catmaid.admin.backup_hold), suspicious
    ones that nobody has decided about, those dated in the future, and those that somebody is reading.
  - A damaged backup counts for no rule. It stays until it is older than the newest verified one by a week, and by
    O(keep_within).
  - Nothing is removed while the newest backup is suspicious, and while there is no verified one.
  - "The backup loses its name first and then its files: a run that is killed leaves nothing that looks like a backup,
    and the next run removes the rest. Whatever else is in the folder is never touched."
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
attributes:
  check_mode:
    details:
      - In check mode it tells what would go and why the others stay.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  dest:
    description: Folder that holds the backups of all databases, as in O(catmaid.admin.pg_dump#module:dest).
    type: path
    required: true
  database:
    description: Name of the database whose backups to prune.
    type: str
    required: true
  keep_last:
    description:
      - How many of the newest backups stay.
      - All rules must not be zero, which would leave one backup.
    type: int
    default: 7
  keep_hourly:
    description: For how many hours that have a backup their newest one stays.
    type: int
    default: 0
  keep_daily:
    description: For how many days that have a backup their newest one stays.
    type: int
    default: 7
  keep_weekly:
    description: For how many weeks that have a backup their newest one stays.
    type: int
    default: 4
  keep_monthly:
    description: For how many months that have a backup their newest one stays.
    type: int
    default: 12
  keep_yearly:
    description: For how many years that have a backup their newest one stays.
    type: int
    default: 0
  keep_within:
    description:
      - How much older than the newest verified backup one may be to stay. Seconds, or a number with C(s), C(m), C(h),
        C(d) or C(w). Empty is no such rule.
      - It is not the age from now, so that backups that fail for a month do not cost those from before.
    type: str
    default: ""
  max_bytes:
    description:
      - How much all backups of the database may take together, such as V(50G). V(0) is no limit.
      - When they take more, the damaged ones that may go and then the oldest ones are removed until they fit. When
        they cannot fit, none is removed for that, and the module fails after it has done the rest.
    type: str
    default: "0"
  min_free:
    description: How much is to be free where the backups are, such as V(10G). Otherwise like O(max_bytes).
    type: str
    default: "0"
  expected:
    description:
      - Name of a backup that M(catmaid.admin.pg_dump) would make before, as its RV(catmaid.admin.pg_dump#module:id)
        tells in check mode. In check mode it counts as if it were there, as large as the newest one. Otherwise nobody
        looks at it.
    type: str
    default: ""
  requested_by:
    description: Who or what asks for it, for the status.
    type: str
    default: ""
seealso:
  - module: catmaid.admin.pg_dump
  - module: catmaid.admin.backup_hold
  - module: catmaid.admin.backup_info
"""

EXAMPLES = r"""
- name: Keep a week, a month in weeks, and a year in months
  catmaid.admin.backup_prune:
    dest: /var/backups/catmaid
    database: catmaid
    keep_last: 3
    keep_daily: 7
    keep_weekly: 4
    keep_monthly: 12
    min_free: 20G

- name: Keep the last ten, and nothing else
  catmaid.admin.backup_prune:
    dest: /var/backups/catmaid
    database: catmaid
    keep_last: 10
    keep_daily: 0
    keep_weekly: 0
    keep_monthly: 0
"""

RETURN = r"""
gone:
  description: The backups that were removed, or would be in check mode, oldest first, with C(id), C(why) and C(bytes).
  returned: always, once backups were chosen
  type: list
  elements: dict
  sample:
    - id: catmaid_20251020T030000Z_2021.12.21
      why: no rule keeps it
      bytes: 37200000
kept:
  description: The backups that stay, newest first, with C(id) and C(reasons).
  returned: always, once backups were chosen
  type: list
  elements: dict
  sample:
    - id: catmaid_20261123T030000Z_2021.12.21
      reasons: [the newest verified one, last 1 of 7, daily 2026-11-23]
refused:
  description: Why nothing was removed though rules would have allowed it. Empty when there was no such reason.
  returned: success
  type: str
leftovers:
  description: What killed runs had left and was removed, or would be in check mode.
  returned: success
  type: list
  elements: str
bytes:
  description: Size of what was removed.
  returned: success
  type: int
  sample: 37200000
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import prune


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.lock_argument_spec(),
            "dest": {"type": "path", "required": True},
            "database": {"type": "str", "required": True},
            **_ansible.retention_argument_spec(last=7, daily=7, weekly=4, monthly=12),
            "expected": {"type": "str", "default": ""},
            "requested_by": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    request = prune.Request(
        dest=params["dest"],
        database=params["database"],
        **_ansible.retention(params),
        lock_wait=params["lock_wait"],
        lock_token=params["lock_token"],
        requested_by=params["requested_by"],
        expected=params["expected"] if module.check_mode else "",
    )
    prepared = prune.check(request) if module.check_mode else prune.run(request)
    decision = prepared.decision
    for warning in [decision.refused, *decision.warnings]:
        if warning:
            module.warn(warning)
    before = sorted([*decision.kept, *decision.gone])
    return {
        "changed": bool(decision.gone or prepared.leftovers),
        "gone": prune.told_gone(prepared),
        "kept": prune.told_kept(prepared),
        "refused": decision.refused,
        "leftovers": prepared.leftovers,
        "bytes": prepared.bytes,
        "diff": {"before": lines(before), "after": lines([name for name in before if name in decision.kept])},
    }


def lines(names: list[str]) -> str:
    return "".join(f"{name}\n" for name in names)


if __name__ == "__main__":
    main()
