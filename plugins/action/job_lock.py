# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let the job lock of a play end with the play."""

from __future__ import annotations

import secrets
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.catmaid.admin.plugins.plugin_utils import leash


class ActionModule(ActionBase):
    """Runs the module, and ties the lock that it has taken to the process that runs the play."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returned."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        controller = None
        if not self._task.check_mode and not self._task.async_val and "leash" not in arguments:
            controller = leash.controller(self._connection)
        if controller:
            arguments["leash"] = f"{leash.WORD}-{secrets.token_hex(8)}"
        wrapped = bool(self._task.async_val) and not self._connection.has_native_async
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=wrapped))
        if controller and result.get("token") and result.get("changed"):
            leash.tie(self._connection, arguments["leash"], controller)
        if not wrapped:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result
