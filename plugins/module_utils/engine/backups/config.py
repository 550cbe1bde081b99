# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a host's backup job: one JSON file for the timer, for cron and for whoever types a command."""

from __future__ import annotations

import glob
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from ..postgres.server import Server
from . import store, targets
from .encryption import METHODS, Encryption
from .retention import Policy

FOLDER = "/etc/catmaid-admin"
STATE = "/var/lib/catmaid-admin"
# What a host does by itself for its application, besides backups
UPKEEP = ("statistics", "vacuum", "caches")
JOBS = {"backup": "job.json", "drill": "drill.json", **{name: f"{name}.json" for name in UPKEEP}}
REMEDY = "See catmaid-admin backup --help, section FILES."
KINDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class Leaf:
    """One value: its type, what it is when it is not given, and what it may be."""

    kind: type
    default: Any = None
    choices: tuple[str, ...] = ()
    element: Any = None
    required: bool = False


TEXT = Leaf(str, "")
TEXTS = Leaf(list, (), element=Leaf(str))
COMMANDS = Leaf(list, (), element=Leaf(list, element=Leaf(str)))
# A rule that is not named keeps none.
RETENTION = {
    **{name: Leaf(int, 0) for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly")},
    "within": TEXT,
    "max_bytes": Leaf(str, "0"),
    "min_free": Leaf(str, "0"),
}

SCHEMA: dict[str, Any] = {
    "instance": Leaf(str, required=True),
    "databases": Leaf(object, required=True),
    "dest": Leaf(str, required=True),
    "login": {
        "host": TEXT,
        "port": Leaf(int, 5432),
        "user": Leaf(str, "postgres"),
        "password": TEXT,
        "pgpass": TEXT,
        "unix_socket": TEXT,
        "ssl_mode": Leaf(str, "prefer", ("allow", "disable", "prefer", "require", "verify-ca", "verify-full")),
        "ca_cert": TEXT,
    },
    "project": {
        "path": TEXT,
        "user": TEXT,
        "database": TEXT,
        "virtualenv": TEXT,
        "settings": Leaf(str, "mysite.settings"),
    },
    "dump": {
        "format": Leaf(str, "directory", ("directory", "custom")),
        "jobs": Leaf(int),
        "materializations": Leaf(str, "safe", ("safe", "include", "exclude")),
        "exclude_tables": TEXTS,
        "exclude_table_data": TEXTS,
        "allow_incomplete": Leaf(bool, False),
        "compression": Leaf(str, "auto", ("auto", "none", "gzip", "lz4", "zstd")),
        "compression_level": Leaf(int),
        "globals": Leaf(bool, True),
        "media_path": TEXT,
        "files": TEXTS,
        "min_age": Leaf(str),
        "fingerprint": Leaf(bool, True),
        "shrink_percent": Leaf(int, 10),
        "lock_wait_timeout": Leaf(float, 60.0),
    },
    "lock_wait": Leaf(float, 0.0),
    "retention": Leaf(dict, element=RETENTION),
    "targets": Leaf(list, (), element=Leaf(dict)),
    "encryption": {"method": Leaf(str, "none", METHODS), "recipients": TEXTS, "recipients_files": TEXTS},
    "hooks": {"on_success": COMMANDS, "on_failure": COMMANDS, "timeout": Leaf(float, 60.0)},
    "metrics_dir": TEXT,
    "state_dir": Leaf(str, STATE),
}


@dataclass(frozen=True)
class Config:
    """A configuration that has been found right. ``databases`` is None for all of the server.

    Without a ``policy`` nothing is pruned.
    """

    path: str
    instance: str
    databases: list[str] | None
    dest: str
    server: Server
    policy: Policy | None
    targets: list[targets.Target]
    encryption: Encryption
    values: Mapping[str, Any]

    @property
    def caps(self) -> dict[str, int]:
        """What the backups of a database may take, and what is to stay free."""
        about = self.values["retention"] or {}
        return {
            "max_bytes": store.size(about.get("max_bytes", "0")),
            "min_free_bytes": store.size(about.get("min_free", "0")),
        }

    def check_caps(self) -> None:
        """Raise where an amount cannot be read: that is told now, and not at night."""
        dict(self.caps)

    def state_of(self, job: str) -> str:
        """Return where the last run of a job stands."""
        return os.path.join(self.values["state_dir"], self.instance, JOBS[job])


def load(path: str) -> Config:
    """Return the configuration in ``path``."""
    doing = f"reading the configuration {path}"
    try:
        with open(path, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            values = json.load(file)
    except OSError as error:
        remedy = "The role catmaid.admin.schedule writes it; root can read it."
        raise CatmaidError(doing, error.strerror or str(error), remedy) from error
    except ValueError as error:
        raise CatmaidError(doing, f"it is no JSON ({error})", REMEDY) from error
    checked = check(values, SCHEMA, "", doing)
    login = checked["login"]
    if login["password"] and stat.S_IMODE(mode) & 0o007:
        raise CatmaidError(doing, "there is a password in it, and everybody can read it", f"chmod o= {path}")
    names = checked["databases"]
    if names != "all" and not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise CatmaidError(doing, 'databases is neither "all" nor a list of names', REMEDY)
    for name in ("on_success", "on_failure"):
        for number, argv in enumerate(checked["hooks"][name]):
            if not argv or not os.path.isabs(argv[0]):
                raise CatmaidError(doing, f"hooks.{name}[{number}] does not begin with an absolute path", REMEDY)
    if not os.path.isabs(checked["dest"]):
        raise CatmaidError(doing, f"dest is {checked['dest']!r}, no absolute path", REMEDY)
    found = Config(
        path=path,
        instance=checked["instance"],
        databases=None if names == "all" else names,
        dest=checked["dest"],
        server=Server(**login),
        policy=_policy(checked["retention"]),
        targets=targets.parse(checked["targets"]),
        encryption=Encryption(**checked["encryption"]),
        values=checked,
    )
    found.check_caps()
    return found


def find(instance: str = "", folder: str = FOLDER) -> str:
    """Return the path of an instance's configuration: of the only one when none is named."""
    found = sorted(glob.glob(os.path.join(glob.escape(folder), "*.json")))
    names = [os.path.basename(path)[: -len(".json")] for path in found]
    doing = f"looking for a configuration in {folder}"
    if instance:
        if instance in names:
            return found[names.index(instance)]
        there = f"there are {', '.join(names)}" if names else "there is none at all"
        raise CatmaidError(doing, f"none is named {instance}, {there}", "Name one of them, or a file with --config.")
    if len(found) != 1:
        cause = f"there are several: {', '.join(names)}" if names else "there is none"
        remedy = "Name one with --instance." if names else "Run the playbook catmaid.admin.schedule, or use --config."
        raise CatmaidError(doing, cause, remedy)
    return found[0]


def check(values: Any, schema: Mapping[str, Any], where: str, doing: str) -> dict[str, Any]:
    """Return ``values`` completed by what they leave out; raise with the name of the first key that is wrong."""
    _expect(values, dict, where.rstrip(".") or "it", doing)
    unknown = sorted(values.keys() - schema.keys())
    if unknown:
        known = ", ".join(sorted(schema))
        raise CatmaidError(doing, f"nobody knows the key {where}{unknown[0]}", f"Known here: {known}.")
    return {name: _value(values, name, wanted, where, doing) for name, wanted in schema.items()}


def _value(values: Mapping[str, Any], name: str, wanted: Any, where: str, doing: str) -> Any:
    full = where + name
    if isinstance(wanted, dict):
        return check(values.get(name, {}), wanted, f"{full}.", doing)
    if values.get(name) is None:
        if wanted.required:
            raise CatmaidError(doing, f"{full} is missing", REMEDY)
        return list(wanted.default) if isinstance(wanted.default, tuple) else wanted.default
    return _leaf(values[name], wanted, full, doing)


def _leaf(value: Any, wanted: Leaf, full: str, doing: str) -> Any:
    _expect(value, wanted.kind, full, doing)
    if wanted.required and value == "":
        raise CatmaidError(doing, f"{full} is empty", REMEDY)
    if wanted.choices and value not in wanted.choices:
        raise CatmaidError(doing, f"{full} is {value!r}, none of {', '.join(wanted.choices)}", REMEDY)
    if wanted.kind is dict and wanted.element is not None:
        return check(value, wanted.element, f"{full}.", doing)
    if wanted.element is not None:
        for number, item in enumerate(value):
            _leaf(item, wanted.element, f"{full}[{number}]", doing)
    return value


def _expect(value: Any, kind: type, full: str, doing: str) -> None:
    right = isinstance(value, (int, float) if kind is float else kind)
    if not right or (isinstance(value, bool) and kind in (int, float)):
        # The value itself is not shown: it could be a password that stands at the wrong place.
        raise CatmaidError(doing, f"{full} is not {KINDS[kind]}", REMEDY)


def _policy(about: Mapping[str, Any] | None) -> Policy | None:
    if about is None:
        return None
    policy = Policy(**{name: value for name, value in about.items() if name not in ("max_bytes", "min_free")})
    policy.check()
    return policy
