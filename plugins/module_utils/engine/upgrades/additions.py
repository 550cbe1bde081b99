# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether migrations only add: by what a database is made of before and after, by the rows that were there, and by
the locks that were held. Every reason against it is told; without one the release from before still works."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..postgres.shape import Contents, Key, Shape, Thing

# Parts of a table or view: of one that is gone or new they are not worth a word.
PARTS = ("column", "constraint", "index", "trigger", "rule", "policy", "definition")
CAN_FORBID = {
    "constraint": "can refuse what the old release writes",
    "index": "is unique, and can refuse what the old release writes",
    "trigger": "does something to what the old release writes",
    "rule": "does something to what the old release writes",
    "policy": "hides rows from the old release, or refuses what it writes",
    "inheritance": "would let its rows be seen in that table",
    "event trigger": "does something to what the old release does",
}


@dataclass
class Footprint:
    """What one migration did: seconds, locks on what was there before (mode and seconds), tables with changed rows."""

    name: str
    seconds: float
    locks: dict[str, tuple[str, float]] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)


def footprints(seconds: Mapping[str, float], seen: Mapping[str, Any], before: Shape) -> list[Footprint]:
    """Return what was seen of each migration; of the locks on a table, the one that was held longest."""
    found = []
    for name, duration in seconds.items():
        print_ = Footprint(name, duration)
        told = seen.get(name, {"locks": {}, "changes": []})
        for number, modes in told["locks"].items():
            if int(number) in before.relations:
                mode, asked = min(modes.items(), key=lambda item: item[1])
                print_.locks[before.relations[int(number)]] = (mode, round(max(0.0, duration - asked), 3))
        print_.changes = [before.relations[number] for number in told["changes"] if number in before.relations]
        found.append(print_)
    return found


def objections(before: Shape, after: Shape) -> list[str]:
    """Return what is not as before, and what was added that somebody can meet who does not know of it."""
    gone = {of for kind, of, part in before.things if kind not in PARTS and (kind, of, part) not in after.things}
    found = []
    for key, thing in before.things.items():
        kind, of, _part = key
        if key not in after.things:
            if kind not in PARTS or of not in gone:
                found.append(f"{_name(key)} is gone")
        elif after.things[key] != thing and not _shows_more(key, before, after):
            found.append(f"{_name(key)} is another one: {_difference(key, thing, after.things[key])}")
    for key, thing in after.things.items():
        if key not in before.things:
            found += _meets(key, thing, before)
    for name, file in before.files.items():
        if after.files.get(name, file) != file:
            found.append(f"{name} is written anew")
    return found


def lost_rows(before: Contents, after: Contents, changed: list[Footprint]) -> list[str]:
    """Return which migration has changed or deleted rows: all that were there have to be there, or it is not known."""
    found = {}
    for print_ in changed:
        for table in print_.changes:
            if table in found:
                continue
            if table not in before:
                found[table] = f"{print_.name} changes or deletes rows of {table}"
            elif before[table] - after.get(table, Counter()):
                lost = sum((before[table] - after.get(table, Counter())).values())
                found[table] = f"{print_.name} changes or deletes {lost} rows of {table}"
    return list(found.values())


def long_locks(changed: list[Footprint], limit: float) -> list[str]:
    """Return which migration would keep people from a table for longer than so many seconds."""
    return [
        f"{print_.name} locks {table} for {seconds:.1f} s ({mode}), more than {limit:g} s"
        for print_ in changed
        for table, (mode, seconds) in print_.locks.items()
        if seconds > limit
    ]


def _meets(key: Key, thing: Thing, before: Shape) -> list[str]:
    """Return why something new is met by who does not know of it; nothing if it is not."""
    kind, of, _part = key
    if kind == "function":
        name = of.partition("(")[0]
        others = [other for k, other, _p in before.things if k == kind and other.partition("(")[0] == name]
        return [f"{_name(key)} is a second one beside {others[0]}: calls can mean either"] if others else []
    if kind == "event trigger":
        return [f"{_name(key)} {CAN_FORBID[kind]}"]
    there = before.columns(of)
    if not thing.strict or not there:
        return []
    if kind == "column":
        return [f"{_name(key)} is new, and must not be empty"]
    about = set(thing.columns)
    if about and not about & there:
        return []
    return [f"{_name(key)} {CAN_FORBID[kind]}"]


def _shows_more(key: Key, before: Shape, after: Shape) -> bool:
    """Tell whether a view is the same but for columns that it shows as well: line by line, as PostgreSQL writes it."""
    kind, view, _part = key
    if kind != "definition":
        return False
    new = after.columns(view) - before.columns(view)
    if not new or not before.columns(view) <= after.columns(view):
        return False
    names = "|".join(re.escape(name) for name in sorted(new))
    only = re.compile(rf'(?:\w+\.)?"?(?:{names})"?(?: AS "?\w+"?)?')
    return _lines(after.things[key].definition, only) == _lines(before.things[key].definition, only)


def _lines(definition: str, without: re.Pattern[str]) -> list[str]:
    """Return the items of a view's lists, less those that are left out."""
    items = [" ".join(line.split()).rstrip(",") for line in definition.splitlines()]
    return [item for item in items if not without.fullmatch(item)]


def _name(key: Key) -> str:
    kind, of, part = key
    if kind == "inheritance":
        return f"table {part}, which inherits from {of},"
    if kind == "definition":
        return f"what the view {of} shows"
    return f"{kind} {part} of {of}" if part else f"{kind} {of}"


def _difference(key: Key, before: Thing, after: Thing) -> str:
    if key[0] in ("function", "definition"):
        return "its text differs"
    return f"{before.definition[:120]} becomes {after.definition[:120]}"
