# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show in which phase the module upgrade_switch is."""

from __future__ import annotations

from ansible.utils.display import Display
from ansible_collections.catmaid.admin.plugins.plugin_utils import remote_job
from ansible_collections.catmaid.admin.plugins.plugin_utils.progress import ProgressAction

display = Display()


class ActionModule(ProgressAction):
    """The module's face on the controller."""

    def _stop(self, job: remote_job.Job, label: str) -> None:
        """End the module, which only waits; say what becomes of that for which it has waited."""
        super()._stop(job, label)
        follow = "journalctl --follow --unit '*-upgrade*'"
        display.display(f"[{label}] what had begun on the host goes on, to its end or all the way back: {follow}")
