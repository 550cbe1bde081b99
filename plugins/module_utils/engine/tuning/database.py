# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server of CATMAID's should have: the memory budget's values, and what depends on its version and on itself.

Every value has a reason. What the server has already and more of is not lowered; what it does not know is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import CatmaidError
from ..postgres import cluster as clusters
from ..postgres import settings
from ..postgres.dropin import Wanted
from ..postgres.server import Server, maintenance_database
from ..postgres.settings import Setting
from . import budget
from .model import DATABASE, Budget, Demands, Host
from .model import Setting as Given

DOING = "advising settings of PostgreSQL"
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
NAMES = ("wal_compression", "data_directory")


@dataclass(frozen=True)
class Present:
    """What a server has: its settings, what files of others say, and where its configuration is."""

    major: int
    settings: Mapping[str, Setting]
    others: Mapping[str, str]
    config_file: str = ""


@dataclass(frozen=True)
class Advice:
    """Values with their reasons, and what contradicts."""

    wanted: tuple[Wanted, ...]
    warnings: list[str] = field(default_factory=list)
    budget: Budget | None = None


def ask(server: Server, name: str) -> Present:
    """Return what a server has; ``name`` is our own file's."""
    found = clusters.find(server)
    with server.connect(maintenance_database(server)) as connection:
        others = settings.of_others(connection, name) if found else {}
        present = settings.read(connection, NAMES)
        return Present(connection.server_version // 10000, present, others, found.config_file if found else "")


def advise(
    host: Host, demands: Demands, own: Mapping[str, Given], present: Present, *, statements: bool = False
) -> Advice:  # fmt: skip
    """Return what a server on ``host`` should have. ``own`` are the user's values; one without a text is left out.

    A conflict that would do harm, also one of theirs, is an error.
    """
    chosen = {name: value for name, value in own.items() if value not in ("", None)}
    plan = budget.plan(host, demands, chosen)
    _refuse(plan)
    found = {
        value.name: Wanted(value.name, value.text, f"{value.reason} ({value.source})")
        for value in plan.of(DATABASE).values()
    }
    advised = [Wanted(name, text, reason) for name, (text, reason) in FIXED.items()]
    for one in (*advised, _compression(present), _stats_folder(present)):
        if one:
            found.setdefault(one.name, one)
    if statements:
        found[PRELOADED] = _preloaded(found.get(PRELOADED), present)
    warnings = [str(conflict) for conflict in plan.conflicts if not conflict.fatal]
    for name in list(found):
        if name in own and name not in chosen:
            del found[name]
        elif name in ONLY_UPWARDS and name not in own and _number(present, name) > float(found[name].value):
            warnings.append(f"{name} stays {present.others[name]}, more than the {found[name].value} that are needed")
            del found[name]
    return Advice(tuple(found.values()), warnings, plan)


def own_alone(own: Mapping[str, Given], present: Present, *, statements: bool = False) -> Advice:
    """Return the user's values, without any advice."""
    chosen = {name: value for name, value in own.items() if value not in ("", None)}
    found = {name: Wanted(name, text(value), "as wanted") for name, value in chosen.items()}
    if statements:
        found[PRELOADED] = _preloaded(found.get(PRELOADED), present)
    return Advice(tuple(found.values()))


def text(value: Given) -> str:
    """Return a value as PostgreSQL writes it."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _refuse(plan: Budget) -> None:
    fatal = [conflict for conflict in plan.conflicts if conflict.fatal]
    if fatal:
        causes = "; ".join(f"{', '.join(one.settings)}: {one.cause}" for one in fatal)
        raise CatmaidError(DOING, causes, " ".join(dict.fromkeys(one.remedy for one in fatal)))


def _number(present: Present, name: str) -> float:
    """Return what others say, 0 when they say no number."""
    told = present.others.get(name, "")
    return float(told) if re.fullmatch(r"\d+", told) else 0.0


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


def _preloaded(wanted: Wanted | None, present: Present) -> Wanted:
    """Return the libraries that are loaded, and the one that counts statements."""
    told = wanted.value if wanted else present.others.get(PRELOADED, "")
    names = [part.strip(" \"'") for part in told.split(",") if part.strip(" \"'")]
    names += [] if STATEMENTS in names else [STATEMENTS]
    return Wanted(PRELOADED, ",".join(names), "which statements take the time is counted, as wanted")


def disk(path: str) -> str:
    """Return ssd or hdd for where a folder is. What does not tell, as in a container, is taken for an SSD."""
    try:
        device = os.stat(path).st_dev
        top = os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
        for folder in (top, os.path.dirname(top)):
            name = os.path.join(folder, "queue/rotational")
            if os.path.exists(name):
                with open(name, encoding="ascii") as file:
                    return "hdd" if file.read().strip() == "1" else "ssd"
    except OSError:
        pass
    return "ssd"


def this_host(memory: int, cores: int, kind: str, parts: tuple[str, ...], data_directory: str) -> Host:
    """Return this machine; what is given counts more than what it tells itself."""
    own = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Host(memory or own, cores or len(os.sched_getaffinity(0)), kind or disk(data_directory), parts)
