# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of the engine."""

from __future__ import annotations

from typing import Any


class CatmaidError(Exception):
    """Says what was being done, what went wrong and what to do about it.

    ``details`` are plain values (argv without secrets, return code, names) that a face may show beside the message.
    """

    def __init__(self, doing: str, cause: str, remedy: str = "", **details: Any) -> None:
        self.doing = doing
        self.cause = cause.strip()
        self.remedy = remedy
        self.details = details
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.doing}: {self.cause}"
        if self.remedy:
            text = f"{text.rstrip('.')}. {self.remedy}"
        return text
