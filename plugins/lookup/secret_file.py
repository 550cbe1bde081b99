# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lookup for secrets that a job gets as files, as from AWX's credentials."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret_file
short_description: Read a secret from the file that a variable of the environment names
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Returns the content of the file, every character of it. Nothing if Ansible's own environment has no such variable.
  - AWX's credentials make such files and variables. Other programs do, too.
options:
  _terms:
    description: Name of the variable.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: See whether there is a password
  ansible.builtin.debug:
    msg: "{{ lookup('catmaid.admin.secret_file', 'CATMAID_DB_ADMIN_PASSWORD_FILE') | length > 0 }}"
"""

RETURN = r"""
_raw:
  description: The content of each file, empty where there is none.
  type: list
  elements: str
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms: Iterable[str], variables: Any = None, **kwargs: Any) -> list[str]:
        """Return the contents of the files."""
        return [self.content(name) for name in terms]

    @staticmethod
    def content(name: str) -> str:
        """Return the content of the file that a variable names."""
        path = os.environ.get(name, "")
        try:
            # Bytes first: reading as text would change how its lines end.
            return Path(path).read_bytes().decode() if path else ""
        except (OSError, UnicodeDecodeError) as error:
            raise AnsibleError(
                f"Reading the secret that {name} names: {error}. Correct {name}, or unset it."
            ) from error
