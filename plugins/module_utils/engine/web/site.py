# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One web site of nginx: tried before it is used, proven when it is, and as it was before when either fails."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass

from .. import files
from ..errors import CatmaidError, of_system
from . import nginx

PROVEN_WITHIN = 10.0  # a process from before a reload may just have taken the connection


@dataclass(frozen=True)
class Request:
    """A site by name. Without ``content`` it is not to be; ``fingerprint`` is of the certificate that it shall show."""

    name: str
    content: str | None
    config_dir: str = "/etc/nginx"
    server_name: str = ""
    fingerprint: str = ""

    @property
    def available(self) -> str:
        """Its file."""
        return os.path.join(self.config_dir, "sites-available", self.name)

    @property
    def enabled(self) -> str:
        """The link to it that nginx follows."""
        return os.path.join(self.config_dir, "sites-enabled", self.name)


@dataclass(frozen=True)
class State:
    """What there is of a site: its text, and where its link leads; nothing where there is none."""

    text: str | None
    link: str | None


@dataclass(frozen=True)
class Outcome:
    """Whether something changed, or would, and from what."""

    changed: bool
    before: str


def look(request: Request) -> State:
    """Return what there is."""
    try:
        text = None
        if os.path.exists(request.available):
            with open(request.available, encoding="utf-8", errors="replace") as file:
                text = file.read()
        if os.path.lexists(request.enabled) and not os.path.islink(request.enabled):
            raise CatmaidError(
                f"looking at the site {request.name}",
                f"{request.enabled} is a file of its own and no link",
                f"Move it to {request.available} or away.",
            )
        link = os.readlink(request.enabled) if os.path.islink(request.enabled) else None
    except OSError as error:
        raise of_system(f"looking at the site {request.name}", error) from error
    return State(text, link)


def activate(request: Request, *, check: bool = False) -> Outcome:
    """Let nginx serve the site as it is wanted. What nginx does not take, or does not show, is taken back."""
    before = look(request)
    wanted = State(request.content, request.available if request.content is not None else None)
    if before == wanted and is_shown(request):
        return Outcome(False, before.text or "")
    nginx.rehearse(
        request.config_dir,
        {os.path.join("sites-enabled", request.name): request.content},
        f"testing nginx's configuration with the site {request.name}",
        request.server_name,
    )
    if not check:
        nginx.change(
            request.config_dir,
            do=lambda: _put(request, wanted),
            undo=lambda: _put(request, before),
            prove=lambda: _prove(request),
            what="The site",
        )
    return Outcome(True, before.text or "")


def is_shown(request: Request) -> bool:
    """Tell whether visitors get the certificate that they should get."""
    if not request.fingerprint:
        return True
    return hashlib.sha256(nginx.served_certificate(request.server_name)).hexdigest() == request.fingerprint


def _put(request: Request, state: State) -> None:
    """Bring file and link to a state, each at once."""
    try:
        if state.text is None:
            _remove(request.available)
        else:
            files.write_atomically(request.available, state.text, mode=0o644)
        if state.link is None:
            _remove(request.enabled)
        else:
            partial = os.path.join(request.config_dir, f".{request.name}.next")
            _remove(partial)
            os.symlink(state.link, partial)
            os.replace(partial, request.enabled)
    except OSError as error:
        raise of_system(f"writing the site {request.name}", error) from error


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def _prove(request: Request) -> None:
    """Wait until visitors get the wanted certificate."""
    deadline = time.monotonic() + PROVEN_WITHIN
    while not is_shown(request):
        if time.monotonic() > deadline:
            raise CatmaidError(
                f"asking for {request.server_name} by TLS",
                "another certificate than the site's is shown",
                f"Look which other site of nginx claims the name {request.server_name} (nginx -T).",
            )
        time.sleep(nginx.PAUSE)
