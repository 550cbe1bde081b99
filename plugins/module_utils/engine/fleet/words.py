# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures in few characters, for a table."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 3


def ago(seconds: float) -> str:
    """Return a span of time: "5 min", "3 h", "12 d"."""
    for unit, factor in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * factor or (unit == "min" and seconds >= factor):
            return f"{seconds / factor:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def joined(names: Sequence[str]) -> str:
    """Return names as a list that stays short."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
