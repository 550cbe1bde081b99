# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the application serves what it should: asked directly, and through the web server by the site's name."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any

from .. import command
from ..django import migrations
from ..errors import CatmaidError
from . import units
from .request import Release, Request

# Seconds in which the application has to answer at all, and any question has to be answered. On a busy host CATMAID was
# seen to take 17 to load and 18 for its first page.
ANSWER_WITHIN = 60.0
TIMEOUT = 60.0
PAUSE = 0.05
DOORS = ("/", "/accounts/login", "/projects/")
TAKEN_IN_WITHIN = 5.0
WARMED_AT_MOST = 16  # processes; how many there are is known to the server alone
BY_TLS = "https:"
# A link of a page, without protocol and host
STATIC = re.compile(r"""(?:["'=]|//[^/"'\s]+)((?:/[^/"'\s]+)*/static/[^"'\s]+[.](?:css|js))""")
# CATMAID's newer releases write 2021.12.21.dev305+g7d9f83618 for what git calls 2021.12.21-305-g7d9f83618.
DEVELOPMENT = re.compile(r"[.]dev([0-9]+)[+]")


class Connection(HTTPConnection):
    """A connection to host:port, by TLS to https:host:port, or to unix:/path."""

    def __init__(self, address: str, timeout: float = TIMEOUT, site: str = "") -> None:
        self.unix = address.partition(":")[2] if address.startswith("unix:") else ""
        self.by_tls, self.site = address.startswith(BY_TLS), site
        super().__init__("localhost" if self.unix else address.removeprefix(BY_TLS), timeout=timeout)

    def connect(self) -> None:
        """Connect."""
        if not self.unix:
            super().connect()
            if self.by_tls:
                # It is this host's own web server; whether others trust its certificate is not the question here.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                self.sock = context.wrap_socket(self.sock, server_hostname=self.site)
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with command.as_ourselves():
            self.sock.connect(self.unix)


class Asking:
    """Questions that are asked in a thread of their own, while something else is looked at."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answered(self) -> None:
        """Return when all of them were answered well; raise what was wrong."""
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self) -> None:
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 (of a thread: whatever it is, answered() raises it for who waits)
            self._errors.append(error)


def get(
    address: str, site: str, page: str, more: Mapping[str, str] | None = None, timeout: float = TIMEOUT
) -> tuple[int, str]:  # fmt: skip
    """Return status and body of a page."""
    connection = Connection(address, timeout, site)
    try:
        # As behind a web server that speaks TLS, for settings that would send us there.
        connection.request("GET", page, headers={"Host": site, "X-Forwarded-Proto": "https", **(more or {})})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def served(request: Request, release: Release, address: str, *, prefix: str = "", static: bool = False) -> None:
    """Raise unless this release answers at ``address`` below ``prefix``: version, start page, login, projects, and a
    static file where the page says it is."""
    doing = f"asking {address} for {request.site}{prefix}"
    version = _patiently(lambda: get(address, request.site, f"{prefix}/version"), doing)
    serving = DEVELOPMENT.sub(r"-\1-", str(_json(doing, "/version", version, dict).get("SERVER_VERSION")))
    if serving != release.describe:
        raise CatmaidError(doing, f"it serves {serving}, not {release.describe}")
    pages = {page: _once(doing, address, request.site, prefix + page) for page in DOORS}
    for page, (status, body) in pages.items():
        if status != 200:
            raise CatmaidError(doing, f"{page} answers {status}: {' '.join(body.split())[:200]}")
    _json(doing, "/accounts/login", pages["/accounts/login"], dict)
    _json(doing, "/projects/", pages["/projects/"], list)
    found = STATIC.search(pages["/"][1])
    if not found:
        raise CatmaidError(doing, "the start page names no static file")
    if static and _once(doing, address, request.site, found.group(1))[0] != 200:
        raise CatmaidError(doing, f"the static file {found.group(1)} is not served")


def let_in(request: Request) -> None:
    """Return when the application has taken in all requests that wait for it: it gives ours its turn after them.

    What waits to be taken in when a server stops is lost, however it finishes what it has begun. One that takes nobody
    in is not waited for.
    """
    for address in request.direct:
        with suppress(OSError, HTTPException):  # one that serves nobody has nothing to lose
            get(address, request.site, "/version", timeout=TAKEN_IN_WITHIN)


def warm_up(request: Request) -> None:
    """Let each process of the application import its pages, in threads of their own: it takes seconds on the first
    question, whoever asks.

    The question is answered before anything looks at the database: it lacks the slash at the end.
    """
    for address in request.direct:
        ask = partial(get, address, request.site, "/projects")
        for _process in range(min(os.cpu_count() or 1, WARMED_AT_MOST)):
            Asking(partial(_patiently, ask, f"asking {address} for {request.site}"))


def taken_in(request: Request) -> None:
    """Return when the application listens again: whoever asks from now on waits for an answer, and gets one."""
    for address in request.direct:
        _patiently(partial(_connect, address), f"waiting for somebody to listen at {address}")


def directly(request: Request, release: Release) -> None:
    """Ask where the application itself listens, and no web server has taken the sub-directory off the paths."""
    for address in request.direct:
        served(request, release, address)


def through_web(request: Request, release: Release) -> None:
    """Ask the web server, as visitors do."""
    served(request, release, request.web, prefix=request.url_prefix, static=True)


def migrated(request: Request, expected: set[str]) -> None:
    """Raise unless the database has recorded these migrations."""
    there = migrations.read_applied(request.server, request.database, request.lock_timeout)
    missing = sorted(expected - set(migrations.names(there)))
    if missing:
        raise CatmaidError(f"looking at the migrations of {request.database}", f"not applied: {', '.join(missing)}")


def quiet(request: Request, since: float) -> None:
    """Raise if the application has told of an exception since then."""
    lines = units.logs(request.services, since).splitlines()
    found = [number for number, line in enumerate(lines) if units.TRACEBACK in line]
    if found:
        told = " | ".join(line.strip() for line in lines[found[0] : found[0] + 30][-6:])
        raise CatmaidError("reading the logs of the application", f"there is an exception in them: {told}")


def _connect(address: str) -> tuple[int, str]:
    connection = Connection(address)
    connection.connect()
    connection.close()
    return 200, ""


def _once(doing: str, address: str, site: str, page: str) -> tuple[int, str]:
    """Ask one that answers by now."""
    try:
        return get(address, site, page)
    except (OSError, HTTPException) as error:
        remedy = "Look at the logs of the application and of the web server, and at what else keeps the host busy."
        raise CatmaidError(doing, f"no answer to {page}: {error}", remedy) from error


def _patiently(ask: Callable[[], tuple[int, str]], doing: str) -> tuple[int, str]:
    """Ask again as long as nobody answers, or the web server knows nobody behind it."""
    deadline = time.monotonic() + ANSWER_WITHIN
    while True:
        cause = ""
        try:
            status, body = ask()
            if status not in (502, 503, 504):
                return status, body
            cause = f"it answers {status}"
        except (OSError, HTTPException) as error:
            cause = str(error)
        if time.monotonic() > deadline:
            raise CatmaidError(doing, cause, "Look at the logs of the application and of the web server.")
        time.sleep(PAUSE)


def _json(doing: str, page: str, answer: tuple[int, str], kind: type) -> Any:
    status, body = answer
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if status != 200 or not isinstance(found, kind):
        raise CatmaidError(doing, f"{page} answers {status}: {' '.join(body.split())[:200]}")
    return found
