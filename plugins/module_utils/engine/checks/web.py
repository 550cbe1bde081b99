# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What visitors of an instance get, and what they must not get."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from dataclasses import replace
from typing import Any

from ..catmaid import facts
from ..errors import CatmaidError
from ..upgrades import programs, units
from ..upgrades.verification import DEVELOPMENT, DOORS
from .request import Nothing, Request, wrong

STATIC = re.compile(r"""["']([^"']*/static/[^"']+[.](?:css|js))(?:\?[^"']*)?["']""")
EXTENSION = re.compile(r"""["']([^"']*/staticext/[^"']+[.]js[^"']*)["']""")
HASHED = re.compile(r"[.][0-9a-f]{12}[.](?:css|js)$")
AGE = re.compile(r"max-age=([0-9]+)")
LONG = 30 * 86400
STRANGER = "not-this-site.invalid"
# What manuals and examples call a password
USUAL = ("admin", "password", "catmaid", "changeme", "p4ssw0rd")
ALGORITHM = "pbkdf2_sha256"


def version(request: Request) -> str:
    """The release that the checkout is, in the form of git describe, is the one that serves."""
    expected = facts.source(request.project.path, request.project.os_user).describe
    answer = request.site.get("/version")
    doing = f"asking {request.site.url}/version"
    told = _json(doing, answer.text, dict).get("SERVER_VERSION") if answer.status == 200 else None
    if told is None or DEVELOPMENT.sub(r"-\1-", str(told)) != expected:
        raise CatmaidError(doing, f"it tells {told or answer.status}, and the checkout is {expected}")
    return expected


def pages(request: Request) -> str:
    """Start page, login and projects are there; static files may be kept; folders are not listed."""
    site, problems = request.site, []
    found = {page: site.get(page) for page in DOORS}
    problems += [f"{page} answers {answer.status}" for page, answer in found.items() if answer.status != 200]
    start = found["/"].text
    files = STATIC.findall(start)
    hashed = next((path for path in files if HASHED.search(path)), "")
    if not files:
        problems.append("the start page names no static file")
    else:
        problems += _static(request, hashed or files[0], kept=bool(hashed))
    for folder in ("/files/", "/staticext/", "/static/"):
        status = site.get(folder).status
        if status not in (301, 302, 403, 404):
            problems.append(f"{folder} answers {status}, and may be listed")
    for path in EXTENSION.findall(start):
        status = site.absolute(path).status
        problems += [f"{path}, a script of the lab, answers {status}"] if status != 200 else []
    wrong(f"asking for pages of {site.url}", problems)
    return f"{len(found)} pages, {hashed or files[0]}, no folder is listed"


def _static(request: Request, path: str, *, kept: bool) -> list[str]:
    answer = request.site.absolute(path)
    if answer.status != 200:
        return [f"{path} answers {answer.status}"]
    age = AGE.search(answer.headers.get("cache-control", ""))
    if kept and (not age or int(age.group(1)) < LONG):
        return [f"{path} changes its name with its contents, and browsers are not told that they may keep it"]
    return []


def login(request: Request) -> str:
    """The superuser logs in through the form that browsers use, and is shown the projects."""
    if not request.password:
        raise Nothing("no password of the superuser is known")
    site = replace(request.site, cookies={})
    doing = f"logging in at {site.url} as {request.superuser}"
    _log_in(site, request.superuser, request.password, doing)
    projects = site.get("/projects/")
    if projects.status != 200:
        raise CatmaidError(doing, f"/projects/ answers {projects.status} afterwards")
    count = len(_json(doing, projects.text, list))
    site.post("/accounts/logout", {})
    return f"{request.superuser} sees {count} projects"


def _log_in(site: Any, name: str, password: str, doing: str) -> None:
    for page in ("/", "/accounts/login"):  # one of them gives the token against forgery
        site.get(page)
    answer = site.post("/accounts/login", {"name": name, "pwd": password})
    if answer.status != 200 or _json(doing, answer.text, dict).get("username") != name:
        raise CatmaidError(doing, f"it answers {answer.status}: {' '.join(answer.text.split())[:200]}")


def hardening(request: Request) -> str:
    """Nothing is left of development and of examples: DEBUG, other host names, usual passwords."""
    doing = f"looking for what is too open at {request.site.url}"
    settings, problems = request.runner.settings(("DEBUG", "ALLOWED_HOSTS"))["settings"], []
    if settings["DEBUG"]:
        problems.append("DEBUG is set")
    if "*" in settings["ALLOWED_HOSTS"]:
        problems.append("ALLOWED_HOSTS lets every name through")
    try:
        stranger = request.site.get("/version", host=STRANGER)
        if "SERVER_VERSION" in stranger.text:
            problems.append(f"it answers by the name {STRANGER}, too")
    except CatmaidError:
        pass  # no answer at all is a refusal as well
    problems += [f"the superuser {name} has one of the usual passwords" for name in _guessed(request)]
    wrong(doing, problems)
    return "no DEBUG, no other host name, none of the usual passwords"


def _guessed(request: Request) -> list[str]:
    """Return the superusers whose password is one that manuals name. Nobody tries to log in: that locks people out."""
    with request.server.connect(request.database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT username, password FROM auth_user WHERE is_superuser AND is_active ORDER BY username")
        return [name for name, kept in cursor.fetchall() if any(is_password(word, kept) for word in (*USUAL, name))]


def is_password(password: str, kept: str) -> bool:
    """Tell whether ``kept`` is what Django keeps of this password, in its usual way."""
    words = kept.split("$")
    if len(words) != 4 or words[0] != ALGORITHM or not words[1].isdigit():
        return False
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), words[2].encode(), int(words[1]))
    return base64.b64encode(digest).decode() == words[3]


def websocket(request: Request) -> str:
    """A websocket opens through the web server."""
    if not units.of(frozenset({programs.ASGI}), request.services):
        raise Nothing("no unit serves websockets")
    key = base64.b64encode(os.urandom(16)).decode()
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    answer = request.site.get("/channels/updates/", {**headers, "Origin": request.site.url})
    if answer.status != 101:
        doing = f"opening a websocket at {request.site.url}"
        raise CatmaidError(doing, f"it answers {answer.status}", "Look at the log of the ASGI server.")
    return "it opens"


def _json(doing: str, text: str, kind: type) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, kind):
        raise CatmaidError(doing, f"it answers no JSON as expected: {' '.join(text.split())[:200]}")
    return found
