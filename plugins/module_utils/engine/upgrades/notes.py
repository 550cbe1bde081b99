# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What CATMAID's notes tell of the way from one version to another.

The notes are those of the wanted version. They have a heading for each release, the newest first. That of a release
that is still to come reads "Under development", and CATMAID renames it in UPDATE.md only after the release: at a
release's tag it means that very release. Releases that want nothing done have no heading there at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..catmaid.commits import Position

TO_DO = "UPDATE.md"
FILES = (TO_DO, "CHANGELOG.md", "API_CHANGELOG.md")
COMING = "Under development"
MAINTENANCE = "Maintenance updates"

_RELEASE = re.compile(r"^r?\d{4}\.\d{1,2}\.\d{1,2}\b")
_HEADING = re.compile(r"^##\s+(?P<name>.+?)\s*#*\s*$")
_SUBHEADING = re.compile(r"^###\s+(?P<name>.+?)\s*#*\s*$")
_ENTRY = re.compile(r"^[-*+] |^#")


@dataclass(frozen=True)
class Section:
    """What one of the files says of one version; ``release`` is how the heading is to be understood."""

    file: str
    release: str
    text: str

    @property
    def notes(self) -> str:
        """Its part under "Notes", which is written for administrators; all of it in a file without such parts."""
        kept: list[str] = []
        inside = None
        for line in self.text.splitlines():
            match = _SUBHEADING.match(line)
            if match:
                inside = match["name"].lower() == "notes"
            elif inside:
                kept.append(line)
        return self.text if inside is None else "\n".join(kept).strip()


def between(texts: dict[str, tuple[str, str]], old: Position, new: Position) -> list[Section]:
    """Return what is new on the way from ``old`` to ``new``, the oldest first; ``texts`` are both versions by file."""
    found = [section for name, (before, now) in texts.items() for section in _of_file(name, before, now, old, new)]
    order = {name: number for number, name in enumerate(texts)}
    return sorted(found, key=lambda section: (order[section.file], *_age(section.release)))


def _of_file(name: str, before: str, now: str, old: Position, new: Position) -> list[Section]:
    known = sections(before)
    found = []
    for heading, text in sections(now):
        release = new.release if heading == COMING and new.is_release else heading
        if _is_release(release) and release.lstrip("r") <= old.release:
            continue
        seen = [_entries(body) for title, body in known if _same(title, old, heading, new)]
        left = [entry for entry in _entries(text) if not any(entry in entries for entries in seen)]
        if any(not entry.startswith("#") for entry in left):
            found.append(Section(name, release, "\n\n".join(left)))
    return found


def _same(title: str, old: Position, heading: str, new: Position) -> bool:
    """Tell whether a section of the old version's notes is, or has become, this one of the new version's."""
    if title == COMING and old.is_release:  # it means that release; with no other since, nobody has renamed it yet
        return heading == COMING and new.release == old.release
    return title in (heading, COMING)


def sections(text: str) -> list[tuple[str, str]]:
    """Return the headings that stand for versions, each with what is below it.

    Others, such as "Notes" where CATMAID has set one heading too high, belong to the version above.
    """
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        match = _HEADING.match(line)
        if match and (_is_release(match["name"]) or match["name"] in (COMING, MAINTENANCE)):
            found.append((match["name"].split()[0] if _is_release(match["name"]) else match["name"], []))
        elif found:
            found[-1][1].append(f"#{line}" if match else line)
    return [(name, "\n".join(lines).strip()) for name, lines in found]


def is_coming(changelog: str) -> bool:
    """Tell whether a version is on the way to the next release. Branches that maintain one have no such heading."""
    return any(name == COMING for name, _text in sections(changelog))


def _entries(text: str) -> list[str]:
    """Return the entries of a section, headings among them. What is indented belongs to the entry above."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if not found or _ENTRY.match(line) or (found[-1][-1] == "" and line[:1].strip()):
            found.append([])
        found[-1].append(line)
    return [entry for entry in ("\n".join(lines).strip() for lines in found) if entry]


def _is_release(name: str) -> bool:
    return bool(_RELEASE.match(name))


def _age(release: str) -> tuple[int, str]:
    """Return what sorts versions: releases by their date, then what is no release yet."""
    return (0, release.lstrip("r")) if _is_release(release) else (1, release)


def to_do(found: Sequence[Section]) -> list[Section]:
    """Return the sections that ask an administrator to do something."""
    return [section for section in found if section.file == TO_DO]
