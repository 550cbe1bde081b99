# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python packages two versions of CATMAID want, and in what they differ."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..catmaid.commits import Commits

FOLDER = "django"
# Those of people who develop CATMAID, test it or write its documentation are none of an instance's.
_FILE = re.compile(r"^django/(requirements(-(?!dev|doc|test)\w+)?\.txt|pyproject\.toml|setup\.py)$")
_NAME = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<rest>.*)$")


@dataclass(frozen=True)
class Change:
    """One package of one file; an empty side has it not. A file that is no list is a change without a ``package``."""

    file: str
    package: str
    before: str
    after: str


def changes(commits: Commits, old: str, new: str) -> list[Change]:
    """Return what differs between two commits."""
    found = []
    for file in sorted({name for commit in (old, new) for name in commits.files(commit, FOLDER) if _FILE.match(name)}):
        before, after = (commits.show(commit, file) for commit in (old, new))
        if file.endswith(".txt"):
            found += _packages(file, before, after)
        elif before != after:
            states = [("" if not text else "there") for text in (before, after)]
            found.append(Change(file, "", states[0], "changed" if all(states) else states[1]))
    return found


def _packages(file: str, before: str, after: str) -> list[Change]:
    old, new = wanted(before), wanted(after)
    names = sorted(old.keys() | new.keys(), key=str.lower)
    return [
        Change(file, name, old.get(name, ""), new.get(name, "")) for name in names if old.get(name) != new.get(name)
    ]


def wanted(text: str) -> dict[str, str]:
    """Return the packages of a requirements file with what is wanted of each, such as "==3.2.18".

    Several lines for one package, by marker, are told together.
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = _NAME.match(re.sub(r"(^|\s)#.*$", "", line).strip())
        if match:
            found.setdefault(re.sub(r"[-_.]+", "-", match["name"]).lower(), []).append(
                " ".join(match["rest"].split()) or "any"
            )
    return {name: " or ".join(rest) for name, rest in found.items()}
