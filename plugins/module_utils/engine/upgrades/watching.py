# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a job is, for those who wait for its end: the phase by its journal, the step of a long phase beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import CatmaidError
from ..progress import Progress
from . import journal
from .request import ROLLBACK, Request

NAME = "upgrade-step"


def step(state_dir: str, text: str) -> None:
    """Leave a line on what is done in this moment. A full disk is no reason to fail for that, nor a lost one."""
    with suppress(OSError), open(os.path.join(state_dir, NAME), "w", encoding="utf-8") as file:
        file.write(text)


def migration(request: Request, event: Mapping[str, Any], steps: int, done: list[str]) -> None:
    """Leave a line on the migration that begins, by what Django tells of it; ``done`` grows."""
    if event.get("event") == "start":
        done.append(str(event.get("name")))
        step(request.state_dir, f"{event.get('app')}.{event.get('name')}, {len(done)} of {steps}")


def clear(state_dir: str) -> None:
    """Say that no step is under way."""
    with suppress(OSError):
        os.unlink(os.path.join(state_dir, NAME))


def progress(asked: Request, seconds: float) -> Progress | None:
    """Return how far the job is that was asked for so many seconds ago; None before it begins and after its end."""
    try:
        found = journal.load(asked.state_dir)
    except CatmaidError:
        return None
    if found is None or found.id != asked.id:
        return None
    if found.undoing:
        what = f"undoing the {'upgrade' if asked.kind != ROLLBACK else 'rollback'} to {asked.new.describe}"
        return Progress(what, "", 0, 0, seconds, None, f"it failed in the phase {found.phase}")
    text = ""
    with suppress(OSError), open(os.path.join(asked.state_dir, NAME), encoding="utf-8") as file:
        text = file.read()
    return Progress(asked.doing, text, 0, 0, seconds, None, found.phase)
