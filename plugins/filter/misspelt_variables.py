# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that finds variables which nothing in this collection reads, because Ansible ignores them silently."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

DOCUMENTATION = r"""
name: misspelt_variables
short_description: Find variables whose names are nearly those of this collection
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Of names that begin with C(catmaid_), returns those that no role and no playbook of this collection knows, but that
    look like one that it does know. Ansible would ignore them, and the job would run with the default.
  - Other unknown names may be a site's own. For those there is a warning.
options:
  _input:
    description: Names of variables, as from the lookup P(ansible.builtin.varnames#lookup).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse variables that are misspelt
  ansible.builtin.assert:
    that: query('ansible.builtin.varnames', '^catmaid_') | catmaid.admin.misspelt_variables | length == 0
"""

RETURN = r"""
_value:
  description: A text for each misspelt name, with the name that was probably meant.
  type: list
  elements: str
  sample: ["catmaid_bakup_dir (catmaid_backup_dir?)"]
"""

PREFIX = "catmaid_"
NAME = re.compile(rf"\b{PREFIX}[a-z0-9_]+")
CONTENT = Path(__file__).resolve().parents[2]
WHERE = (
    "playbooks/*.yml",
    "roles/*/defaults/*.yml",
    "roles/*/meta/*.yml",
    "roles/*/tasks/**/*.yml",
    "roles/*/vars/*.yml",
)
# Of 1, for the names without the prefix that all share
SIMILAR = 0.85


@cache
def known_variables() -> frozenset[str]:
    """Return every name that this collection's roles and playbooks read or set."""
    files = [path for pattern in WHERE for path in CONTENT.glob(pattern)]
    return frozenset(name for path in files for name in NAME.findall(path.read_text(encoding="utf-8")))


def nearest(name: str) -> tuple[float, str]:
    """Return the known name that is most like another, and how much."""
    known = (
        (SequenceMatcher(None, name[len(PREFIX) :], other[len(PREFIX) :]).ratio(), other) for other in known_variables()
    )
    return max(known)


def misspelt_variables(names: Iterable[str]) -> list[str]:
    """Return what is misspelt, and warn of what is unknown."""
    found = []
    for name in sorted(set(names) - known_variables()):
        likeness, other = nearest(name)
        if likeness >= SIMILAR:
            found.append(f"{name} ({other}?)")
        else:
            Display().warning(f"Nothing in catmaid.admin reads the variable {name}.")
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"misspelt_variables": misspelt_variables}
