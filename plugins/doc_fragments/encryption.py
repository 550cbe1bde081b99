# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """To whom something is encrypted."""

    DOCUMENTATION = r"""
options:
  encryption:
    description:
      - To whom to encrypt. Only public keys are needed here, so whoever takes over this host cannot read the result.
    type: dict
    suboptions:
      method:
        description: Program to encrypt with.
        type: str
        required: true
        choices: [age, gpg]
      recipients:
        description: Public keys, C(age1…) or C(ssh-ed25519 …) for age, armored ones for gpg.
        type: list
        elements: str
        default: []
      recipients_files:
        description: Files with public keys on the host, for gpg one key in each.
        type: list
        elements: path
        default: []
"""
