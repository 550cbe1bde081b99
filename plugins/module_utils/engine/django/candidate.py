# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Letting a text be the settings module, on the far side of the shim: it runs before child.py, whose rules hold here.

So settings can be tried before any file has changed, by the release that will read them.
"""

# ruff: noqa: UP006, UP035

import importlib.abc
import importlib.util
import json
import os
import sys
from typing import Any, Dict


class Candidate(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the settings module in the text, and keeps what it says before anybody else changes that."""

    def __init__(self, config: Dict[str, Any]) -> None:
        self.config = config
        self.found = ""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self.config["settings"]:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self.config["path"])

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        module.__file__ = self.config["path"]
        # What settings say is told by running them, as the application will, and as its own user.
        exec(compile(self.config["candidate"], self.config["path"], "exec"), module.__dict__)  # noqa: S102 (see above)
        database = module.__dict__.get("DATABASES", {}).get("default", {})
        found = {
            "values": {name: module.__dict__[name] for name in self.config["names"] if name in module.__dict__},
            "database": {name: database[name] for name in self.config["keys"] if name in database},
        }
        self.found = json.dumps(found, default=str)


if __name__ == "__main__":
    sys.meta_path.insert(0, Candidate(json.loads(os.environ["CATMAID_ADMIN_SHIM"])))
