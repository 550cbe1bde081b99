# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that tells what a release of CATMAID needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid.releases import facts

DOCUMENTATION = r"""
name: release_facts
short_description: Tell what a release of CATMAID needs
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Returns what is known of the release that C(git describe) calls so. Unknown names count as new releases.
options:
  _input:
    description: Name of the release, as C(git describe) writes it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Install the tools that the release can be built with
  ansible.builtin.pip:
    name: "{{ ('2021.12.21' | catmaid.admin.release_facts).build_requirements }}"
    virtualenv: /opt/catmaid/releases/2021.12.21/env
"""

RETURN = r"""
_value:
  description: The facts.
  type: dict
  contains:
    build_requirements:
      description: Requirements of pip itself, to be installed first.
      type: list
      elements: str
    wsgi_requirements:
      description: Requirements of the WSGI server, which no release names.
      type: list
      elements: str
"""


def release_facts(describe: str) -> dict[str, Any]:
    """Return the facts as plain data."""
    return {name: list(value) for name, value in asdict(facts(describe)).items()}


class FilterModule:
    """The filter as Ansible finds it."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"release_facts": release_facts}
