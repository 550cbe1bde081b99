# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of tuning: a host, what is asked of it, a share of its memory, a value with its reason, a conflict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Union

from ..errors import CatmaidError

KB = 1024
MB = 1024 * KB
GB = 1024 * MB
TB = 1024 * GB
DATABASE, APPLICATION, WEB, KERNEL = "database", "application", "web", "kernel"
PARTS = (DATABASE, APPLICATION, WEB)
DISKS = ("ssd", "hdd")
SIZES = {"": 1, "B": 1, "KB": KB, "MB": MB, "GB": GB, "TB": TB, "K": KB, "M": MB, "G": GB, "T": TB}
DOING = "planning the memory of the host"

Setting = Union[int, float, str, bool]


@dataclass(frozen=True)
class Host:
    """A machine: bytes of memory, cores, the kind of its disks, and which of :data:`PARTS` run here."""

    memory: int
    cores: int
    disk: str = "ssd"
    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        if self.memory < 256 * MB or self.cores < 1:
            raise CatmaidError(DOING, f"{self.memory} bytes and {self.cores} cores are no host for CATMAID")
        if self.disk not in DISKS or not self.parts or set(self.parts) - set(PARTS):
            raise CatmaidError(DOING, f"disks are {' or '.join(DISKS)}, and parts are some of {', '.join(PARTS)}")

    def has(self, part: str) -> bool:
        """Tell whether a part of CATMAID runs here."""
        return part in self.parts


@dataclass(frozen=True)
class Demands:
    """What is asked of the host. A 0 where one may stand is to be advised."""

    workers: int = 0  # processes that answer requests, all those that use this database
    threads: int = 1  # of each
    worker_bytes: int = 256 * MB  # what one of them may need
    companions: int = 0  # Celery's worker and beat, daphne, workers of caches: processes beside
    other_connections: int = 10  # of psql, backups, monitoring
    clients: int = 100  # visitors at once
    buffers: int = 0  # of nginx for one answer, of 4 KB each
    body_buffer_bytes: int = 512 * KB  # of nginx for one request
    worker_connections: int = 0  # of one of nginx's processes; 0 is not known
    body_bytes: int = 80 * MB  # largest request that nginx takes
    upload_bytes: int = 80 * MB  # largest that Django takes (DATA_UPLOAD_MAX_MEMORY_SIZE)


@dataclass(frozen=True)
class Share:
    """A part of the memory, in bytes: what for, and how it is counted."""

    name: str
    bytes: int
    part: str
    reason: str


@dataclass(frozen=True)
class Value:
    """A setting as it should be; a size is in bytes.

    ``part`` says whose it is: the database's, the application's, nginx's or the kernel's. ``at_least`` is only ever
    raised to. ``own`` is the user's, and so is its reason.
    """

    name: str
    value: Setting
    part: str
    reason: str
    source: str
    unit: str = ""  # bytes, ms, or nothing for a number or a word
    at_least: bool = False
    own: bool = False

    @property
    def text(self) -> str:
        """The value as PostgreSQL writes it: a size in the largest unit that loses nothing."""
        if isinstance(self.value, bool):
            return "on" if self.value else "off"
        if self.unit == "ms":
            return f"{self.value}ms"
        return size_text(int(self.value)) if self.unit == "bytes" else f"{self.value}"


@dataclass(frozen=True)
class Conflict:
    """Settings that do not go together: which, why, and what to do. What is ``fatal`` is not to be applied."""

    name: str
    settings: tuple[str, ...]
    cause: str
    remedy: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{', '.join(self.settings)}: {self.cause}. {self.remedy}"


@dataclass(frozen=True)
class Budget:
    """The plan of a host: shares that are its memory, values that keep to them, and what contradicts."""

    host: Host
    demands: Demands
    shares: list[Share]
    values: list[Value]
    conflicts: list[Conflict] = field(default_factory=list)

    def share(self, name: str) -> int:
        """Return the bytes of a share, 0 when there is none."""
        return sum(share.bytes for share in self.shares if share.name == name)

    def value(self, name: str) -> Value:
        """Return a value by its name."""
        return next(value for value in self.values if value.name == name)

    def of(self, part: str) -> dict[str, Value]:
        """Return the values of the database, the application, nginx or the kernel by their names."""
        return {value.name: value for value in self.values if value.part == part}

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, with the text of each."""
        return {**asdict(self), "values": [{**asdict(value), "text": value.text} for value in self.values]}


def bytes_of(name: str, value: Setting) -> int:
    """Return a size as bytes: a number is bytes already, a text has a unit as PostgreSQL or nginx write it."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgGtT]?[bB]?)\s*", str(value))
    if not found:
        raise CatmaidError(DOING, f"{name} = {value} is no size", "Write it as 512MB, or as bytes.")
    return int(float(found[1]) * SIZES[found[2].upper()])


def number_of(name: str, value: Setting) -> float:
    """Return a number that somebody wrote, also as a text."""
    try:
        return float(value)
    except ValueError as error:
        raise CatmaidError(DOING, f"{name} = {value} is no number") from error


def size_text(size: int) -> str:
    """Return a size with the largest unit that loses nothing, as PostgreSQL shows it."""
    for unit, factor in (("TB", TB), ("GB", GB), ("MB", MB), ("kB", KB)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def about(size: float) -> str:
    """Return a size for people."""
    for unit, factor in (("TB", TB), ("GB", GB), ("MB", MB)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / KB:.0f} kB"


def clamp(value: int, low: int, high: int) -> int:
    """Return ``value``, or the bound that it is beyond."""
    return max(low, min(value, high))


def whole(size: int) -> int:
    """Return a size in whole megabytes, or in whole kilobytes below four of them."""
    step = MB if size >= 4 * MB else KB
    return size // step * step


Own = Mapping[str, Setting]
