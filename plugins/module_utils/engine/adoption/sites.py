# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web site in front of a checkout: its names, TLS, where it is on the site, and folders of image data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .. import configs
from ..configs import Directive
from ..upgrades import programs

PASSES = ("proxy_pass", "uwsgi_pass", "fastcgi_pass", "scgi_pass")
FILES = ("alias", "root")
MAINTENANCE = "maintenance.html"


@dataclass(frozen=True)
class Site:
    """``prefix`` is below which path the application is, empty if that is not known, and ``strips`` whether that path
    is taken off what is passed on; ``web`` where it is reached on this host; ``files`` are the folders by location;
    ``shows_page`` tells whether it knows the maintenance page of this collection."""

    file: str
    names: tuple[str, ...]
    tls: bool
    web: str
    prefix: str = ""
    strips: bool = False
    certificate: str = ""
    files: dict[str, str] = field(default_factory=dict)
    shows_page: bool = False


def find(configured: Mapping[str, str], sockets: Sequence[str], places: Sequence[str]) -> list[Site]:
    """Return the sites that lead to one of these sockets, or show files of one of these folders."""
    parsed = {path: configs.nginx(text) for path, text in configured.items()}
    everything = [Directive(("all",), directives) for directives in parsed.values()]
    upstreams = {
        block.words[1]: [server.words[1] for server in block.inside("server") if len(server.words) > 1]
        for top in everything
        for block in top.inside("upstream")
        if len(block.words) > 1
    }
    found = []
    for path, directives in parsed.items():
        for server in Directive(("all",), directives).inside("server"):
            site = _site(path, server, upstreams, sockets, places) if server.block else None
            if site:
                found.append(site)
    return found


def _site(path: str, server: Directive, upstreams: Mapping[str, list[str]], sockets: Sequence[str],
          places: Sequence[str]) -> Site | None:  # fmt: skip
    shown = dict(_shown(server))
    passed = {
        location: address for location, address in _passed(server) if set(_targets(address, upstreams)) & set(sockets)
    }
    files = {location: folder for location, folder in shown.items() if _below(folder, places)}
    if not passed and not files:
        return None
    listens = [directive.words[1:] for directive in server.block if directive.name == "listen"]
    tls = any("ssl" in words for words in listens) or any(
        directive.words == ("ssl", "on") for directive in server.inside("ssl")
    )
    names = [name for directive in server.block if directive.name == "server_name" for name in directive.words[1:]]
    prefix = min((location for location in passed if "/channels" not in location), key=len, default="")
    return Site(
        file=path,
        names=tuple(name for name in names if name not in ("_", "") and not name.startswith(("~", "*", "."))),
        tls=tls,
        web=_web(listens),
        prefix=prefix,
        strips=_split(passed.get(prefix, ""))[1] != "",
        certificate=next((item.words[1] for item in server.block if item.name == "ssl_certificate"), ""),
        files=shown,
        shows_page=any(MAINTENANCE in word for item in server.inside("if") for word in item.words),
    )


def image_data(site: Site, others: Sequence[str]) -> dict[str, str]:
    """Return the folders that are neither the application's own nor pages: there may be image data in them."""
    return {
        location: folder
        for location, folder in site.files.items()
        if location not in ("", "/") and not location.startswith("@") and not _below(folder, [*others, "/var/www/html"])
    }


def _below(folder: str, places: Sequence[str]) -> bool:
    return any(f"{os.path.normpath(folder)}/".startswith(f"{os.path.normpath(place)}/") for place in places if place)


def _passed(block: Directive, location: str = "/") -> Iterator[tuple[str, str]]:
    for item in block.block:
        if item.name in PASSES and len(item.words) > 1:
            yield location, item.words[1]
        if item.name == "location":
            yield from _passed(item, item.words[-1])
        elif item.block:
            yield from _passed(item, location)


def _split(address: str) -> tuple[str, str]:
    """Return whom an address asks, and the path that is put in place of the location's."""
    bare = re.sub("^[a-z]+://", "", address)
    if bare.startswith("unix:"):
        socket, _colon, path = bare.removeprefix("unix:").partition(":")
        return f"unix:{socket}", path
    name, slash, path = bare.partition("/")
    return name, slash + path


def _targets(address: str, upstreams: Mapping[str, list[str]]) -> list[str]:
    """Return the addresses that a name stands for, as services tell them."""
    bare = _split(address)[0]
    listed = upstreams.get(bare, [bare])
    return [one.replace("localhost:", "127.0.0.1:").replace("unix://", "unix:/") for one in listed]


def _shown(block: Directive, location: str = "") -> Iterator[tuple[str, str]]:
    for item in block.block:
        if item.name in FILES and len(item.words) > 1:
            yield location, item.words[1]
        if item.name == "location":
            yield from _shown(item, item.words[-1])
        elif item.block:
            yield from _shown(item, location)


def _web(listens: Sequence[Sequence[str]]) -> str:
    """Return an address of this host that answers without TLS, or one with it after "https:"."""
    plain = [words[0] for words in listens if words and "ssl" not in words and not words[0].startswith("unix:")]
    secure = [words[0] for words in listens if words and "ssl" in words]
    for chosen, before in ((plain, ""), (secure, "https:")):
        if chosen:
            host, _colon, port = chosen[0].rpartition(":")
            return f"{before}{programs.ANYWHERE.get(host, host)}:{port if port.isdigit() else 80}"
    return "127.0.0.1:80"
