# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance as it was found: plain values, filled by :mod:`survey` and judged by :mod:`oddities`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ..upgrades import programs
from .code import Code
from .dumps import Old
from .hidden import without_passwords
from .services import Service
from .settings import Settings
from .sites import Site

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass
class Found:
    """``user`` is who owns the code and is to run git and manage.py; ``db_host`` is empty for a server on this host;
    ``root`` is a folder for what this collection makes, ``state`` how far it has got there; ``keep`` are files that an
    upgrade has to take along; ``image_data`` are folders by location, ``elsewhere`` files of
    other web servers that name the checkout, ``unusual`` is what people should read."""

    source: str
    code: Code
    settings: Settings
    user: str
    owner: str
    root: str = ""
    state: str = ""
    virtualenv: str = ""
    python: str = ""
    db_host: str = ""
    db_port: int = 5432
    services: list[Service] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    image_data: dict[str, str] = field(default_factory=dict)
    dumps: list[Old] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    settings_mode: int = 0
    unusual: list[str] = field(default_factory=list)

    @property
    def site(self) -> Site | None:
        """The site that people visit: with TLS, where there are two."""
        return next((site for site in self.sites if site.tls), self.sites[0] if self.sites else None)

    @property
    def runs_as(self) -> list[str]:
        """The users that services run as."""
        return sorted({service.user for service in self.services if service.user})

    @property
    def folders(self) -> dict[str, str]:
        """The folder of the URL by who says so: both settings and the web site."""
        told = {name: self.settings.values.get(name) for name in ("FORCE_SCRIPT_NAME", "CATMAID_URL")}
        known = {name: value for name, value in told.items() if isinstance(value, str)}
        if self.site and (self.site.prefix == "/" or PLAIN.fullmatch(self.site.prefix.strip("/"))):
            known[self.site.file] = self.site.prefix
        return {name: value.strip("/") for name, value in known.items()}

    @property
    def subdirectory(self) -> str:
        """The folder of the URL that pages are asked for in, as far as it is one that jobs can be told."""
        return next((folder for folder in self.folders.values() if PLAIN.fullmatch(folder)), "")

    @property
    def direct(self) -> list[str]:
        """Where the application answers HTTP itself, unless it wants paths there that only a web site makes."""
        if self.subdirectory and not (self.site and self.site.strips):
            return []
        addresses = [service.address for service in self.services if service.kind == programs.WSGI]
        return list(dict.fromkeys(filter(None, addresses)))

    @property
    def server_name(self) -> str:
        """The name that people visit the site by."""
        hosts = self.settings.values.get("ALLOWED_HOSTS")
        names = [str(name).lstrip(".") for name in hosts if "*" not in str(name)] if isinstance(hosts, list) else []
        named = [*(self.site.names if self.site else ()), *names]
        # localhost is there for people who try something out.
        return next((name for name in named if name != "localhost"), "localhost")


def as_dict(found: Found) -> dict[str, Any]:
    """Return all of it as plain values."""
    told, code, site = found.settings, found.code, found.site
    database = {key: told.database.get(key.upper(), "") for key in ("name", "user", "host")}
    return {
        "source": found.source,
        "root": found.root,
        "state": found.state,
        "keep": found.keep,
        "code": {**asdict(code), "untracked": []},
        "virtualenv": found.virtualenv,
        "python": found.python,
        "user": found.user,
        "settings": told.path,
        "database": {**database, "port": found.db_port, "password": told.password},
        "db_host": found.db_host,
        "server_name": found.server_name,
        "subdirectory": found.subdirectory,
        "direct": found.direct,
        "https": bool(site and site.tls),
        "services": [{**asdict(one), "command": without_passwords(one.command), "text": ""} for one in found.services],
        "sites": [asdict(one) for one in found.sites],
        "image_data": found.image_data,
        "media": str(told.values.get("MEDIA_ROOT", "")).rstrip("/"),
        "static": str(told.values.get("STATIC_ROOT", "")).rstrip("/"),
        "dumps": [asdict(one) for one in found.dumps],
        "unusual": found.unusual,
    }
