# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing without a test, and no name without a thing."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .house import CHECKOUT, MODULES, PLAYBOOKS, ROLES, mappings, names, read, yaml_files

NAME = re.compile(r"(?<!ansible_collections\.)\bcatmaid\.admin\.([a-z_][a-z0-9_]*)")
ROLE_ACTIONS = ("include_role", "import_role", "ansible.builtin.include_role", "ansible.builtin.import_role")
PLAYED = re.compile(r"\bplay(?:\.start)?\(\s*\"([a-z_]+)\"")
LINES_AT_MOST = 400


def short(name: str) -> str:
    """Return a role's or playbook's name without the collection's."""
    return name.removeprefix("catmaid.admin.")


def used_roles(content: Any) -> set[str]:
    """Return the roles that plays, tasks or a role's meta file name."""
    found = set()
    for mapping in mappings(content):
        listed = [*(mapping.get("roles") or []), *(mapping.get("dependencies") or [])]
        listed += [mapping[action] for action in ROLE_ACTIONS if action in mapping]
        for role in listed:
            name = role if isinstance(role, str) else role.get("role") or role.get("name") if role else None
            found |= {short(name)} if isinstance(name, str) else set()
    return found


def used_playbooks(content: Any) -> set[str]:
    """Return the playbooks that are imported, or given to a command that a task runs."""
    found = set()
    for mapping in mappings(content):
        argv = mapping.get("argv") if isinstance(mapping.get("argv"), list) else []
        for name in [mapping.get("import_playbook"), mapping.get("ansible.builtin.import_playbook"), *argv]:
            if isinstance(name, str) and (name.startswith("catmaid.admin.") or name.endswith(".yml")):
                found.add(short(name).rsplit("/", 1)[-1].removesuffix(".yml"))
    return found


def played_playbooks() -> set[str]:
    """Return the playbooks that the tests of scenarios run themselves."""
    tests = CHECKOUT.glob("molecule/*/tests/test_*.py")
    return {name for path in tests for name in PLAYED.findall(path.read_text(encoding="utf-8"))}


def closure(start: Iterable[str], more: dict[str, set[str]]) -> set[str]:
    """Return the names that lead from ``start`` to others, those included."""
    found: set[str] = set()
    waiting = set(start)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= more.get(name, set()) - found
    return found


def uncovered() -> list[str]:
    """Return the roles and playbooks that no Molecule scenario uses, not even by way of another."""
    scenarios = [read(path) for path in yaml_files("molecule")]
    playbooks = {name: read(CHECKOUT / f"playbooks/{name}.yml") for name in PLAYBOOKS}
    roles = {name: [read(path) for path in yaml_files(f"roles/{name}")] for name in ROLES}
    imports = {name: used_playbooks(content) for name, content in playbooks.items()}
    covered_playbooks = closure(used_playbooks(scenarios) | played_playbooks(), imports) & set(PLAYBOOKS)
    direct = used_roles(scenarios).union(*(used_roles(playbooks[name]) for name in covered_playbooks))
    covered_roles = closure(direct, {name: used_roles(content) for name, content in roles.items()})
    missing = [f"playbook {name}" for name in PLAYBOOKS if name not in covered_playbooks]
    return missing + [f"role {name}" for name in ROLES if name not in covered_roles]


def things() -> set[str]:
    """Return everything that has a name in this collection."""
    filters: set[str] = set()
    for name in names("plugins/filter/*.py"):
        filters |= (
            importlib.import_module(f"ansible_collections.catmaid.admin.plugins.filter.{name}")
            .FilterModule()
            .filters()
            .keys()
        )
    others = (*names("plugins/doc_fragments/*.py"), *names("plugins/lookup/*.py"))
    return {*MODULES, *ROLES, *PLAYBOOKS, *filters, *others, *read(CHECKOUT / "meta/runtime.yml")["action_groups"]}


def unknown_names(text: str, known: set[str]) -> list[str]:
    """Return the names in a text that belong to nothing in the collection."""
    return sorted({name for name in NAME.findall(text) if name not in known})


def is_code(path: Path) -> bool:
    """Tell whether a file is code rather than documentation, a specification or somebody's data."""
    if path.suffix in (".py", ".sql", ".j2"):
        return True
    if path.suffix == ".yml":
        return path.parent.name in ("tasks", "handlers", "playbooks") or "molecule" in path.parts
    return path.suffix == "" and path.is_file() and path.read_bytes()[:2] == b"#!"
