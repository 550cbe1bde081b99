# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules: what they say about themselves is what they do."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from ansible.module_utils import basic

from .house import PLUGINS

PACKAGE = "ansible_collections.catmaid.admin.plugins"
COMPARED = {"type": "str", "required": False, "default": None, "choices": None, "elements": None, "aliases": []}


class SpecSeen(Exception):
    """Carries what a module gave to AnsibleModule."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments


def _capture(self: basic.AnsibleModule, argument_spec: dict[str, Any], **arguments: Any) -> None:
    raise SpecSeen({"argument_spec": argument_spec, **arguments})


def given_arguments(name: str) -> dict[str, Any]:
    """Start a module and return what it gives to AnsibleModule."""
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    with mock.patch.object(basic.AnsibleModule, "__init__", _capture):
        try:
            module.main()
        except SpecSeen as seen:
            return seen.arguments
    raise AssertionError(f"{name} never made an AnsibleModule")


def fragment(name: str) -> dict[str, Any]:
    """Return a documentation fragment of this collection."""
    file, _dot, attribute = name.removeprefix("catmaid.admin.").partition(".")
    source = importlib.import_module(f"{PACKAGE}.doc_fragments.{file}").ModuleDocFragment
    return yaml.safe_load(getattr(source, (attribute or "documentation").upper()))


def documentation(path: Path) -> dict[str, Any]:
    """Return a module's documentation with the fragments that it names."""
    module = importlib.import_module(f"{PACKAGE}.modules.{path.stem}")
    document = yaml.safe_load(module.DOCUMENTATION)
    extended = document.get("extends_documentation_fragment") or []
    for name in [extended] if isinstance(extended, str) else extended:
        for part, values in fragment(name).items():
            if part in ("options", "attributes"):
                own = document.get(part) or {}
                document[part] = {**own, **{key: {**value, **own.get(key, {})} for key, value in values.items()}}
    return document


def module_file(name: str) -> Path:
    """Return where a module is."""
    return PLUGINS / f"modules/{name}.py"


def argument_problems(documented: dict[str, Any], spec: dict[str, Any], above: str = "") -> list[str]:
    """Compare documented options with an argument spec, suboptions included."""
    problems = [f"{above}{name}: is not documented" for name in sorted(spec.keys() - documented.keys())]
    problems += [f"{above}{name}: is documented only" for name in sorted(documented.keys() - spec.keys())]
    for name in sorted(documented.keys() & spec.keys()):
        option, argument = documented[name], spec[name]
        for key, default in COMPARED.items():
            said, done = (side.get(key, default) for side in (option, argument))
            if (list(said) != list(done)) if isinstance(said, (list, tuple)) and done is not None else said != done:
                problems.append(f"{above}{name}: {key} is {said!r} in the documentation, {done!r} in the module")
        suboptions = option.get("suboptions") or {}, argument.get("options") or {}
        problems += argument_problems(*suboptions, above=f"{above}{name}.")
    return problems


def attribute_problems(attributes: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
    """Check that a module tells about check mode and diff mode, and about check mode the truth."""
    problems = [
        f"attribute {name} is missing"
        for name in ("check_mode", "diff_mode")
        if (attributes.get(name) or {}).get("support") not in ("full", "partial", "none", "N/A")
    ]
    said = (attributes.get("check_mode") or {}).get("support") in ("full", "partial")
    if said != bool(arguments.get("supports_check_mode")):
        problems.append("check_mode is documented otherwise than AnsibleModule is told")
    return problems
