# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command prints: text for people, JSON for programs, lines with a priority for the journal."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ..backups import store
from ..progress import Progress, Report, every

ERROR, NOTICE = "<3>", "<5>"  # syslog's numbers, in the form that systemd takes from a line's beginning
EVERY = 10.0  # seconds between two lines of progress
UNITS = ("bytes", "kB", "MB", "GB", "TB")


class Voice:
    """Prints events as they happen: on standard output, or with ``json`` on standard error beside the result."""

    def __init__(self, *, quiet: bool = False, json: bool = False) -> None:
        self.quiet = quiet
        self.stream = sys.stderr if json else sys.stdout

    def say(self, line: str) -> None:
        """Print an event. Failures are printed even when it is to be quiet."""
        failure = "FAILED" in line
        if failure or not self.quiet:
            stream = sys.stderr if failure else self.stream
            mark = (ERROR if failure else NOTICE) if in_journal(stream) else ""
            text = " | ".join(part for part in line.splitlines() if part.strip())
            stream.write(f"{mark}{text}\n")
            stream.flush()

    def progress(self) -> Report:
        """Return what prints now and then how far something is."""

        def report(progress: Progress) -> None:
            self.say(progress.line())

        return every(EVERY, report)


def in_journal(stream: Any) -> bool:
    """Tell whether a stream ends in systemd's journal, by the device and inode that systemd tells."""
    try:
        about = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{about.st_dev}:{about.st_ino}"


def show_json(value: Any) -> None:
    """Print a result for programs."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


def show(*lines: str) -> None:
    """Print a result for people."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows as lines whose columns are below each other; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def size(number: float) -> str:
    """Return bytes for people: 37.2 MB."""
    unit = 0
    while number >= 1000 and unit < len(UNITS) - 1:
        number /= 1000
        unit += 1
    return f"{number:.0f} {UNITS[unit]}" if unit == 0 else f"{number:.1f} {UNITS[unit]}"


def backup(one: store.Backup) -> dict[str, Any]:
    """Return a backup as JSON shows it in lists."""
    manifest = one.manifest
    return {
        "id": one.id,
        "path": one.path,
        "database": manifest["database"],
        "finished": manifest["finished"],
        "age": int((store.now() - one.finished).total_seconds()),
        "bytes": manifest.get("bytes", 0),
        "rows": sum(int(table["rows"]) for table in manifest["tables"]),
        "requested_by": manifest.get("requested_by", ""),
        "sound": one.sound,
        "problems": one.problems,
        **marks(one),
    }


def marks(one: store.Backup) -> dict[str, Any]:
    """Return what people and the guard against loss have to say about a backup, and why."""
    return {
        "held": one.held,
        "hold": one.hold,
        "suspicious": one.suspicious,
        "accepted": bool(one.accepted),
        "acceptance": one.accepted,
    }
