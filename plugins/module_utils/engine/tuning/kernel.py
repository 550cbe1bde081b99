# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the kernel: in a file of our own for the next boot, in the kernel now, and what was before in a note."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .. import files
from ..errors import CatmaidError, of_system
from . import sysctls

HEADER = "# What catmaid.admin has tuned. It is written anew: change the variables of the role sysctl_tuning instead.\n"
DOING = "setting the kernel's settings"
UNDOING = "taking the kernel's settings back"


@dataclass(frozen=True)
class Wanted:
    """A setting: ``at_least`` leaves alone what is higher."""

    name: str
    value: str
    at_least: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Place:
    """Our file below sysctl.d, the note of what was before, and where the kernel and the other files are."""

    file: str = "/etc/sysctl.d/60-catmaid.conf"
    note: str = "/var/lib/catmaid/tuning/kernel.json"
    proc: str = sysctls.PROC
    root: str = ""


@dataclass(frozen=True)
class Note:
    """What was before: the values, the file if there was one, and folders that were not there. And what is set."""

    before: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    mode: int = 0o644
    folders: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What changed, or would: the file's text and the kernel's values, before and after.

    ``refused`` are those that cannot be set here, with the reason; ``kept`` those that are high enough already.
    """

    changed: bool
    file: tuple[str | None, str | None]
    before: dict[str, str]
    after: dict[str, str]
    refused: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


def apply(place: Place, wanted: Iterable[Wanted], *, where_possible: bool = False, check: bool = False) -> Outcome:
    """Let the kernel have these settings, now and after a boot. A failure leaves all as it was.

    What cannot be set here is an error, unless only what is possible is wanted: then it is told.
    """
    asked = list(wanted)
    note, text = _note(place), _text(place)
    now = {one.name: sysctls.read(one.name, place.proc) for one in asked}
    refused = _refused(place, asked, now)
    if refused and not where_possible:
        cause = "; ".join(f"{name}: {why}" for name, why in refused.items())
        remedy = "Set them where the kernel is the host's own, or let the role do what is possible only."
        raise CatmaidError(DOING, cause, remedy, refused=refused)
    chosen, kept = _chosen([one for one in asked if one.name not in refused], now, note)
    _check_later(place, chosen)

    gone = _with_twins(set(note.settings) - set(chosen), note.before) - _with_twins(set(chosen), note.before)
    wanted_values = {**{name: note.before[name] for name in gone}, **chosen}
    live = {name: sysctls.read(name, place.proc) or "" for name in wanted_values}
    # Of two that exclude each other only the one that is not 0 can be written, and tells whether all is well.
    due = {name: value for name, value in sysctls.ordered(wanted_values) if live[name] != value}
    reasons = {one.name: one.reason for one in asked}
    written = _file(chosen, reasons) if chosen else note.text
    outcome = Outcome(
        changed=bool(due) or written != text,
        file=(text, written),
        before={name: live[name] for name in due},
        after=due,
        refused=refused,
        kept=kept,
    )
    if outcome.changed and not check:
        first = not note.settings
        stays = {name: note.before[name] for name in _with_twins(set(chosen), note.before) if name in note.before}
        after = Note(
            before={**_present(place, chosen), **stays},
            settings=chosen,
            text=text if first else note.text,
            mode=_mode(place.file) if first else note.mode,
            folders=_missing_folders(place.note) if first else note.folders,
        )
        _change(place, outcome, note, after)
    return outcome


def undo(place: Place, *, check: bool = False) -> Outcome:
    """Bring back the values and the bytes from before, and forget them."""
    note, text = _note(place), _text(place)
    if not note.settings:
        if text is not None and text.startswith(HEADER):
            cause = f"{place.file} is there, and what was before is not: {place.note} is gone"
            raise CatmaidError(UNDOING, cause, f"Remove {place.file}, and reboot.")
        return Outcome(False, (text, text), {}, {})
    there = {name: sysctls.read(name, place.proc) for name in note.before}
    known = {name: value for name, value in note.before.items() if there[name] is not None}
    due = {name: value for name, value in sysctls.ordered(known) if there[name] != value}
    refused = {name: why for name in due if (why := sysctls.hindrance(name, place.proc))}
    if refused:
        raise CatmaidError(UNDOING, "; ".join(f"{name}: {why}" for name, why in refused.items()))
    outcome = Outcome(True, (text, note.text), {name: there[name] or "" for name in due}, due)
    if not check:
        _change(place, outcome, note, Note(mode=note.mode))
        _remove_folders(note)
    return outcome


def _refused(place: Place, wanted: Sequence[Wanted], now: Mapping[str, str | None]) -> dict[str, str]:
    refused = {}
    for one in wanted:
        value = now[one.name]
        settled = value is not None and (value == one.value or (one.at_least and not _is_less(value, one)))
        why = "" if settled else sysctls.hindrance(one.name, place.proc)
        if why:
            refused[one.name] = why
    return refused


def _is_less(value: str, wanted: Wanted) -> bool:
    try:
        return int(value) < int(wanted.value)
    except ValueError as error:
        cause = f"{wanted.name} is {value}, and {wanted.value} is wanted at least: these are no numbers"
        raise CatmaidError(DOING, cause) from error


def _chosen(
    wanted: Sequence[Wanted], now: Mapping[str, str | None], note: Note
) -> tuple[dict[str, str], dict[str, str]]:  # fmt: skip
    """Return what is to be set, and what is high enough: what it was before us counts, not what we have made of it."""
    chosen, kept = {}, {}
    for one in wanted:
        value = note.before.get(one.name, now[one.name]) or ""
        if one.at_least and not _is_less(value, one):
            kept[one.name] = value
        else:
            chosen[one.name] = one.value
    return chosen, kept


def _check_later(place: Place, chosen: Mapping[str, str]) -> None:
    """Refuse what would be lost with the next boot, because a file that is read later says something else."""
    lines = sysctls.later(place.file, place.root)
    found = {name: lines[name] for name in chosen if name in lines and lines[name].value != chosen[name]}
    if found:
        cause = "; ".join(f"{line.file} sets {name} to {line.value} after us" for name, line in sorted(found.items()))
        overridden = {name: {"file": line.file, "value": line.value} for name, line in found.items()}
        remedy = "Take the line away there, or give the role the same value."
        raise CatmaidError(DOING, f"the next boot would undo it: {cause}", remedy, overridden=overridden)


def _with_twins(names: set[str], before: Mapping[str, str]) -> set[str]:
    """Return names with those that they have made 0."""
    return names | {sysctls.PAIRS[name] for name in names if sysctls.PAIRS.get(name) in before}


def _present(place: Place, names: Iterable[str]) -> dict[str, str]:
    """Return what the kernel has of settings, and of those that setting them makes 0."""
    asked = {*names, *(sysctls.PAIRS[name] for name in names if name in sysctls.PAIRS)}
    found = {name: sysctls.read(name, place.proc) for name in sorted(asked)}
    return {name: value for name, value in found.items() if value is not None}


def _file(settings: Mapping[str, str], reasons: Mapping[str, str]) -> str:
    lines = []
    for name, value in sorted(settings.items()):
        reason = " ".join(reasons.get(name, "").split())
        lines += [f"# {reason}"] if reason else []
        lines.append(f"{name} = {value}")
    return HEADER + "\n".join([*lines, ""])


def _change(place: Place, outcome: Outcome, old: Note, new: Note) -> None:
    """Change note, file and kernel; bring all back when one of them fails. The note comes first, and goes last."""
    try:
        if new.settings:
            os.makedirs(os.path.dirname(place.note), mode=0o755, exist_ok=True)
            _write_note(place, new)
        _put(place, outcome.file[1], new.mode)
        for name, value in outcome.after.items():
            sysctls.write(name, value, place.proc)
        if not new.settings:
            _write_note(place, new)
    except BaseException as error:
        _put(place, outcome.file[0], old.mode)
        for name, value in sysctls.ordered({**_zeroed(outcome, old, new), **outcome.before}):
            with suppress(CatmaidError):  # the first error is the one to tell
                sysctls.write(name, value, place.proc)
        _write_note(place, old)
        if not old.settings:
            _remove_folders(new)
        if isinstance(error, OSError):
            raise of_system(DOING, error, "Everything is as it was before.") from error
        if isinstance(error, CatmaidError):
            remedy = f"{error.remedy} Everything is as it was before.".lstrip()
            raise CatmaidError(error.doing, error.cause, remedy, **error.details) from error
        raise


def _zeroed(outcome: Outcome, old: Note, new: Note) -> dict[str, str]:
    """Return what setting the others has made 0: the values that their twins had."""
    twins = {sysctls.PAIRS[name] for name in outcome.after if name in sysctls.PAIRS}
    return {name: value for name, value in {**new.before, **old.before}.items() if name in twins}


def _text(place: Place) -> str | None:
    try:
        with open(place.file, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise of_system(DOING, error) from error


def _mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o644


def _put(place: Place, text: str | None, mode: int) -> None:
    if text is not None:
        files.write_bytes_atomically(place.file, text.encode("utf-8", "surrogateescape"), mode)
    elif os.path.exists(place.file):
        os.unlink(place.file)


def _missing_folders(path: str) -> list[str]:
    """Return the folders above ``path`` that are not there yet, the uppermost first."""
    missing: list[str] = []
    folder = os.path.dirname(path)
    while folder and not os.path.exists(folder):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    return missing


def _remove_folders(note: Note) -> None:
    for folder in reversed(note.folders):
        with suppress(OSError):  # somebody else has put something into it
            os.rmdir(folder)


def _note(place: Place) -> Note:
    try:
        with open(place.note, encoding="utf-8") as file:
            return Note(**json.load(file))
    except FileNotFoundError:
        return Note()
    except (OSError, ValueError, TypeError) as error:
        cause = f"what was before cannot be read in {place.note}: {error}"
        raise CatmaidError(
            DOING, cause, "Bring that file back, or remove it to let what is now be what was."
        ) from error


def _write_note(place: Place, note: Note) -> None:
    value: dict[str, Any] = vars(note)
    if note.settings:
        files.write_json(place.note, value)
    elif os.path.exists(place.note):
        os.unlink(place.note)
