# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine has, as far as it may use it: a container may be given less than there is."""

from __future__ import annotations

import os
import re
from contextlib import suppress

CGROUP = "/sys/fs/cgroup"


def memory(root: str = "") -> int:
    """Return the bytes of memory: those of the machine, or those that this container may have."""
    limits = [_meminfo("MemTotal", root)]
    limit = _first_line(f"{root}{CGROUP}/memory.max")
    limits += [int(limit)] if limit.isdigit() else []
    return min(limits)


def swap(root: str = "") -> int:
    """Return the bytes of swap."""
    return _meminfo("SwapTotal", root)


def cores(root: str = "") -> int:
    """Return the number of cores that may be used."""
    usable = len(os.sched_getaffinity(0))
    quota = re.fullmatch(r"(\d+) (\d+)", _first_line(f"{root}{CGROUP}/cpu.max"))
    return min(usable, max(1, -(-int(quota[1]) // int(quota[2])))) if quota else usable


def disk(path: str, root: str = "") -> str:
    """Return ssd or hdd for where ``path`` is, or will be; nothing when the kernel does not say, as in containers."""
    while not os.path.exists(path):
        path = os.path.dirname(path) or "/"
    device = os.stat(path).st_dev
    block = os.path.realpath(f"{root}/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    for folder in (block, os.path.dirname(block)):  # a partition has no queue of its own
        rotational = _first_line(f"{folder}/queue/rotational")
        if rotational:
            return "hdd" if rotational == "1" else "ssd"
    return ""


def _meminfo(name: str, root: str) -> int:
    with open(f"{root}/proc/meminfo", encoding="ascii") as file:
        found = re.search(rf"^{name}:\s+(\d+) kB$", file.read(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _first_line(path: str) -> str:
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        return file.readline().strip()
    return ""
