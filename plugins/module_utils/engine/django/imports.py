# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing what migrations will need, on the far side of the shim, before it is asked for: the same rules hold as for
child.py. It takes longer than all that is done then.
"""

# ruff: noqa: UP006, UP035
# mypy: disable-error-code="import-not-found, import-untyped"

import importlib
from typing import Any, Dict


def run(_config: Dict[str, Any]) -> None:
    """Import the code of migrations, and leave no connection that could have been opened by that."""
    from django.db import connections
    from django.db.migrations.loader import MigrationLoader

    importlib.import_module("django.core.management.commands.migrate")
    MigrationLoader(None, ignore_no_migrations=True)
    for name in connections:
        connections[name].close()
