# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The maintenance page: a web site of ours answers 503 with it as long as its file is there.

Beside it is a file whose name says when to ask again, because a web server cannot read a header from a file.
"""

from __future__ import annotations

import os

from .. import files
from ..errors import of_system

NAME = "maintenance.html"
# The seconds that the web site knows; what is between goes up to the next one.
STEPS = (10, 30, 60, 300, 900)
DEFAULT = 60  # what it says without a file


def again(seconds: float) -> int:
    """Return after how many seconds to ask again when it may take so many."""
    return next((step for step in STEPS if step >= seconds), STEPS[-1]) if seconds > 0 else DEFAULT


def show(state_dir: str, text: str, seconds: float) -> None:
    """Let visitors see the page, which is needed for about so many seconds."""
    path = os.path.join(state_dir, NAME)
    if os.path.exists(path):
        return
    try:
        if again(seconds) != DEFAULT:
            files.write_atomically(_retry(state_dir, again(seconds)), "", mode=0o644)
        files.write_atomically(path, text, mode=0o644)
    except OSError as error:
        raise of_system("showing the maintenance page", error) from error


def remove(state_dir: str) -> bool:
    """Let visitors see the application, and return whether they did not."""
    shown = os.path.exists(os.path.join(state_dir, NAME))
    for path in (os.path.join(state_dir, NAME), *(_retry(state_dir, step) for step in STEPS)):
        if os.path.exists(path):
            os.unlink(path)
    return shown


def _retry(state_dir: str, step: int) -> str:
    return os.path.join(state_dir, f"retry-after-{step}")
