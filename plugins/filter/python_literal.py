# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that writes a value as Python source."""

from __future__ import annotations

from typing import Any

from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.literals import literal

DOCUMENTATION = r"""
name: python_literal
short_description: Write a value as Python source
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Returns the literal that Python reads back as the same value. Quotes and backslashes in texts are safe.
options:
  _input:
    description: Text, number, boolean, none, or lists and dictionaries of them.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: "Write a line of settings.py: NODE_LIST_MAXIMUM_COUNT = None"
  ansible.builtin.debug:
    msg: "NODE_LIST_MAXIMUM_COUNT = {{ none | catmaid.admin.python_literal }}"
"""

RETURN = r"""
_value:
  description: Python source.
  type: str
"""


class FilterModule:
    """The filter as Ansible finds it."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"python_literal": literal}
