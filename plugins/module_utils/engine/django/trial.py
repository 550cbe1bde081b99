# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling what a candidate for the settings says, on the far side of the shim: the same rules hold as for child.py."""

# ruff: noqa: UP006, UP035

import json
import sys
from typing import Any, Dict


def run(config: Dict[str, Any]) -> Dict[str, Any]:
    """Return its values. That the application has accepted them is told by our being here."""
    module = sys.modules[config["settings"]]  # type: Any
    return dict(json.loads(module.__spec__.loader.found))
