# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places off this host: how they are described, and what each kind of them can do."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import CatmaidError
from ..progress import Report
from .pipeline import Digest, Writer
from .retention import Policy

DOING = "reading the targets"
KEEP = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
# Options of rclone's backends that hold a secret: the ones that have to stand in secrets.
SECRET = re.compile(r"(^|_)(pass|password\d?|secret|secret_access_key|token|key|sas_url|client_secret|session_token)$")
ONLY = {
    "rclone": ("remote", "config_file", "backend", "options", "secrets"),
    "rsync": ("host", "port", "user", "key_file", "known_hosts"),
}
DEFAULTS: dict[str, Any] = {
    "type": "rclone",
    "path": "",
    "remote": "",
    "config_file": "",
    "backend": "",
    "options": {},
    "secrets": {},
    "host": "",
    "port": 22,
    "user": "",
    "key_file": "",
    "known_hosts": "",
    "encrypt": True,
    "check": "contents",
    "bandwidth": 0,
    "keep_within": "",
    **{f"keep_{name}": None for name in KEEP},
}


@dataclass(frozen=True)
class Target:
    """One place. ``policy`` is None where all copies stay."""

    name: str
    type: str
    path: str
    remote: str = ""
    config_file: str = ""
    backend: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    host: str = ""
    port: int = 22
    user: str = ""
    key_file: str = ""
    known_hosts: str = ""
    encrypt: bool = True
    check: str = "contents"
    bandwidth: int = 0
    policy: Policy | None = None


class Remote(ABC):
    """The folder of one database on a target. Names are those of files in it.

    Whoever wants to know how far a long transfer is sets ``report``.
    """

    report: Report | None = None

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Return the files in the folder with their sizes; none when the folder does not exist."""

    @abstractmethod
    def texts(self, suffix: str) -> list[str]:
        """Return the contents of all files whose names end with ``suffix``, in no order."""

    @abstractmethod
    def write(self, name: str, fill: Writer, expected: int) -> Digest:
        """Write a file of about ``expected`` bytes; return what was written. It may stay unfinished when that fails."""

    @abstractmethod
    def check(self, name: str, written: Digest) -> None:
        """Read a file again over there and raise if it is not what was written. Right after :meth:`write` only."""

    @abstractmethod
    def read(self, name: str, out: Any) -> None:
        """Write the contents of a file to ``out``."""

    @abstractmethod
    def remove(self, names: Sequence[str]) -> None:
        """Remove files."""

    @abstractmethod
    def tidy(self) -> None:
        """Take away what runs that were killed have left where :meth:`sizes` does not show it."""


def parse(described: Sequence[Mapping[str, Any]]) -> list[Target]:
    """Return targets by their descriptions: those of the module backup_copy, or of a job's configuration file."""
    found = [_target(dict(one), number) for number, one in enumerate(described)]
    names = [target.name for target in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CatmaidError(DOING, f"two are named {twice[0]}", "Give each a name of its own.")
    return found


def _target(given: dict[str, Any], number: int) -> Target:
    name = str(given.pop("name", "") or "")
    doing = f"{DOING}: {name or number}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise CatmaidError(doing, "its name is missing, or not made of letters, digits, dots, _ and -", "Give one.")
    unknown = sorted(given.keys() - DEFAULTS.keys())
    if unknown:
        raise CatmaidError(doing, f"nobody knows {unknown[0]}", f"Known are {', '.join(sorted(DEFAULTS))}.")
    values = {**DEFAULTS, **{key: value for key, value in given.items() if value is not None}}
    _check(values, doing)
    counts = {key: values.pop(f"keep_{key}") for key in KEEP}
    within = values.pop("keep_within")
    policy = None
    if within or any(count is not None for count in counts.values()):
        policy = Policy(**{key: int(count or 0) for key, count in counts.items()}, within=within)
        policy.check()
    return Target(name=name, policy=policy, **values)


def _check(values: Mapping[str, Any], doing: str) -> None:
    kind = values["type"]
    if kind not in ONLY:
        raise CatmaidError(doing, f"type is {kind!r}", f"Use {' or '.join(ONLY)}.")
    foreign = [key for other in ONLY if other != kind for key in ONLY[other] if values[key] != DEFAULTS[key]]
    if foreign:
        raise CatmaidError(doing, f"{foreign[0]} means nothing for type {kind}", "Leave it out.")
    if values["check"] not in ("contents", "size"):
        raise CatmaidError(doing, f"check is {values['check']!r}", "Use contents or size.")
    if not str(values["path"]).strip("/ "):
        raise CatmaidError(doing, "there is no path", "Name a folder, such as bucket/catmaid.")
    if kind == "rsync":
        _check_rsync(values, doing)
    else:
        _check_rclone(values, doing)


def _check_rsync(values: Mapping[str, Any], doing: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:_-]*", values["host"]):
        raise CatmaidError(doing, f"host is {values['host']!r}", "Name the host that ssh is to reach.")
    if not re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9._-]*)?", values["user"]):
        raise CatmaidError(doing, f"user is {values['user']!r}", "Name a user of that host.")
    for key in ("key_file", "known_hosts"):
        if values[key] and not os.path.isabs(values[key]):
            raise CatmaidError(doing, f"{key} is {values[key]!r}, no absolute path", "Give the absolute path.")


def _check_rclone(values: Mapping[str, Any], doing: str) -> None:
    if bool(values["remote"]) == bool(values["backend"]):
        remedy = "Give remote, which config_file describes, or backend with options and secrets."
        raise CatmaidError(doing, "it needs either remote or backend", remedy)
    if values["remote"] and not values["config_file"]:
        raise CatmaidError(doing, f"no config_file describes {values['remote']}", "Give rclone's configuration file.")
    if values["remote"] and (values["options"] or values["secrets"]):
        raise CatmaidError(doing, "options and secrets belong to backend", "Write them into config_file.")
    for key in [*values["options"], *values["secrets"]]:
        if not re.fullmatch(r"[a-z0-9_]+", str(key)):
            raise CatmaidError(doing, f"{key!r} is no option of rclone", "Write it like in rclone.conf.")
    open_secrets = [key for key in values["options"] if SECRET.search(key)]
    if open_secrets:
        raise CatmaidError(doing, f"{open_secrets[0]} is a secret and stands in options", "Move it to secrets.")
