# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the code for its migrations and settings, on the far side of the shim: the same rules hold as for child.py."""

# ruff: noqa: UP006, UP035
# mypy: disable-error-code="import-not-found, import-untyped"

from typing import Any, Dict


def run(config: Dict[str, Any]) -> Dict[str, Any]:
    """Say which migrations the code has, where its settings lead, and since when the server that answers there runs."""
    from django.conf import settings
    from django.db.migrations.loader import MigrationLoader

    database = settings.DATABASES["default"]
    loader = MigrationLoader(None)
    replaced = {tuple(key) for migration in loader.disk_migrations.values() for key in migration.replaces}
    return {
        "known": sorted(set(loader.disk_migrations) | replaced),
        "apps": sorted(loader.migrated_apps | loader.unmigrated_apps),
        "leads": {
            "host": str(database.get("HOST") or ""),
            "port": int(database.get("PORT") or 5432),
            "started": config["found"][2] if config["found"] else "",
        },
    }
