# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web site of an instance on this host, asked as a visitor's browser would, with cookies."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, field
from http.client import HTTPException
from http.cookies import SimpleCookie

from ..errors import CatmaidError
from ..upgrades.verification import BY_TLS, Connection

HERE = "127.0.0.1"
TIMEOUT = 60.0


@dataclass(frozen=True)
class Answer:
    """What a page answers."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Site:
    """A site by its name, below ``prefix``, on the usual port or another, and the cookies that it gave."""

    name: str
    https: bool
    prefix: str = ""
    port: int = 0
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where a browser would find it."""
        return f"{'https' if self.https else 'http'}://{self.name}{self.prefix}"

    def get(self, path: str, headers: dict[str, str] | None = None, host: str = "") -> Answer:
        """Return what a page of the site answers; ``host`` is another name to ask for."""
        return self._ask("GET", self.prefix + path, dict(headers or {}), None, host)

    def absolute(self, path: str) -> Answer:
        """Return what a page answers whose address another page has told."""
        return self._ask("GET", path, {}, None, "")

    def post(self, path: str, values: dict[str, str]) -> Answer:
        """Send a form, with the token against forgery that the site gave before."""
        token = next((value for name, value in self.cookies.items() if name.startswith("csrftoken")), "")
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-CSRFToken": token,
            "Referer": f"{self.url}/",
        }
        return self._ask("POST", self.prefix + path, headers, urllib.parse.urlencode(values), "")

    def _ask(self, method: str, path: str, headers: dict[str, str], body: str | None, host: str) -> Answer:
        doing = f"asking {'https' if self.https else 'http'}://{host or self.name}{path}"
        address = f"{BY_TLS}{HERE}:{self.port or 443}" if self.https else f"{HERE}:{self.port or 80}"
        connection = Connection(address, TIMEOUT, host or self.name)
        headers = {"Host": host or self.name, **headers}
        if self.cookies and not host:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = "" if answer.status == 101 else answer.read().decode("utf-8", "replace")
            if not host:
                for line in answer.headers.get_all("Set-Cookie") or []:
                    self.cookies.update({name: morsel.value for name, morsel in SimpleCookie(line).items()})
            names = {name.lower() for name in answer.headers}
            return Answer(answer.status, {name: ", ".join(answer.headers.get_all(name) or []) for name in names}, text)
        except (OSError, HTTPException) as error:
            raise CatmaidError(doing, str(error) or type(error).__name__, "Is the web server running?") from error
        finally:
            connection.close()
