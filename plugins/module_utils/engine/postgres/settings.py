# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a server as it runs: what each is, where it comes from, and whether a text means the same."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")
# What a server says of a value that waits for its restart, and of one that is gone and does
NOT_YET = re.compile(r"setting could not be applied|parameter .* cannot be changed without restarting the server")
TRUE, FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")
BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
MICROSECONDS = {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\s*")
_UNIT = re.compile(r"(\d*)([A-Za-z]+)")


@dataclass(frozen=True)
class Setting:
    """One row of pg_settings; ``shown`` is its value with a unit that people read."""

    name: str
    value: str
    shown: str
    unit: str
    kind: str
    context: str
    source: str
    file: str
    line: int
    choices: tuple[str, ...] = ()

    @property
    def needs_restart(self) -> bool:
        """Whether only a start of the server takes another value."""
        return self.context == "postmaster"

    @property
    def place(self) -> str:
        """Where its value comes from, for people."""
        where = f" {self.file}:{self.line}" if self.file else ""
        return f"{self.source}{where}"


@dataclass(frozen=True)
class Line:
    """One line of the server's files: the last one for a name counts. ``error`` tells why it does not."""

    name: str
    value: str
    file: str
    line: int
    error: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}:{self.line}"


def read(connection: Any, names: Collection[str]) -> dict[str, Setting]:
    """Return these settings by the names that were asked for; those that the server does not know are missing."""
    by_name = {name.lower(): name for name in names}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, coalesce(setting, ''), coalesce(current_setting(name, true), ''), coalesce(unit, ''),"
            " vartype, context, source, coalesce(sourcefile, ''), coalesce(sourceline, 0),"
            " coalesce(enumvals, '{}') FROM pg_settings WHERE lower(name) = ANY(%s)",
            (list(by_name),),
        )
        return {by_name[row[0].lower()]: _of(row) for row in cursor.fetchall()}


def _of(row: tuple[Any, ...]) -> Setting:
    values = [*row[:-1], tuple(row[-1])]
    return Setting(*values)


def lines(connection: Any) -> list[Line]:
    """Return the lines of the server's files as they are on the disk now, in the order in which they count."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(name, ''), coalesce(setting, ''), coalesce(sourcefile, ''), coalesce(sourceline, 0),"
            " coalesce(error, '') FROM pg_file_settings ORDER BY seqno"
        )
        return [Line(*row) for row in cursor.fetchall()]


def of_others(connection: Any, name: str) -> dict[str, str]:
    """Return what the server's files say, all but one that is called ``name``."""
    told = lines(connection)
    return {line.name.lower(): line.value for line in told if line.name and os.path.basename(line.file) != name}


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a setting."""
    return NAME.fullmatch(text) is not None


def same(setting: Setting, one: str, other: str) -> bool:
    """Tell whether two texts mean the same value of a setting."""
    return normal(setting, one) == normal(setting, other)


def normal(setting: Setting, text: str) -> str | float | bool:
    """Return what a text means for a setting, in its own unit; the text itself when it means nothing."""
    bare = text.strip()
    if setting.kind == "bool":
        low = bare.lower()
        return True if low in TRUE else False if low in FALSE else low
    if setting.kind == "enum":
        return bare.lower()
    if setting.kind in ("integer", "real"):
        number = amount(bare, setting.unit)
        if number is None:
            return bare
        return float(round(number)) if setting.kind == "integer" else number
    return text


def amount(text: str, unit: str) -> float | None:
    """Return a number in ``unit``, such as 8kB; None when it is none."""
    match = _NUMBER.fullmatch(text)
    if not match:
        return None
    number, given = float(match[1]), match[2]
    if not given:
        return number
    own = _UNIT.fullmatch(unit)
    for scale in (BYTES, MICROSECONDS):
        if own and given in scale and own[2] in scale:
            return number * scale[given] / (int(own[1] or 1) * scale[own[2]])
    return None


def line_of(name: str, value: str) -> str:
    """Return a setting as a line of a file."""
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r")
    return f"{name} = '{escaped}'"
