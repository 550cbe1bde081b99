# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions of a restored database, compared with those that the manifest of its backup tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Extension = Mapping[str, str]


def older(manifest: Mapping[str, Any], there: Sequence[Extension]) -> list[str]:
    """Return what is wrong: extensions whose functions may be fewer than those that the original had.

    The last part of a version is about mended faults, so it does not count.
    """
    return [
        f"extension {name} is {have}, which is older than {was}"
        for name, was, have in _pairs(manifest, there)
        if _numbers(have)[:2] < _numbers(was)[:2]
    ]


def otherwise(manifest: Mapping[str, Any], there: Sequence[Extension]) -> list[str]:
    """Return what is worth a note: extensions of another version, or not there at all."""
    versions = {extension["name"] for extension in there}
    return [
        *(f"extension {name} is {have}, and was {was}" for name, was, have in _pairs(manifest, there) if have != was),
        *(f"extension {e['name']} is not there" for e in manifest.get("extensions", []) if e["name"] not in versions),
    ]


def _pairs(manifest: Mapping[str, Any], there: Sequence[Extension]) -> list[tuple[str, str, str]]:
    """Return name, version in the manifest and version now of the extensions that are in both."""
    now = {extension["name"]: extension["version"] for extension in there}
    recorded = manifest.get("extensions", [])
    return [(e["name"], e["version"], now[e["name"]]) for e in recorded if e["name"] in now]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
