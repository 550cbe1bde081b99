# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Where the web site is, as its visitors know it."""

    DOCUMENTATION = r"""
options:
  server_name:
    description: Name of the web site.
    type: str
    required: true
  https:
    description: Whether it is reached by TLS.
    type: bool
    default: false
  port:
    description: Port of the web server on this host. 0 is the usual one.
    type: int
    default: 0
  url_prefix:
    description: The folder of its URL, such as V(/catmaid).
    type: str
    default: ""
"""
