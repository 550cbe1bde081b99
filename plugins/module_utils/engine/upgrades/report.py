# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as plain values, in a few lines, and as a Markdown document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..catmaid.commits import Commit, Position
from ..progress import size, span
from . import notes, rehearsed, rules
from .planning import Plan

TITLES = {
    rules.ERROR: "Forbids the upgrade",
    rules.ACTION: "Somebody has to do something",
    rules.AUTOMATIC: "Is done by the upgrade",
    rules.NOTE: "To know",
    rules.FULFILLED: "Fulfilled",
}


def as_dict(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain values."""
    return {
        "needed": plan.needed,
        "from": asdict(plan.old),
        "to": {
            **asdict(plan.new),
            "version": plan.release.version,
        },
        "release": {**asdict(plan.release), "source": plan.release.source, "prepared": plan.prepared},
        "commits": asdict(plan.way) if plan.way else {},
        "local_commits": [asdict(commit) for commit in plan.local],
        "edited": plan.edited,
        "notes": [{**asdict(section), "notes": section.notes} for section in plan.sections],
        "rules": [asdict(finding) for finding in plan.findings],
        "requirements": [asdict(change) for change in plan.packages],
        "migrations": {"known_from": plan.pending, "steps": [asdict(step) for step in plan.steps]},
        "estimated_seconds": plan.seconds,
        "estimated_from": plan.sources,
        "rehearsal": plan.rehearsal.told() if plan.rehearsal else {},
        "postgis": asdict(plan.host.postgis),
        "acknowledge": plan.to_acknowledge,
        "problems": plan.problems,
    }


def summary(plan: Plan) -> list[str]:
    """Return what to read before an upgrade, line by line."""
    if not plan.needed:
        return [f"{_name(plan.old)} serves, as wanted: nothing to do.", *plan.problems]
    lines = [f"From {_name(plan.old)} to {_name(plan.new)}{_as_wanted(plan)}, {_commits(plan)}."]
    lines += [f"Local commit: {commit.commit[:9]} {commit.subject}" for commit in plan.local]
    for section in notes.to_do(plan.sections):
        lines += [f"{section.file}, {section.release}:", *(f"  {line}" for line in section.text.splitlines())]
    for level in rules.LEVELS[:-1]:
        lines += [f"{TITLES[level]}: {finding.line()}" for finding in plan.findings if finding.level == level]
    lines += [f"{len(plan.packages)} changes of requirements.", _migrations(plan), *_time(plan)]
    lines += rehearsed.summary(plan.rehearsal) if plan.rehearsal else []
    if plan.to_acknowledge:
        lines.append(f"Once this is read and done: catmaid_upgrade_notes_acknowledged: {plan.to_acknowledge}")
    return lines


def markdown(plan: Plan, host: str) -> str:
    """Return the whole plan as a document."""
    lines = [f"# CATMAID on {host}: {plan.old.describe} → {plan.new.describe}", ""]
    if not plan.needed:
        return "\n".join([*lines, *summary(plan), ""])
    lines += [f"From {_name(plan.old)} to {_name(plan.new)}{_as_wanted(plan)}, {_commits(plan)}.", *_time(plan), ""]
    if plan.to_acknowledge:
        lines += [f"Needs `catmaid_upgrade_notes_acknowledged: {plan.to_acknowledge}`.", ""]
    lines += _chapter("Problems", [f"- {problem}" for problem in plan.problems])
    lines += _findings(plan)
    lines += _notes(plan)
    lines += _chapter("Migrations", [_migrations(plan), "", *(_step(step) for step in plan.steps)])
    lines += _chapter("Rehearsal", _rehearsal(plan))
    lines += _chapter("Requirements", _packages(plan))
    lines += _chapter("Local commits", [_commit(commit) for commit in plan.local])
    lines += _chapter("Edited files", [f"- `{name}`" for name in plan.edited])
    if plan.way:
        lines += _chapter("Commits that come", _log(plan.way.newest_coming, plan.way.coming))
        lines += _chapter("Commits that go", _log(plan.way.newest_going, plan.way.going))
    return "\n".join(lines)


def _name(position: Position) -> str:
    return f"{position.describe} ({position.commit[:12]})"


def _as_wanted(plan: Plan) -> str:
    return "" if plan.release.version in (plan.new.describe, plan.new.commit) else f", which is {plan.release.version}"


def _commits(plan: Plan) -> str:
    if not plan.way:
        return "no commits"
    going = f", and {plan.way.going} go" if plan.way.going else ""
    return f"{plan.way.coming} commits come{going}"


def _migrations(plan: Plan) -> str:
    if not plan.steps:
        return "No migrations."
    where = "" if plan.pending == "Django" else " in its files; those of other packages are known once it is prepared"
    return f"{len(plan.steps)} migrations{where}."


def _time(plan: Plan) -> list[str]:
    if not plan.seconds:
        return []
    titles = {"copy": f"copy of {size(plan.host.database_bytes)}", "migrate": "migrations", "restart": "restart"}
    parts = [
        f"{title} {span(plan.seconds[name])} ({plan.sources[name]})"
        for name, title in titles.items()
        if plan.seconds[name] or name == "restart"
    ]
    return [f"People wait about {span(plan.seconds['downtime'])}: {', '.join(parts)}."]


def _rehearsal(plan: Plan) -> list[str]:
    if not plan.rehearsal:
        return []
    rows = [
        f"| `{one.name}` | {one.seconds:.1f} s | "
        + ", ".join(f"{name} {held:.1f} s" for name, (_mode, held) in sorted(one.locks.items()))
        + " |"
        for one in plan.rehearsal.prints
    ]
    told = [f"- {line.strip()}" for line in rehearsed.summary(plan.rehearsal)]
    return [*told, "", "| migration | takes | locks |", "| --- | --- | --- |", *rows]


def _chapter(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []


def _findings(plan: Plan) -> list[str]:
    lines: list[str] = []
    for level in rules.LEVELS:
        found = [f"- {finding.line()}" for finding in plan.findings if finding.level == level]
        lines += [f"### {TITLES[level]}", "", *found, ""] if found else []
    return _chapter("Rules", lines)


def _notes(plan: Plan) -> list[str]:
    lines: list[str] = []
    for section in plan.sections:
        title = f"{section.file}, {section.release}"
        if section.file == notes.TO_DO:
            lines += [f"### {title}", "", section.text, ""]
        else:
            lines += ["<details>", f"<summary>{title}</summary>", "", section.text, "", "</details>", ""]
    return _chapter("Notes of the releases", lines)


def _packages(plan: Plan) -> list[str]:
    rows = [
        f"| `{change.file}` | {change.package} | {_cell(change.before)} | {_cell(change.after)} |"
        for change in plan.packages
    ]
    return ["| file | package | now | then |", "| --- | --- | --- | --- |", *rows] if rows else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "-"


def _step(step: Any) -> str:
    return f"- `{step.label}`: {', '.join(step.operations) or 'nothing'}"


def _commit(commit: Commit) -> str:
    return f"- `{commit.commit[:9]}` {commit.date} {commit.author}: {commit.subject}"


def _log(told: list[Commit], number: int) -> list[str]:
    more = [f"- and {number - len(told)} more"] if number > len(told) else []
    return [_commit(commit) for commit in told] + more
