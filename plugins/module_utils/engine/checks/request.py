# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked about an instance, and what was found: right, wrong, or nothing that there would be to look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..django.project import Project
from ..django.shim import Runner
from ..errors import CatmaidError
from ..postgres.server import Server
from .site import Site

OK, FAILED, NOTHING = "ok", "failed", "nothing to look at"


@dataclass(frozen=True)
class Request:
    """An instance. ``services`` are its units; the superuser is only asked to log in if there is a ``password``."""

    project: Project
    server: Server
    database: str
    site: Site
    services: list[str]
    secrets: str = ""
    instance: str = ""
    superuser: str = "admin"
    password: str = field(default="", repr=False)

    @property
    def runner(self) -> Runner:
        """What asks the release's own Python."""
        return Runner(self.project, self.server, self.database)


class Nothing(Exception):
    """Raised by a check of something that the instance does not have."""


def wrong(doing: str, problems: list[str], remedy: str = "") -> None:
    """Raise if there are problems."""
    if problems:
        raise CatmaidError(doing, "; ".join(problems), remedy)
