# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true of one release of CATMAID and not of another, by its name in git."""

from __future__ import annotations

import re
from dataclasses import dataclass

DESCRIBE = re.compile(r"^(?P<release>\d{4}\.\d{2}\.\d{2})(?:-(?P<commits>\d+)-g[0-9a-f]+)?$")


@dataclass(frozen=True)
class Facts:
    """What a release needs: requirements are those that pip understands."""

    build_requirements: tuple[str, ...]
    wsgi_requirements: tuple[str, ...]


# celery 4.4.7 (up to 2021.12.21) and 5.1.2 (its development branch) state their requirements in a form that newer
# versions of pip refuse; other old packages are built by means that newer versions of setuptools lack.
OLD_TOOLS = ("pip<24.1", "setuptools<58", "wheel<0.46")
# On Python 3.7 kombu 4 takes any version, but works with those before 5 only.
OLD_METADATA = ("importlib-metadata<5",)


def facts(describe: str) -> Facts:
    """Return the facts of the release that ``git describe`` calls ``describe``; unknown names count as new."""
    match = DESCRIBE.match(describe)
    release = match.group("release") if match else ""
    if release and release <= "2021.12.21":
        developed = match is not None and int(match.group("commits") or 0) > 100
        return Facts(OLD_TOOLS if developed else OLD_TOOLS + OLD_METADATA, ("gunicorn==20.1.0",))
    return Facts(("pip", "setuptools", "wheel"), ("gunicorn",))
