# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floors of the house: imports go down only."""

from __future__ import annotations

import ast

FLOORS = {
    "errors": 0,
    "command": 1,
    "configs": 1,
    "files": 1,
    "progress": 1,
    "locks": 1,
    "sleepers": 1,
    "steps": 1,
    "webpage": 1,
    "postgres": 2,
    "web": 2,
    "django": 3,
    "catmaid": 4,
    "backups": 5,
    "tuning": 5,
    "edits": 6,
    "upgrades": 6,
    "adoption": 7,
    "checks": 7,
    "fleet": 7,
    "upkeep": 7,
    "cli": 8,
}


def imported(source: str, package: list[str]) -> list[str]:
    """Return what a source file imports as absolute dotted names, given the package that the file is in."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            # "from . import a" imports a module, "from .a import b" may: the longer name tells either.
            found += [f"{module}.{alias.name}" for alias in node.names]
    return found


def engine_problems(source: str, inside: list[str]) -> list[str]:
    """Check the imports of a file of the engine; ``inside`` is its path below the engine, such as [postgres, dump]."""
    package = ["engine", *inside[:-1]]
    if inside[0] not in FLOORS:
        return [f"{inside[0]} is on no floor: name it in FLOORS"]
    problems = []
    for name in imported(source, package):
        parts = name.split(".")
        if parts[0] in ("ansible", "ansible_collections"):
            problems.append(f"imports {name}: the engine knows no Ansible, and itself by relative imports")
        if parts[0] != "engine" or len(parts) < 2 or parts[1] == inside[0]:
            continue
        if parts[1] not in FLOORS:
            problems.append(f"imports {name}: {parts[1]} is on no floor")
        elif FLOORS[parts[1]] > FLOORS[inside[0]] or FLOORS[parts[1]] == FLOORS[inside[0]] > 1:
            problems.append(f"imports {name}: that is not below {inside[0]}")
    return problems


def module_problems(source: str) -> list[str]:
    """Check that a module imports no other module."""
    package = ["plugins", "modules"]
    return [
        f"imports {name}: a module never imports another"
        for name in imported(source, package)
        if "plugins.modules" in name
    ]
