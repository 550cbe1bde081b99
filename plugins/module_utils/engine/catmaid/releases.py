# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between CATMAID's releases and matters to who installs or runs one. Rules, not data files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# Providers in NODE_PROVIDERS that answer from the table node_query_cache.
CACHED_PROVIDERS = ("cached_json", "cached_json_text", "cached_msgpack")

# The command that fills catmaid_stats_summary, newest name first (renamed after 2019.06.20).
STATISTICS_COMMANDS = ("catmaid_refresh_node_statistics", "catmaid_populate_summary_tables")

_RELEASE = re.compile(r"^(?P<date>\d{4}\.\d{2}\.\d{2})(?:-(?P<commits>\d+)-g[0-9a-f]+)?$")

# What carries the messages of websockets and Celery
REDIS, RABBITMQ = "redis", "rabbitmq"

# Without these in its database none works.
EXTENSIONS = ("postgis", "pg_trgm")
# A description with so many commits after a tag is on the way to the next release; fewer are its maintenance branch
# (109 of those after 2020.02.15 and 43 after 2021.12.21, while the development branch had 305).
AHEAD = 200


@dataclass(frozen=True)
class Facts:
    """``python_min`` to ``python_max`` are the versions that a release names, less those that were seen to fail.

    ``websockets`` is what these need besides the release's requirements; without any, the release has none that daphne
    alone serves. ``layers`` and ``celery`` are what websockets and Celery get at their messages by, for each broker.
    """

    python_min: str
    python_max: str
    pip: str
    setuptools: str
    postgresql_min: int
    statistics_command: str
    websockets: tuple[str, ...] = ("daphne",)
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _layers("", ""))
    celery: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NEW_CLIENTS)
    pins: tuple[str, ...] = ()


def _layers(redis: str, rabbitmq: str) -> dict[str, tuple[str, ...]]:
    return {REDIS: (f"channels_redis{redis}",), RABBITMQ: (f"channels_rabbitmq{rabbitmq}",)}


# On Python 3.7 celery 5.1.2 takes any importlib-metadata, and has to have one before 5.
_METADATA = ("importlib-metadata<5",)
# celery 4.4.7 and 5.1.2 have metadata that pip 24.1 refuses; some source packages need the 2to3 of old setuptools.
_OLD_PIP, _OLD_SETUPTOOLS = "pip<24.1", "setuptools<58"
_DAPHNE_2, _DAPHNE_3 = ("daphne==2.4.1",), ("daphne==3.0.2",)
_NEW_CLIENTS: dict[str, tuple[str, ...]] = {REDIS: ("celery[redis]",), RABBITMQ: ("celery",)}
# kombu of 2019 to 2021 was not made for newer clients of Redis. That of RabbitMQ it has itself.
_OLD_CLIENTS: dict[str, tuple[str, ...]] = {REDIS: ("redis>=3.4.1,<4",), RABBITMQ: ()}
_KNOWN = {
    "2019": Facts("3.6", "3.7", _OLD_PIP, _OLD_SETUPTOOLS, 10, STATISTICS_COMMANDS[1], (), {}, _OLD_CLIENTS),
    "2020": Facts(
        "3.6",
        "3.7",
        _OLD_PIP,
        _OLD_SETUPTOOLS,
        11,
        STATISTICS_COMMANDS[0],
        _DAPHNE_2,
        _layers("==2.4.2", "==1.2.0"),
        _OLD_CLIENTS,
    ),
    "2021": Facts(
        "3.6",
        "3.9",
        _OLD_PIP,
        _OLD_SETUPTOOLS,
        12,
        STATISTICS_COMMANDS[0],
        _DAPHNE_2,
        _layers("==2.4.2", "==1.2.1"),
        _OLD_CLIENTS,
        _METADATA,
    ),
    "development": Facts(
        "3.8",
        "3.10",
        _OLD_PIP,
        _OLD_SETUPTOOLS,
        13,
        STATISTICS_COMMANDS[0],
        _DAPHNE_3,
        _layers("==3.3.1", "==4.0.0"),
        _OLD_CLIENTS,
    ),
    "later": Facts("3.8", "", "pip", "setuptools", 13, STATISTICS_COMMANDS[0]),
}


def facts(describe: str) -> Facts:
    """Return what is known of the release that ``git describe`` calls so.

    A name that is no release (a lab's own tag, a bare hash) is taken for the newest code that is known. Of releases to
    come nothing is assumed.
    """
    match = _RELEASE.match(describe)
    if not match:
        return _KNOWN["development"]
    date, ahead = match["date"], int(match["commits"] or 0) >= AHEAD
    if date > "2021.12.21":
        return _KNOWN["later"]
    if date == "2021.12.21" and ahead:
        return _KNOWN["development"]
    if date > "2020.02.15" or (date == "2020.02.15" and ahead):
        return _KNOWN["2021"]
    if date > "2019.06.20" or (date == "2019.06.20" and ahead):
        return _KNOWN["2020"]
    return _KNOWN["2019"]


def pip_constraint(describe: str) -> str:
    """Return the requirement that pip itself has to meet, so that it can read this release's requirements."""
    return facts(describe).pip


def as_dict(describe: str, broker: str = REDIS) -> dict[str, Any]:
    """Return the facts as plain values, and what to install before and after the release's own requirements.

    What comes after them is told for each of the processes that an instance may have, with this broker.
    """
    known = facts(describe)
    return {
        **asdict(known),
        "build_requirements": [known.pip, known.setuptools, "wheel", *known.pins],
        # CATMAID's requirements name no server. This one is uWSGI in binary packages.
        "process_requirements": {
            "uwsgi": ["pyuwsgi"],
            "gunicorn": ["gunicorn>=20.1"],
            "websockets": [*known.websockets, *known.layers.get(broker, ())],
            "celery": [*known.celery[broker]],
            "caches": [],
        },
    }
