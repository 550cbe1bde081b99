# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server of CATMAID's should have: the memory budget's values, and what depends on its version and on itself.

Every value has a reason. What the server has already and more of is not lowered; what it does not know is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..postgres import cluster as clusters
from ..postgres import settings
from ..postgres.dropin import Wanted
from ..postgres.server import Server, maintenance_database
from ..postgres.settings import Setting

STATEMENTS = "pg_stat_statements"
PRELOADED = "shared_preload_libraries"
STATS_FOLDER = "stats_temp_directory"
LAST_WITH_STATS_FOLDER = 14
IN_MEMORY = ("/run/", "/var/run/", "/dev/shm/")
# Never less than the server has: others may have raised them, and clients may need them.
ONLY_UPWARDS = ("max_connections", "max_worker_processes")
# What the budget does not calculate, for versions that know it.
FIXED = {
    "checkpoint_timeout": ("15min", "fewer full pages in the WAL while skeletons are traced and imported"),
    "default_statistics_target": (
        "500",
        "a hundred misjudge columns with very many values, such as skeleton_id; a thousand make planning slower",
    ),
    "track_io_timing": ("on", "EXPLAIN (ANALYZE, BUFFERS) and statistics tell what waits for the disk"),
}
NAMES = ("wal_compression",)


@dataclass(frozen=True)
class Present:
    """What a server has: its settings, what files of others say, and where its configuration is."""

    major: int
    settings: Mapping[str, Setting]
    others: Mapping[str, str]
    config_file: str = ""


def ask(server: Server, name: str) -> Present:
    """Return what a server has; ``name`` is our own file's."""
    found = clusters.find(server)
    with server.connect(maintenance_database(server)) as connection:
        others = settings.of_others(connection, name) if found else {}
        present = settings.read(connection, NAMES)
        return Present(connection.server_version // 10000, present, others, found.config_file if found else "")


def advise(plan: Iterable[Wanted], present: Present) -> tuple[Wanted, ...]:
    """Return what a server should have by the plan of its host, and what else suits CATMAID and the server's version.

    What needs more already, by the word of others, keeps it.
    """
    found = {one.name: one for one in plan}
    advised = [Wanted(name, text, reason) for name, (text, reason) in FIXED.items()]
    for one in (*advised, _compression(present), _stats_folder(present)):
        if one:
            found.setdefault(one.name, one)
    for name in ONLY_UPWARDS:
        if name in found and number(present.others.get(name, "")) > number(found[name].value):
            del found[name]
    return tuple(found.values())


def with_statements(wanted: Iterable[Wanted], present: Present) -> tuple[Wanted, ...]:
    """Return settings with which the library that counts statements is loaded beside all others."""
    found = {one.name: one for one in wanted}
    told = found[PRELOADED].value if PRELOADED in found else present.others.get(PRELOADED, "")
    names = [part.strip(" \"'") for part in told.split(",") if part.strip(" \"'")]
    names += [] if STATEMENTS in names else [STATEMENTS]
    found[PRELOADED] = Wanted(PRELOADED, ",".join(names), "which statements take the time is counted, as wanted")
    return tuple(found.values())


def number(text: str) -> float:
    """Return a text as a number, 0 when it is none."""
    return float(text) if re.fullmatch(r"\d+", text) else 0.0


def _compression(present: Present) -> Wanted | None:
    setting = present.settings.get("wal_compression")
    if setting is None:
        return None
    # Only a server that was built with it has it among its choices.
    if "lz4" in setting.choices:
        return Wanted(setting.name, "lz4", "full pages in the WAL cost almost no CPU this way")
    return Wanted(setting.name, "on", "full pages in the WAL are smaller")


def _stats_folder(present: Present) -> Wanted | None:
    """Return a place in memory for what the server writes all the time, for versions that do, unless it has one."""
    if present.major > LAST_WITH_STATS_FOLDER or present.others.get(STATS_FOLDER, "").startswith(IN_MEMORY):
        return None
    match = re.match(r"/etc/postgresql/([^/]+)/([^/]+)/", present.config_file)
    if not match:  # only Debian's own start makes such a folder at boot
        return None
    reason = "statistics are written to memory and not to the disk, several times a second (CATMAID's manual)"
    return Wanted(STATS_FOLDER, f"/run/postgresql/{match[1]}-{match[2]}.pg_stat_tmp", reason)
