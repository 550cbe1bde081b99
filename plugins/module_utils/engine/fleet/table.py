# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All instances in one table: what stands in each cell, and the table for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..progress import size
from .judgement import OK, STATES, UNREACHABLE, devices, mismatch
from .words import ago, joined

Host = Mapping[str, Any]
UNKNOWN = "?"
UNBROKEN = "\u00a0"  # or Ansible breaks long lines where results are shown as YAML
WIDEST = 34  # characters of a cell in a terminal


@dataclass(frozen=True)
class Column:
    """A column about a part of an instance; ``text`` is what it tells when the part could be looked at."""

    part: str
    title: str
    text: Callable[[Any], str]

    def cell(self, host: Host) -> str:
        """Return what stands in the cell of a host."""
        if host["state"] == UNREACHABLE or self.part in host["status"]["errors"]:
            return UNKNOWN
        return self.text(host["status"][self.part])

    def level(self, host: Host) -> str:
        """Return how the part is."""
        return worst(reason["level"] for reason in host["reasons"] if reason["part"] == self.part)


def worst(levels: Any) -> str:
    """Return the worst of some levels."""
    return min(levels, key=STATES.index, default=OK)


def fleet(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the hosts, the worst first, from what Ansible registered of each of them."""
    hosts = [_host(name, result) for name, result in results.items()]
    return sorted(hosts, key=lambda host: STATES.index(host["state"]))


def _host(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    if "state" in result and "status" in result:
        told = {key: result[key] for key in ("site", "state", "reasons", "status")}
        return {"name": name, **told}
    cause = " ".join(str(result.get("msg") or "nobody asked it").split())
    reason = {"level": UNREACHABLE, "part": "host", "text": f"it could not be asked: {cause}"}
    return {"name": name, "site": "", "state": UNREACHABLE, "reasons": [reason], "status": {}}


def brief(host: Host) -> dict[str, Any]:
    """Return of a host what is worth to be kept with a job."""
    return {"name": host["name"], "state": host["state"], "reasons": [reason["text"] for reason in host["reasons"]]}


def counts(hosts: Sequence[Host]) -> dict[str, int]:
    """Return how many hosts are in each state."""
    return {state: sum(host["state"] == state for host in hosts) for state in STATES}


def _code(about: Mapping[str, Any]) -> str:
    edited = ", edited" if about["dirty"] else ""
    return f"{about['describe']} ({about['commit'][:7]}{edited})"


def _upstream(about: Mapping[str, Any]) -> str:
    if about["behind"] is None:
        told = ["not known"]
    else:
        behind = f"{about['behind']} behind {about['upstream']}" if about["behind"] else f"as {about['upstream']}"
        told = [behind if about["fetched"] is None else f"{behind}, {ago(about['fetched'])} ago"]
    return "; ".join([*told, f"{about['newer_release']} is out"] if about["newer_release"] else told)


def _migrations(about: Mapping[str, Any]) -> str:
    pending, unknown = len(about["pending"]), len(about["unknown"])
    return ", ".join([f"{pending} pending"] * bool(pending) + [f"{unknown} unknown"] * bool(unknown)) or "applied"


def _backups(about: Mapping[str, Any]) -> str:
    newest = about["newest"]
    return f"{ago(newest['age'])} ago, {size(newest['bytes'])}" if newest else "none"


def _drill(about: Mapping[str, Any] | None) -> str:
    return f"{ago(about['age'])} ago" if about else "never"


def _certificate(about: Mapping[str, Any] | None) -> str:
    if not about:
        return "no TLS"
    return UNKNOWN if about["days_left"] is None else f"{about['days_left']:.0f} days"


def _postgis(about: Mapping[str, Any]) -> str:
    postgis = about["postgis"]
    have = postgis["extension"] or "none"
    if postgis["extension"] and mismatch(postgis):
        return f"{have}, library {postgis['library'] or postgis['available'] or UNKNOWN}"
    return have


def _disks(about: list[Mapping[str, Any]]) -> str:
    found = [
        (names.partition(" ")[0], f"{size(disk['free'])} ({100 * disk['free'] // max(disk['total'], 1)} %)")
        for names, disk in devices(about)
    ]
    return found[0][1] if len(found) == 1 else ", ".join(" ".join(pair) for pair in found)


def _materializations(about: Mapping[str, Any] | None) -> str:
    if about is None:
        return "not compared"
    return joined(about["stale"]) or "none"


def _units(about: Mapping[str, Any]) -> str:
    return joined([*about["stopped"], *about["failed"]]) or "none"


COLUMNS = (
    Column("code", "Release", _code),
    Column("code", "Upstream", _upstream),
    Column("migrations", "Migrations", _migrations),
    Column("backups", "Last backup", _backups),
    Column("drill", "Last drill", _drill),
    Column("certificate", "Certificate", _certificate),
    Column("database", "PostGIS", _postgis),
    Column("disks", "Disk free", _disks),
    Column("materializations", "Stale tables", _materializations),
    Column("units", "Failed units", _units),
)
HEADS = ["Host", "State", *(column.title for column in COLUMNS)]


def _rows(hosts: Sequence[Host]) -> list[list[str]]:
    return [[host["name"], host["state"], *(column.cell(host) for column in COLUMNS)] for host in hosts]


def summary(hosts: Sequence[Host]) -> str:
    """Return in a line how many are how."""
    told = ", ".join(f"{number} {state}" for state, number in counts(hosts).items() if number)
    return f"{len(hosts)} hosts: {told}"


def text(hosts: Sequence[Host]) -> list[str]:
    """Return the table for a terminal, line by line, and below it what is wrong."""
    rows = [HEADS, *([_short(cell) for cell in row] for row in _rows(hosts))]
    widths = [max(len(row[number]) for row in rows) for number in range(len(HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths))
    lines = [line.replace(" ", UNBROKEN) for line in lines]
    lines += [
        f"{host['name']}: {reason['level'].upper()}: {reason['text']}" for host in hosts for reason in host["reasons"]
    ]
    return [*lines, summary(hosts)]


def _short(cell: str) -> str:
    return cell if len(cell) <= WIDEST else f"{cell[: WIDEST - 1]}…"


def markdown(hosts: Sequence[Host], time: str) -> str:
    """Return the same as a document."""
    lines = ["# CATMAID's instances", "", f"{summary(hosts)}. Looked at {time}.", ""]
    for row in [HEADS, ["---"] * len(HEADS), *_rows(hosts)]:
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    reasons = [
        f"- **{host['name']}**, {reason['level']}: {reason['text']}" for host in hosts for reason in host["reasons"]
    ]
    return "\n".join([*lines, "", *reasons, ""])
