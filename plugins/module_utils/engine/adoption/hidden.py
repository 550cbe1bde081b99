# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that people wrote, without the passwords in them: reports and the output of a play are read by others."""

from __future__ import annotations

import re

HIDDEN = "********"
_VALUE = r"""(?:'[^']*'|"[^"]*"|[^\s;'"]+)"""
_GIVEN = re.compile(rf"(\w*(?:passwo?r?d|secret|token)\w*\s*=\s*){_VALUE}", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(://[^\s/:@]*:)[^\s@]+(?=@)")


def without_passwords(line: str) -> str:
    """Return a line of a shell, or of a file of its kind, with asterisks for passwords."""
    return _IN_ADDRESS.sub(rf"\1{HIDDEN}", _GIVEN.sub(rf"\1{HIDDEN}", line))
