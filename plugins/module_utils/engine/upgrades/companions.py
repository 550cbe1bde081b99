# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs beside the WSGI server, websockets and Celery: whatever of it answered before has to answer afterwards.

It is asked when people work again. None of it is needed for that, and it starts slower than the pages do.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException

from .. import command
from ..errors import CatmaidError
from . import units, verification
from .request import Request

WEBSOCKET = "/channels/updates/"
ANSWER_WITHIN = 60.0  # seconds
PING_WITHIN = 5
PAUSE = 0.2


@dataclass(frozen=True)
class Check:
    """A question to what a unit runs; it raises when there is no good answer."""

    unit: str
    ask: Callable[[], None]


def answering(request: Request) -> list[str]:
    """Return the names of those that answer now."""
    found = []
    for name, check in checks(request).items():
        try:
            check.ask()
        except CatmaidError:
            continue  # it has to be no better afterwards
        found.append(name)
    return found


def verify(request: Request, names: list[str]) -> None:
    """Raise unless these answer, as soon as they are there."""
    there = checks(request)
    deadline = time.monotonic() + ANSWER_WITHIN
    for name in names:
        while True:
            try:
                there[name].ask()
                break
            except CatmaidError:
                if time.monotonic() > deadline or not units.is_active(there[name].unit):
                    raise
            time.sleep(PAUSE)


def checks(request: Request) -> dict[str, Check]:
    """Return all that there is to ask, by name: directly, and where there are websockets through the web server too."""
    found: dict[str, Check] = {}
    for name in request.services:
        argv = units.argv(name)
        program = os.path.basename(argv[0]) if argv else ""
        if program in units.ASGI:
            for address in filter(None, [_address(argv), request.web]):
                found[f"websocket at {address}"] = Check(name, partial(_websocket, request, address))
        elif program in units.CELERY and "worker" in argv:
            found[f"Celery ({name})"] = Check(name, partial(_ping, name, argv[: argv.index("worker")]))
    return found


def _address(argv: list[str]) -> str:
    """Return where daphne listens, by its options."""
    told = dict(zip(argv, argv[1:]))
    told.update({word.partition("=")[0]: word.partition("=")[2] for word in argv if "=" in word})
    path = told.get("--unix-socket") or told.get("-u")
    port = told.get("--port") or told.get("-p")
    host = told.get("--bind") or told.get("-b") or "127.0.0.1"
    return f"unix:{path}" if path else f"{host}:{port}" if port else ""


def _websocket(request: Request, address: str) -> None:
    doing = f"opening a websocket at {address} for {request.site}"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Origin": f"http://{request.site}",
    }
    try:
        status, _body = verification.get(address, request.site, WEBSOCKET, headers)
    except (OSError, HTTPException) as error:
        raise CatmaidError(doing, str(error), "Look at the log of daphne.") from error
    if status != 101:
        raise CatmaidError(doing, f"it answers {status}", "Look at the logs of daphne and of the web server.")


def _ping(name: str, celery: list[str]) -> None:
    """Ask a worker by its own program, as its unit starts it."""
    about = units.context(name)
    command.run(
        [*celery, "inspect", "ping", f"--timeout={PING_WITHIN}"],
        doing=f"asking the worker of {name}",
        remedy=f"Look at journalctl --unit {units.unit(name)}.",
        user=about.user or None,
        cwd=about.folder or None,
        env=about.environment,
    )
