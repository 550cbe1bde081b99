# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show how far the module direct_edit is."""

from __future__ import annotations

from ansible_collections.catmaid.admin.plugins.plugin_utils.progress import ProgressAction


class ActionModule(ProgressAction):
    """The module's face on the controller."""
