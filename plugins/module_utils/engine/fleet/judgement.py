# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an instance somebody should look after, and how soon: each reason names the part that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..backups.check import AHEAD
from ..progress import size
from .words import ago, joined

OK, WARNING, FAILED = "ok", "warning", "failed"
UNREACHABLE = "unreachable"
STATES = (UNREACHABLE, FAILED, WARNING, OK)  # the worst first
HOUR, DAY = 3600, 86400


@dataclass(frozen=True)
class Reason:
    """Why an instance is not all right."""

    level: str
    part: str
    text: str


@dataclass(frozen=True)
class Limits:
    """From where on a figure is a warning, and from where on a failure. 0 days of a drill expects none."""

    backup_warn_hours: float = 26
    backup_fail_hours: float = 50
    drill_warn_days: float = 9
    certificate_warn_days: float = 21
    certificate_fail_days: float = 7
    disk_warn_percent: float = 15
    disk_fail_percent: float = 5


def judge(found: Mapping[str, Any], limits: Limits) -> list[Reason]:
    """Return the reasons, the worst first."""
    reasons = [Reason(FAILED, part, text) for part, text in found["errors"].items()]
    for part, rule in RULES.items():
        if part not in found["errors"]:
            reasons += [Reason(level, part, text) for level, text in rule(found[part], limits)]
    return sorted(reasons, key=lambda reason: STATES.index(reason.level))


def state(reasons: list[Reason]) -> str:
    """Return how an instance is: as bad as the worst reason."""
    return reasons[0].level if reasons else OK


Told = Iterator[tuple[str, str]]


def _database(about: Mapping[str, Any], _limits: Limits) -> Told:
    postgis = about["postgis"]
    if not postgis["extension"]:
        yield FAILED, "the database has no PostGIS"
    elif postgis["problem"]:
        yield FAILED, f"PostGIS {postgis['extension']} cannot be used: {postgis['problem']}"
    elif mismatch(postgis):
        have = postgis["library"] or postgis["available"]
        remedy = "ALTER EXTENSION postgis UPDATE, or SELECT postgis_extensions_upgrade()"
        yield WARNING, f"PostGIS is {postgis['extension']} in the database, and its library {have}: {remedy}"


def mismatch(postgis: Mapping[str, Any]) -> bool:
    """Tell whether the extension in the database is another version than the library on the host."""
    there = {version for version in (postgis["library"], postgis["available"]) if version}
    return bool(postgis["outdated"] or postgis["problem"] or there - {postgis["extension"]})


def _migrations(about: Mapping[str, Any], _limits: Limits) -> Told:
    if about["pending"]:
        yield FAILED, f"the database lacks migrations of the code that serves: {joined(about['pending'])}"
    if about["unknown"]:
        yield WARNING, f"the database has migrations that the code does not know: {joined(about['unknown'])}"


def _materializations(about: Mapping[str, Any] | None, _limits: Limits) -> Told:
    if about and about["stale"]:
        yield WARNING, f"derived tables differ from their sources: {joined(about['reasons'])} (playbook rebuild)"


def _backups(about: Mapping[str, Any], limits: Limits) -> Told:
    for run in about["runs"]:
        yield FAILED if run["failed"] else WARNING, run["text"]
    if about["damaged"]:
        yield WARNING, f"damaged backups: {joined(about['damaged'])}"
    newest = about["newest"]
    if not newest:
        yield FAILED, "there is no verified backup"
        return
    hours = newest["age"] / HOUR
    if hours > limits.backup_warn_hours:
        level = FAILED if hours > limits.backup_fail_hours else WARNING
        yield level, f"the newest verified backup is {ago(newest['age'])} old"
    if newest["age"] < -AHEAD:
        yield WARNING, f"the newest backup is from the future, {ago(-newest['age'])} ahead: look at the clock"
    if newest["suspicious"]:
        yield FAILED, f"tables have shrunk in {newest['id']}, and nobody has accepted that"


def _drill(about: Mapping[str, Any] | None, limits: Limits) -> Told:
    if not limits.drill_warn_days:
        return
    if not about:
        yield WARNING, "no restore drill ever went well"
    elif about["age"] > limits.drill_warn_days * DAY:
        yield WARNING, f"the last restore drill that went well was {ago(about['age'])} ago"


def _certificate(about: Mapping[str, Any] | None, limits: Limits) -> Told:
    if not about:
        return
    left = about["days_left"]
    if left is None:
        yield FAILED, about["complaint"]
    elif left <= 0:
        yield FAILED, f"the certificate of {about['name']} has expired"
    elif left < limits.certificate_warn_days:
        level = FAILED if left < limits.certificate_fail_days else WARNING
        yield level, f"the certificate of {about['name']} expires in {left:.0f} days"


def _disks(about: list[Mapping[str, Any]], limits: Limits) -> Told:
    for names, disk in devices(about):
        free = 100 * disk["free"] / max(disk["total"], 1)
        if free < limits.disk_warn_percent:
            level = FAILED if free < limits.disk_fail_percent else WARNING
            yield level, f"the disk of {names} ({disk['path']}) has {size(disk['free'])} free, {free:.0f} %"


def devices(disks: list[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each disk once, with the names of all that is on it."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for disk in disks:
        found.setdefault(disk["device"], []).append(disk)
    return [(" and ".join(str(one["name"]) for one in same), same[0]) for same in found.values()]


def _units(about: Mapping[str, Any], _limits: Limits) -> Told:
    if about["stopped"]:
        yield FAILED, f"units of the instance do not run: {joined(about['stopped'])}"
    if about["failed"]:
        yield WARNING, f"units have failed: {joined(about['failed'])} (systemctl status)"


RULES: dict[str, Any] = {
    "database": _database,
    "migrations": _migrations,
    "materializations": _materializations,
    "backups": _backups,
    "drill": _drill,
    "certificate": _certificate,
    "disks": _disks,
    "units": _units,
}
