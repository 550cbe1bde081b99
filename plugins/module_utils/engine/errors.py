# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of the engine."""

from __future__ import annotations

import os
from typing import Any

READABLE = "Do it as a user who may, such as root."


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


def of_system(doing: str, error: OSError, remedy: str = "") -> CatmaidError:
    """Return what the operating system refused as an error of ours, with the path that it is about."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    if not remedy and isinstance(error, PermissionError):
        remedy = READABLE
    return CatmaidError(doing, f"{where}{error.strerror or error}", remedy)


def words(doing: str, error: CatmaidError | OSError) -> str:
    """Return what to tell of an error that ends one of several things to do."""
    return str(of_system(doing, error) if isinstance(error, OSError) else error)
