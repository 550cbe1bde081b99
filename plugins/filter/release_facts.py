# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that tells what a release of CATMAID needs."""

from __future__ import annotations

from typing import Any

from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid.releases import as_dict

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
    name: "{{ ('2021.12.21' | catmaid.admin.release_facts).pip }}"
    virtualenv: /opt/catmaid/releases/2021.12.21/env
"""

RETURN = r"""
_value:
  description: The facts.
  type: dict
  contains:
    python_min:
      description: Oldest Python that the release runs on.
      type: str
    python_max:
      description: Newest Python that its pinned requirements can be installed on. Empty when that is not known.
      type: str
    pip:
      description: Requirement of pip itself; newer versions cannot read what some old packages state.
      type: str
    setuptools:
      description: Requirement of setuptools, which builds some of the packages.
      type: str
    packages:
      description: Requirements that the release forgets to name.
      type: list
      elements: str
    postgresql_min:
      description: Oldest major version of PostgreSQL.
      type: int
    statistics_command:
      description: The C(manage.py) command that fills C(catmaid_stats_summary).
      type: str
    wsgi:
      description: Requirement of the WSGI server, which no release names.
      type: str
"""


def release_facts(describe: str) -> dict[str, Any]:
    """Return the facts as plain data."""
    return as_dict(describe)


class FilterModule:
    """The filter as Ansible finds it."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"release_facts": release_facts}
