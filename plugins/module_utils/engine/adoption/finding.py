# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkouts of CATMAID on a host: known by what is in them, wherever somebody has put them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

APPLICATION = os.path.join("django", "applications", "catmaid")
MANAGERS = (os.path.join("django", "projects", "manage.py"), os.path.join("django", "projects", "mysite", "manage.py"))
WHERE = ("/home", "/opt", "/srv", "/usr/local", "/var/www", "/var/lib", "/data", "/mnt", "/root")
DEPTH = 4
# Folders in which nobody keeps a checkout, and which may be large
PASSED_BY = ("node_modules", "site-packages", "__pycache__", "containers", "docker", "postgresql", "dpkg", "apt")
RECORD = "release.json"


def is_checkout(path: str) -> bool:
    """Tell whether a folder holds CATMAID's source code."""
    return os.path.isdir(os.path.join(path, APPLICATION)) and any(
        os.path.isfile(os.path.join(path, name)) for name in MANAGERS
    )


def is_release(path: str) -> bool:
    """Tell whether a checkout is one that this collection has made."""
    return os.path.exists(os.path.join(os.path.dirname(path), RECORD))


def find(where: Sequence[str] = WHERE) -> list[str]:
    """Return the checkouts below these folders, each once, by its real path; releases of this collection are none."""
    found = {os.path.realpath(path) for top in where for path in _below(top, DEPTH)}
    found |= {path for path in _running() if is_checkout(path)}
    return sorted(path for path in found if not is_release(path))


def _below(folder: str, depth: int) -> Iterator[str]:
    if is_checkout(folder):
        yield folder
        return
    if depth == 0:
        return
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        device = os.stat(folder).st_dev
        for entry in entries:
            # Not where something else is mounted: image data may be there, on a file server.
            inside = entry.stat(follow_symlinks=False).st_dev == device
            if inside and not entry.name.startswith(".") and entry.name not in PASSED_BY:
                yield from _below(entry.path, depth - 1)
    except OSError:
        return


def _running() -> Iterator[str]:
    """Yield the folders above those in which processes work: CATMAID's are started in django/projects."""
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            folder = os.readlink(f"/proc/{number}/cwd")
        except OSError:
            continue
        if "/django" in folder:
            yield folder[: folder.rindex("/django")]
