# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each upgrade and rollback: one line of JSON each; and which one can be taken back."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from typing import Any

from .. import files
from ..errors import CatmaidError, of_system
from .journal import TIME, Journal
from .request import ONLINE, Release, Request

NAME = "upgrade-history.jsonl"
LAST = "upgrade-last.json"
UPGRADED, ROLLED_BACK, UNDONE = "upgraded", "rolled back", "undone"
LINES_AT_MOST = 10_000


def entry(request: Request, journal: Journal, outcome: str) -> dict[str, Any]:
    """Return the line of a job that has ended."""
    return {
        "id": journal.id,
        "time": time.strftime(TIME, time.gmtime()),
        "by": request.by,
        "result": outcome,
        "from": journal.before,
        "to": journal.after,
        "seconds": journal.seconds,
        "downtime_seconds": journal.downtime,
        "protect_seconds": journal.seconds.get("protect", 0.0),
        "backup": request.backup,
        "cause": journal.cause,
        **journal.facts,
    }


def append(state_dir: str, line: dict[str, Any]) -> None:
    """Write a line, once for each job: a job that was interrupted while it did so is finished later."""
    path = os.path.join(state_dir, NAME)
    known = read(state_dir)
    if any(one.get("id") == line["id"] and one.get("result") == line["result"] for one in known):
        return
    text = "".join(json.dumps(one, sort_keys=True) + "\n" for one in [*known, line][-LINES_AT_MOST:])
    try:
        files.write_atomically(path, text, mode=0o644)
    except OSError as error:
        raise of_system("noting the upgrade in the history", error) from error


def read(state_dir: str) -> list[dict[str, Any]]:
    """Return all lines, oldest first; what is no line of ours is passed over."""
    found = []
    try:
        with open(os.path.join(state_dir, NAME), encoding="utf-8") as file:
            for line in file:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
    except FileNotFoundError:
        return []
    except OSError as error:
        raise of_system("reading the history of upgrades", error) from error
    return [line for line in found if isinstance(line, dict)]


def remember(request: Request, journal: Journal) -> None:
    """Note what a rollback needs: the release before, and the copy of the database where the database was changed."""
    about = {
        "id": journal.id,
        "before": asdict(request.old),
        "after": asdict(request.new),
        "copy": journal.copy if journal.facts.get("copied") else "",
        "backup": request.backup,
        "served_since": journal.facts.get("served_since", ""),
        "database_oid": journal.facts.get("database_oid", 0),
        "migrations": journal.facts.get("migrations", 0),
        "online": request.kind == ONLINE,
    }
    files.write_json(os.path.join(request.state_dir, LAST), about, mode=0o644)


def forget(state_dir: str) -> None:
    """Say that there is nothing to be taken back any more."""
    path = os.path.join(state_dir, LAST)
    if os.path.exists(path):
        os.unlink(path)


def last(state_dir: str) -> dict[str, Any]:
    """Return the upgrade that can be taken back, with its releases; raise when there is none."""
    doing = "looking for the upgrade to take back"
    try:
        with open(os.path.join(state_dir, LAST), encoding="utf-8") as file:
            found = dict(json.load(file))
        return {**found, "before": Release(**found["before"]), "after": Release(**found["after"])}
    except FileNotFoundError as error:
        remedy = "Restore a backup of the old release instead (playbook catmaid.admin.restore)."
        raise CatmaidError(doing, f"there is none that {state_dir} knows", remedy) from error
    except OSError as error:
        raise of_system(doing, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CatmaidError(doing, f"{LAST} is damaged ({error})") from error


def copy_rate(lines: list[dict[str, Any]]) -> float:
    """Return the bytes that the server copies in a second: as it did last time, or as a slow disk does."""
    copies = [line for line in lines if _copied(line)]
    return float(copies[-1]["copied_bytes"]) / float(copies[-1]["protect_seconds"]) if copies else 200e6


def has_copied(lines: list[dict[str, Any]]) -> bool:
    """Tell whether it is known how long a copy takes here."""
    return any(_copied(line) for line in lines)


def _copied(line: dict[str, Any]) -> bool:
    return bool(line.get("copied_bytes", 0) and line.get("protect_seconds", 0))
