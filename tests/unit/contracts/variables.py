# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's variables: the same in argument_specs and defaults, and named for whose they are."""

from __future__ import annotations

import re
from typing import Any

from .house import mappings

SHARED_AT_MOST = 32
CONDITION = re.compile(r"\b(if|and|or|not)\b|\b(when|that): |^ +- catmaid_\w+$")
PROSE = re.compile(r"^ *#|\b[sS]et catmaid_")  # comments, and messages that tell what to set


def is_template(value: Any) -> bool:
    """Tell whether only Ansible can say of what type a value is."""
    return isinstance(value, str) and "{{" in value


def fits(value: Any, option: dict[str, Any]) -> bool:
    """Tell whether a value is of an option's type: really, where Ansible would convert."""
    kind = option.get("type", "str")
    if is_template(value):
        return True
    if kind == "list":
        element = {"type": option.get("elements", "raw"), "options": option.get("options")}
        return isinstance(value, list) and all(fits(item, element) for item in value)
    if kind == "dict":
        known = option.get("options") or {}
        return isinstance(value, dict) and all(fits(value[key], known[key]) for key in value.keys() & known.keys())
    if kind in ("int", "float"):
        return isinstance(value, (int, float) if kind == "float" else int) and not isinstance(value, bool)
    if kind == "bool":
        return isinstance(value, bool)
    return kind == "raw" or isinstance(value, str)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of one type: 1 is not true, and neither is 1.0."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def option_problems(name: str, option: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Compare one option of an entry point with the role's defaults."""
    if option.get("required"):
        wrong = [place for place, found in (("spec", "default" in option), ("defaults", name in defaults)) if found]
        return [f"{name}: is required, and yet has a default in the {place}" for place in wrong]
    if "default" not in option:
        return [f"{name}: has no default and is not required"]
    if name not in defaults:
        return [f"{name}: has a default in the spec, none in defaults/main.yml"]
    value = defaults[name]
    problems = []
    if not same(value, option["default"]):
        problems.append(f"{name}: default {option['default']!r} in the spec, {value!r} in defaults/main.yml")
    if not fits(value, option):
        problems.append(f"{name}: default {value!r} is no {option.get('type', 'str')}")
    chosen = value if isinstance(value, list) else [value]
    if "choices" in option and not is_template(value) and not all(item in option["choices"] for item in chosen):
        problems.append(f"{name}: default {value!r} is none of the choices")
    return problems


def spec_problems(specs: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Compare the argument specs of all entry points with a role's defaults: names, types and values."""
    options = [item for entry in specs.values() for item in (entry.get("options") or {}).items()]
    problems = [problem for name, option in options for problem in option_problems(name, option, defaults)]
    known = {name for name, _option in options}
    return problems + [f"{name}: is in defaults/main.yml, in no spec" for name in sorted(defaults.keys() - known)]


def prefix_problems(role: str, variables: set[str]) -> list[str]:
    """Check that a role's variables are named for it; what is shared lives in the role common."""
    prefix = "catmaid_" if role == "common" else f"catmaid_{role}_"
    problems = [f"{name}: does not start with {prefix}" for name in sorted(variables) if not name.startswith(prefix)]
    shared = [name for name in variables if role == "common" and not name.startswith("catmaid_common_")]
    if len(shared) > SHARED_AT_MOST:
        problems.append(f"{len(shared)} shared variables are more than {SHARED_AT_MOST}")
    return problems


def made_names(tasks: Any) -> set[str]:
    """Return the names that tasks make: registers, facts and loop variables."""
    found: set[str] = set()
    for mapping in mappings(tasks):
        if isinstance(mapping.get("register"), str):
            found.add(mapping["register"])
        for key in ("set_fact", "ansible.builtin.set_fact"):
            found |= (mapping.get(key) or {}).keys() - {"cacheable"}
        found |= {value for key, value in mapping.items() if key in ("loop_var", "index_var")}
    return found


def passed_names(tasks: Any) -> set[str]:
    """Return the names in the ``vars`` of plays, blocks and tasks."""
    found = (mapping["vars"] for mapping in mappings(tasks) if isinstance(mapping.get("vars"), dict))
    return {name for names in found for name in names}


def made_problems(tasks: Any, documented: str) -> list[str]:
    """Check that what tasks make is marked as internal, or a result that the role's specs describe."""
    return [
        f"{name}: is made by a task, does not start with __catmaid_ and is no documented result"
        for name in sorted(made_names(tasks))
        if not name.startswith("__catmaid_") and not re.search(rf"\b{re.escape(name)}\b", documented)
    ]


def passed_problems(tasks: Any, known: set[str]) -> list[str]:
    """Check that ``vars`` sets variables that some role has, Ansible's own, or internal ones."""
    return [
        f"{name}: is set by vars, but no role has it"
        for name in sorted(passed_names(tasks) - known)
        if not name.startswith(("__catmaid_", "ansible_"))
    ]


def bare_bools(text: str, bools: set[str]) -> list[str]:
    """Return the lines with a condition that takes a bool as it is: from ``-e x=false`` and surveys it is a text."""
    name = re.compile(rf"\b({'|'.join(sorted(bools))})\b(?! *(\| *bool|[:=]))")
    return [
        line.strip()
        for line in text.splitlines()
        if CONDITION.search(line) and name.search(line) and not PROSE.search(line)
    ]
