# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options of the module upgrade_switch ask for."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from . import request, units
from .request import Release, Request


def parse(params: Mapping[str, Any], login: dict[str, Any]) -> Request:
    """Return what these options ask for."""
    stamp = time.strftime(request.STAMP, time.gmtime())
    old = request.release(os.path.realpath(params["current"]))
    new: Release = request.release(params["release"]) if params["release"] else old
    short = params["login_db"][:30]
    return Request(
        id=stamp,
        kind=request.UPGRADE,
        instance=units.instance_of(params["services"]),
        old=old,
        new=new,
        database=params["login_db"],
        login=login,
        copy=f"{short}_before_upgrade_{stamp}",
        failed=f"{short}_failed_upgrade_{stamp}",
        by=params["requested_by"],
        project_user=params["project_user"] or "",
        expected=params["expected_seconds"],
        hook=params["hook"] or "",
        stats_socket=params["stats_socket"] or "",
        services=units.all_of(params["services"]),
        backup_dir=params["backup_dir"] or "",
        **{
            name: params[name]
            for name in (
                "state_dir", "current", "settings", "lock_timeout", "lock_seconds", "max_downtime",
                "keep_copy", "maintenance", "site", "web", "url_prefix", "direct", "backup", "lock_token", "lock_wait",
                "protect", "backup_hours",
            )
        },
    )  # fmt: skip
