# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One memory budget for a host: the database, the application, nginx, the page cache and the kernel share what it has.

Everything here is calculated: nothing is read from the machine, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..errors import CatmaidError
from . import conflicts, values
from .model import (
    APPLICATION,
    DATABASE,
    KERNEL,
    WEB,
    Budget,
    Demands,
    Host,
    Own,
    Setting,
    Value,
    bytes_of,
    number_of,
)
from .shares import measure, shares

HUGE_PAGES, OVERCOMMIT = "huge_pages", "overcommit"
OPTIONS = (HUGE_PAGES, OVERCOMMIT)
CHOSEN = "chosen by whoever runs this host"


def plan(
    host: Host,
    demands: Demands | None = None,
    own: Own | None = None,
    present: Mapping[str, int] | None = None,
    options: Iterable[str] = (),
    swap: int = 0,
) -> Budget:
    """Return the plan of a host.

    ``own`` are values that the user wants, by the names of the plan's: a size as bytes, or as text such as "512MB".
    Names that the plan does not have are PostgreSQL's, or the kernel's when there is a dot in them. ``present`` are
    the kernel's settings now, ``options`` some of :data:`OPTIONS`, which are for those who want them, and ``swap``
    the host's, in bytes.
    """
    wanted, given = demands or Demands(), dict(own or {})
    _check(wanted)
    if "workers" in given or "threads" in given:
        numbers = {name: int(number_of(name, given[name])) for name in ("workers", "threads") if name in given}
        wanted = replace(wanted, **numbers)
    sizes = measure(host, wanted)
    found: list[Value] = values.kernel(host, sizes)
    if host.has(DATABASE):
        found += values.database(host, sizes)
        chosen = set(options)
        found += [values.huge_pages(sizes)] if HUGE_PAGES in chosen else []
        found += values.no_overcommit(host, sizes, swap) if OVERCOMMIT in chosen else []
    found += values.application(wanted, sizes) if host.has(APPLICATION) else []
    found += values.web(wanted, sizes) if host.has(WEB) else []
    budget = Budget(host, wanted, shares(host, wanted, sizes), _chosen(found, given))
    return replace(budget, conflicts=conflicts.find(budget, sizes, present or {}))


def _check(demands: Demands) -> None:
    at_least = {"threads": 1, "worker_bytes": 1, "clients": 1}
    for name, value in vars(demands).items():
        if value < at_least.get(name, 0):
            raise CatmaidError("planning the memory of the host", f"{name} cannot be {value}")


def _chosen(found: list[Value], own: dict[str, Setting]) -> list[Value]:
    """Return the plan's values with the user's own in place of them, and those that only the user has."""
    merged = [_own(value, own[value.name]) if value.name in own else value for value in found]
    known = {value.name for value in found}
    for name in own:
        if name not in known:
            part = KERNEL if "." in name else DATABASE
            merged.append(Value(name, own[name], part, "as wanted", CHOSEN, own=True))
    return merged


def _own(value: Value, wanted: Setting) -> Value:
    given = bytes_of(value.name, wanted) if value.unit == "bytes" else wanted
    return replace(value, value=given, reason=f"as wanted; {value.text} was advised", source=CHOSEN, own=True)
