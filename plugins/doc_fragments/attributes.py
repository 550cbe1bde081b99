# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that every module of this collection states."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and return the changed status that a real run would have.
    support: full
  diff_mode:
    description: Returns what has changed, or would change, when in diff mode.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: posix
  action_group:
    description: Use C(group/catmaid.admin.catmaid) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - catmaid.admin.catmaid
options: {}
"""
