# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between CATMAID's releases and matters to who installs or runs one. Rules, not data files."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CatmaidError

# Providers in NODE_PROVIDERS that answer from the table node_query_cache.
CACHED_PROVIDERS = ("cached_json", "cached_json_text", "cached_msgpack")

# The command that fills catmaid_stats_summary, newest name first (renamed after 2019.06.20).
STATISTICS_COMMANDS = ("catmaid_refresh_node_statistics", "catmaid_populate_summary_tables")

_RELEASE = re.compile(r"^(?P<date>\d{4}\.\d{2}\.\d{2})(?:-(?P<commits>\d+)-g[0-9a-f]+)?$")
# Commits after the release 2021.12.21: the maintenance branch had 43 when the development branch had hundreds.
_MAINTENANCE = ("2021.12.21", 100)


@dataclass(frozen=True)
class Facts:
    """``python_max`` is the newest Python that the pinned requirements install on; ``packages`` go in before those."""

    python_min: str
    python_max: str
    pip: str
    setuptools: str
    packages: tuple[str, ...]
    postgresql_min: int
    statistics_command: str
    wsgi: str  # no release names its WSGI server


OLD_WSGI = "gunicorn==20.1.0"  # the last one for Python 3.6, and content with an old setuptools

_KNOWN = {
    "2019": Facts(
        "3.6", "3.7", "pip<24.1", "setuptools<58", ("importlib_metadata<5",), 10, STATISTICS_COMMANDS[1], OLD_WSGI
    ),
    "2020": Facts(
        "3.6", "3.7", "pip<24.1", "setuptools<58", ("importlib_metadata<5",), 11, STATISTICS_COMMANDS[0], OLD_WSGI
    ),
    "2021": Facts("3.6", "3.9", "pip<24.1", "setuptools<58", (), 12, STATISTICS_COMMANDS[0], OLD_WSGI),
    "development": Facts("3.8", "3.10", "pip<24.1", "setuptools<58", (), 13, STATISTICS_COMMANDS[0], OLD_WSGI),
    "newer": Facts("3.8", "", "pip", "setuptools", (), 13, STATISTICS_COMMANDS[0], "gunicorn"),
}


def facts(describe: str) -> Facts:
    """Return what is known of the release that ``git describe`` calls so.

    A name that is no release (a lab's own tag, a bare hash) is taken for the newest code.
    """
    match = _RELEASE.match(describe)
    if not match:
        return _KNOWN["development"]
    date, commits = match["date"], int(match["commits"] or 0)
    if date > _MAINTENANCE[0]:
        return _KNOWN["newer"]
    if date == _MAINTENANCE[0] and commits >= _MAINTENANCE[1]:
        return _KNOWN["development"]
    if date > "2020.02.15" or (date == "2020.02.15" and commits >= _MAINTENANCE[1]):
        return _KNOWN["2021"]
    if date > "2019.06.20" or (date == "2019.06.20" and commits >= _MAINTENANCE[1]):
        return _KNOWN["2020"]
    return _KNOWN["2019"]


def pip_constraint(describe: str) -> str:
    """Return the requirement that pip itself has to meet, so that it can read this release's requirements."""
    return facts(describe).pip


def as_dict(describe: str) -> dict[str, Any]:
    """Return the facts as plain values."""
    return {**asdict(facts(describe)), "packages": list(facts(describe).packages)}


def statistics_command(commands: Collection[str]) -> str:
    """Return the command of this release that fills catmaid_stats_summary."""
    for name in STATISTICS_COMMANDS:
        if name in commands:
            return name
    raise CatmaidError(
        "rebuilding the node statistics",
        f"this release has none of the commands {', '.join(STATISTICS_COMMANDS)}",
        "Leave node_statistics out of materializations.",
    )
