# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks of an instance that change nothing, one after the other: a failure of one keeps none from its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import CatmaidError, words
from . import host, web
from .request import FAILED, NOTHING, OK, Nothing, Request

CHECKS: dict[str, Callable[[Request], str]] = {
    "services": host.services,
    "version": web.version,
    "pages": web.pages,
    "login": web.login,
    "websocket": web.websocket,
    "celery": host.celery,
    "migrations": host.migrations,
    "database": host.database,
    "permissions": host.permissions,
    "hardening": web.hardening,
    "logs": host.logs,
}


@dataclass(frozen=True)
class Found:
    """What became of a check."""

    name: str
    what: str
    state: str
    message: str
    seconds: float


def run(request: Request, names: Sequence[str]) -> list[Found]:
    """Return what the checks of these names have found, in their order."""
    return [_run(request, name) for name in CHECKS if name in names]


def _run(request: Request, name: str) -> Found:
    started = time.monotonic()
    state = OK
    try:
        message = CHECKS[name](request)
    except Nothing as reason:
        state, message = NOTHING, str(reason)
    except (CatmaidError, OSError) as error:
        state, message = FAILED, words(f"checking {name}", error)
    what = (CHECKS[name].__doc__ or "").strip()
    return Found(name, what, state, message, round(time.monotonic() - started, 3))
