# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs beside the WSGI server, websockets and Celery: whatever of it answered before has to answer afterwards.

It is asked before people come back, as far as it answers without the web server, which lets nobody through until then.
"""

from __future__ import annotations

import base64
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException

from .. import command
from ..errors import CatmaidError
from . import programs, units, verification
from .request import Request

WEBSOCKET = "/channels/updates/"
ANSWER_WITHIN = 60.0  # seconds
# Seconds for workers to answer. All of them pass each time, however soon an answer is there, while people wait.
PINGS = (1, 2, 5)
PAUSE = 0.2


@dataclass(frozen=True)
class Check:
    """A question to what a unit runs; it raises when there is no good answer, however ``often`` it was asked.

    ``outside`` are those that go through the web server; ``instead`` is what is asked of one without a good answer;
    ``demanded`` are those that have to have one even if it is not known whether they ever had.
    """

    unit: str
    ask: Callable[[int], None]
    outside: bool = False
    instead: str = ""
    demanded: bool = True


def answering(request: Request) -> list[str]:
    """Return the names of those that answer now."""
    found: list[str] = []
    there = checks(request)
    for name, check in there.items():
        if any(there[one].instead == name for one in found):
            continue
        try:
            check.ask(len(PINGS))
        except CatmaidError:
            continue  # it has to be no better afterwards
        found.append(name)
    return found


def demanded(request: Request) -> list[str]:
    """Return the names of those that an instance should answer, whatever it did before."""
    return [name for name, check in checks(request).items() if check.demanded]


def verify(request: Request, names: list[str], *, outside: bool) -> None:
    """Raise unless those of these answer that go through the web server, or the others, as soon as they are there."""
    there = checks(request)
    deadline = time.monotonic() + ANSWER_WITHIN
    for name in (name for name in names if there[name].outside == outside):
        for often in itertools.count():
            try:
                there[name].ask(often)
                break
            except CatmaidError:
                if time.monotonic() > deadline or not units.is_active(there[name].unit):
                    raise
            time.sleep(PAUSE)


def checks(request: Request) -> dict[str, Check]:
    """Return all that there is to ask, by name: directly, and where there are websockets through the web server too."""
    found: dict[str, Check] = {}
    for name in request.services:
        program = units.program(name)
        if program.kind == programs.ASGI:
            address = programs.address(program)
            opens = program.name == "daphne"  # which is there for nothing else; others may serve pages alone
            if address:
                answer = f"{program.name} at {address}"
                ask = partial(_websocket, request, address, "")
                found[f"websocket at {address}"] = Check(name, ask, instead=answer, demanded=opens)
                found[answer] = Check(name, partial(_answer, request, address), demanded=not opens)
            ask = partial(_websocket, request, request.web, request.url_prefix)
            through = Check(name, ask, outside=True, demanded=opens)
            found.setdefault(f"websocket at {request.web}{request.url_prefix}", through)
        elif program.kind == programs.WORKER:
            words = program.arguments[: program.arguments.index("worker")]
            found[f"Celery ({name})"] = Check(name, partial(_ping, name, [*program.call, *words]))
    return found


def _websocket(request: Request, address: str, prefix: str, _often: int) -> None:
    doing = f"opening a websocket at {address} for {request.site}{prefix}"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Origin": f"http://{request.site}",
    }
    status = _status(request, doing, address, prefix + WEBSOCKET, headers)
    if status != 101:
        remedy = "Look at the logs of the ASGI server and of the web server."
        raise CatmaidError(doing, f"it answers {status}", remedy)


def _answer(request: Request, address: str, _often: int) -> None:
    """Ask for the same page without a websocket: one that opened none before at least said so."""
    doing = f"asking the ASGI server at {address} for {request.site}"
    status = _status(request, doing, address, WEBSOCKET, {})
    if status >= 500:
        raise CatmaidError(doing, f"it answers {status}", "Look at its log.")


def _status(request: Request, doing: str, address: str, page: str, headers: dict[str, str]) -> int:
    try:
        return verification.get(address, request.site, page, headers)[0]
    except (OSError, HTTPException) as error:
        raise CatmaidError(doing, str(error), "Look at the log of the ASGI server.") from error


def _ping(name: str, celery: list[str], often: int) -> None:
    """Ask a worker by its own program, as its unit starts it."""
    about = units.context(name)
    command.run(
        [*celery, "inspect", "ping", f"--timeout={PINGS[min(often, len(PINGS) - 1)]}"],
        doing=f"asking the worker of {name}",
        remedy=f"Look at journalctl --unit {units.unit(name)}.",
        user=about.user or None,
        cwd=about.folder or None,
        env=about.environment,
    )
