# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the project's own Python, before its code: whatever the settings say, the message broker is one in memory.

CATMAID's development branch connects to the broker while its package is imported, before anybody could change the
settings, and waits for ever for one that does not run: on a new host, or while an upgrade has stopped all services.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
from typing import Any


class Quiet(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the settings as others would, and changes them before anybody has seen them."""

    def __init__(self, settings: str) -> None:
        self.settings = settings
        self.loader = None  # type: Any

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self.settings:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        # Whoever looks finds the loader that was meant.
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        module.CELERY_BROKER_URL = module.BROKER_URL = "memory://"
        module.CELERY_RESULT_BACKEND = "cache+memory://"


if __name__ == "__main__":
    sys.meta_path.insert(0, Quiet(json.loads(os.environ["CATMAID_ADMIN_SHIM"])["settings"]))
