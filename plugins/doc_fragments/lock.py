# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The job lock: one job at a time on a database."""

    DOCUMENTATION = r"""
options:
  lock_wait:
    description:
      - Only one job at a time works on a database on this host. For how many seconds to wait for another one to end.
      - With V(0) it fails at once and tells which job that is, its process and since when it runs.
    type: float
    default: 0
  lock_token:
    description: What M(catmaid.admin.job_lock) returned, for a task of the play that holds the lock.
    type: str
    default: ""
"""
