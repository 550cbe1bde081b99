# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's settings as the kernel has them, and as files below sysctl.d would set them at boot."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import CatmaidError

PROC = "/proc/sys"
# Of files of one name only that of the first folder counts; all that count are read in the order of their names.
FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
LAST = "/etc/sysctl.conf"
NAME = re.compile(r"[a-z][\w-]*(?:[./][\w:*/-]+)+", re.IGNORECASE)
SWAP = str.maketrans("./", "/.")
# The kernel knows one of two: to set one of them makes the other 0, which itself cannot be set.
PAIRS = {
    "vm.dirty_bytes": "vm.dirty_ratio",
    "vm.dirty_background_bytes": "vm.dirty_background_ratio",
    "vm.overcommit_kbytes": "vm.overcommit_ratio",
}
PAIRS |= {other: one for one, other in PAIRS.items()}


@dataclass(frozen=True)
class Line:
    """A file that sets something at boot."""

    file: str
    value: str


def dotted(name: str) -> str:
    """Return a name with dots, as most people write it: with slashes first, they are swapped."""
    separator = re.search(r"[./]", name)
    return name.translate(SWAP) if separator and separator.group() == "/" else name


def path(name: str, proc: str = PROC) -> str:
    """Return the kernel's file of a setting."""
    if not NAME.fullmatch(name) or ".." in name:
        raise CatmaidError("reading the kernel's settings", f"{name!r} is no name of one", "Write it as vm.swappiness.")
    return os.path.join(proc, name.translate(SWAP))


def read(name: str, proc: str = PROC) -> str | None:
    """Return what the kernel has, its numbers parted by single blanks; nothing when it has no such setting."""
    try:
        with open(path(name, proc), encoding="utf-8", errors="replace") as file:
            return " ".join(file.read().split())
    except OSError:
        return None


def write(name: str, value: str, proc: str = PROC) -> None:
    """Set it, and see that the kernel has it."""
    doing = f"setting {name} to {value}"
    try:
        with open(path(name, proc), "w", encoding="utf-8") as file:
            file.write(f"{value}\n")
    except OSError as error:
        raise CatmaidError(doing, f"the kernel refuses it: {error.strerror or error}") from error
    found = read(name, proc)
    if found != value:
        remedy = "Free memory, or reboot: it must be in one piece." if name == "vm.nr_hugepages" else ""
        raise CatmaidError(doing, f"the kernel has {found} then", remedy)


def hindrance(name: str, proc: str = PROC) -> str:
    """Return why a setting cannot be set here; nothing when it can."""
    where = path(name, proc)
    if not os.path.exists(where):
        return "this kernel has no such setting"
    if os.access(where, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return ""
    if os.statvfs(where).f_flag & os.ST_RDONLY:
        return "the kernel's settings are read-only here, as in a container: they are those of the machine below it"
    return "nobody here may change it, as in a container without privileges"


def ordered(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what to write so that all values are as given: of two that exclude each other the one that is not 0."""
    return [(name, value) for name, value in sorted(values.items()) if not _is_empty_twin(name, values)]


def _is_empty_twin(name: str, values: Mapping[str, str]) -> bool:
    twin = PAIRS.get(name)
    return bool(twin) and values[name] == "0" and values.get(twin or "", "0") != "0"


def later(ours: str, root: str = "") -> dict[str, Line]:
    """Return what files set that are read after ``ours`` at boot. ``root`` is put before the usual folders."""
    seen: dict[str, str] = {}
    for folder in FOLDERS:
        for name in os.listdir(root + folder) if os.path.isdir(root + folder) else []:
            if name.endswith(".conf"):
                seen.setdefault(name, os.path.join(root + folder, name))
    own = os.path.basename(ours)
    files = [seen[name] for name in sorted(seen) if name > own]
    files += [root + LAST] if os.path.exists(root + LAST) else []
    return {name: Line(file, value) for file in files for name, value in parse(file).items()}


def parse(file: str) -> dict[str, str]:
    """Return what a file sets by names; patterns do not count, as they never win over a name."""
    found: dict[str, str] = {}
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            lines = opened.read().splitlines()
    except OSError:  # a link to nothing
        return {}
    for line in lines:
        name, equals, value = line.strip().lstrip("-").partition("=")
        if equals and not line.lstrip().startswith(("#", ";")) and "*" not in name:
            found[dotted(name.strip())] = " ".join(value.split())
    return found
