# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What may go so that a backup has room."""

    DOCUMENTATION = r"""
options:
  make_room:
    description:
      - Rules like those of M(catmaid.admin.backup_prune). When the disk has not room for a backup, the backups that
        they let go are removed before, if that is enough. They count the backup that is about to be made.
      - The newest verified one stays until then, and so does all that M(catmaid.admin.backup_prune) never removes.
      - Without it no backup is removed, and a disk that is too full is an error.
    type: dict
    suboptions:
      keep_last:
        description: As O(catmaid.admin.backup_prune#module:keep_last).
        type: int
        default: 0
      keep_hourly:
        description: As O(catmaid.admin.backup_prune#module:keep_hourly).
        type: int
        default: 0
      keep_daily:
        description: As O(catmaid.admin.backup_prune#module:keep_daily).
        type: int
        default: 0
      keep_weekly:
        description: As O(catmaid.admin.backup_prune#module:keep_weekly).
        type: int
        default: 0
      keep_monthly:
        description: As O(catmaid.admin.backup_prune#module:keep_monthly).
        type: int
        default: 0
      keep_yearly:
        description: As O(catmaid.admin.backup_prune#module:keep_yearly).
        type: int
        default: 0
      keep_within:
        description: As O(catmaid.admin.backup_prune#module:keep_within).
        type: str
        default: ""
      max_bytes:
        description: As O(catmaid.admin.backup_prune#module:max_bytes).
        type: str
        default: "0"
      min_free:
        description: As O(catmaid.admin.backup_prune#module:min_free).
        type: str
        default: "0"
"""
