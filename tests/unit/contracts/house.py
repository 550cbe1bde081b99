# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house as files: what there is, and how to read it.

The other files of this folder hold the contracts: functions that return a list of problems.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
PLUGINS = CHECKOUT / "plugins"
ENGINE = PLUGINS / "module_utils/engine"


class Loader(yaml.SafeLoader):
    """Reads Ansible's own tags too."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: loader.construct_scalar(node))


def read(path: Path) -> Any:
    """Return the content of a YAML file, an empty dictionary when there is none."""
    return (yaml.load(path.read_text(encoding="utf-8"), Loader) if path.exists() else None) or {}


def names(pattern: str) -> list[str]:
    """Return the sorted stems of the files that match, without Python's own."""
    return sorted(path.stem for path in CHECKOUT.glob(pattern) if path.stem != "__init__")


MODULES = names("plugins/modules/*.py")
PLAYBOOKS = names("playbooks/*.yml")
ROLES = sorted(path.name for path in (CHECKOUT / "roles").glob("*") if path.is_dir())


def yaml_files(*folders: str) -> list[Path]:
    """Return the YAML files below these folders."""
    found = (path for folder in folders for path in (CHECKOUT / folder).rglob("*") if path.suffix in (".yml", ".yaml"))
    return sorted(found)


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary in a value, however deep."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from mappings(item)


def relative(path: Path) -> str:
    """Return a path as it is written in messages."""
    return str(path.relative_to(CHECKOUT))
