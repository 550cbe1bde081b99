# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that apply on the way from one version to another, compared with the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..catmaid import releases
from ..catmaid.commits import Position
from ..progress import size
from .host import Host, Version
from .request import COPY, DUMP

ERROR, ACTION, AUTOMATIC, NOTE, FULFILLED = "error", "action", "automatic", "note", "fulfilled"
LEVELS = (ERROR, ACTION, AUTOMATIC, NOTE, FULFILLED)

Check = Callable[[Host], str]


@dataclass(frozen=True)
class Rule:
    """What a release wants. ``check`` returns what of the host does not meet it, nothing when all is well.

    ``release`` has a "+" for what comes after that release and has no name yet.
    """

    release: str
    name: str
    says: str
    check: Check
    level: str = ACTION
    remedy: str = ""


@dataclass(frozen=True)
class Finding:
    """A rule on this host. ``found`` is empty where it is fulfilled, or where there is nothing to look at."""

    level: str
    release: str
    name: str
    says: str
    found: str = ""
    remedy: str = ""

    def line(self) -> str:
        """Return it for people."""
        return " ".join(filter(None, [f"{self.release or 'any'}: {self.says}", _sentence(self.found), self.remedy]))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def key(position: Position, coming: bool) -> str:
    """Return what sorts a version among the releases of the rules; ``coming`` is on the way to the next release."""
    return f"{position.release}{'+' if coming else ''}"


def evaluate(rules: tuple[Rule, ...], old: str, new: str, host: Host) -> list[Finding]:
    """Return what becomes of the rules between two keys, in the order of the releases."""
    found = []
    for rule in rules:
        if not old < rule.release <= new:
            continue
        lacking = rule.check(host)
        level = rule.level if lacking else FULFILLED
        release = f"after {rule.release[:-1]}" if rule.release.endswith("+") else rule.release
        found.append(Finding(level, release, rule.name, rule.says, lacking, rule.remedy if lacking else ""))
    return found


def of_target(new: Position, coming: bool, host: Host) -> list[Finding]:
    """Return what the wanted version needs whatever served before."""
    found = [*_postgis(host), *_disk(host)]
    if new.release:
        ahead = f"-{releases.AHEAD}-g{new.commit[:9]}" if coming else ""
        known = releases.facts(f"{new.release}{ahead}")
        found += [*_python(new, known, host), *_postgresql(new, known, host)]
    return found


def _python(new: Position, known: releases.Facts, host: Host) -> list[Finding]:
    says = f"CATMAID {new.describe} runs on Python {known.python_min} to {known.python_max or 'any newer one'}."
    lacking = ""
    if not host.python:
        lacking = f"{host.interpreter} cannot be run"
    elif host.python < _version(known.python_min) or (known.python_max and host.python > _version(known.python_max)):
        lacking = f"{host.interpreter} is {'.'.join(map(str, host.python))}"
    fetched = f"uv:{known.python_max or known.python_min}"
    remedy = (
        "Install one that fits where the service user can read it, and set catmaid_python to its path, "
        f"or let uv fetch one: {fetched}."
    )
    return [_finding(ERROR, new.release, "python", says, lacking, remedy)]


def _postgresql(new: Position, known: releases.Facts, host: Host) -> list[Finding]:
    says = f"CATMAID {new.describe} needs PostgreSQL {known.postgresql_min} or newer."
    here = host.server // 10000
    lacking = f"the server is PostgreSQL {here}" if here < known.postgresql_min else ""
    remedy = "Update PostGIS in every database first, then the server."
    return [_finding(ERROR, new.release, "postgresql", says, lacking, remedy)]


def _postgis(host: Host) -> list[Finding]:
    there = host.postgis
    if not there.extension:
        says, remedy = "CATMAID keeps places in PostGIS.", "As a superuser: CREATE EXTENSION postgis"
        return [_finding(ERROR, "", "postgis", says, "the database has no extension postgis", remedy)]
    if there.problem:
        says = "Without PostGIS's library not even a backup can be made."
        remedy = "Install the PostGIS package that fits the server, then run ALTER EXTENSION postgis UPDATE."
        return [_finding(ERROR, "", "postgis-library", says, f"it cannot be loaded: {there.problem}", remedy)]
    lacking = ""
    if there.outdated or (there.available and there.extension != there.available):
        lacking = f"the database has {there.extension}, the server {there.available or there.library}"
    says = "PostGIS's functions in the database fit the library of the server."
    return [_finding(ACTION, "", "postgis-update", says, lacking, "As a superuser: ALTER EXTENSION postgis UPDATE")]


def _disk(host: Host) -> list[Finding]:
    says = f"A release needs about {size(host.release_bytes)}, as the one that serves."
    lacking = f"{size(host.release_free)} are free" if host.release_free < host.release_bytes else ""
    found = [_finding(ERROR, "", "disk-release", says, lacking, "Remove old releases, or make room.")]
    if host.protect == DUMP:
        found.append(_dump(host))
    elif host.protect == COPY and host.database_free is not None:
        says = f"The copy that leads back takes {size(host.database_bytes)} below {host.database_folder}."
        lacking = f"{size(host.database_free)} are free" if host.database_free < host.database_bytes else ""
        instead = _dump(host)
        if lacking and instead.level == FULFILLED:
            remedy = "So a dump is made at the stop, which people wait for longer; a rollback then restores it."
            found.append(_finding(NOTE, "", "disk-copy", says, lacking, remedy))
        else:
            lacking = f"{lacking}, and for a dump instead {instead.found}" if lacking else ""
            found.append(_finding(ERROR, "", "disk-copy", says, lacking, "Make room on one of both disks."))
    return found


def _dump(host: Host) -> Finding:
    says = f"The dump that leads back takes about {size(host.dump_bytes)} in {host.dump_folder or 'a folder'}."
    lacking = ""
    if host.dump_free is None:
        lacking = "there is no folder of backups"
    elif host.dump_free < host.dump_bytes:
        lacking = f"{size(host.dump_free)} are free in {host.dump_folder}"
    return _finding(ERROR, "", "disk-dump", says, lacking, "Make room on that disk.")


def _finding(level: str, release: str, name: str, says: str, lacking: str, remedy: str) -> Finding:
    return Finding(level if lacking else FULFILLED, release, name, says, lacking, remedy if lacking else "")


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))
