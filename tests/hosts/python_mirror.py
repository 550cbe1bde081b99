# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offer this host's own Python as uv fetches one, for hosts that reach no other. Run: python_mirror.py FOLDER."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import tarfile

VERSION = "{}.{}".format(*sys.version_info[:2])
PARTS = {
    sys.executable: f"python/bin/python{VERSION}",
    sysconfig.get_path("stdlib"): f"python/lib/python{VERSION}",
    sysconfig.get_path("include"): f"python/include/python{VERSION}",
}


def main(folder: str) -> None:
    """Write the archive, and the list that leads to it, as UV_PYTHON_DOWNLOADS_JSON_URL takes one."""
    os.makedirs(folder, exist_ok=True)
    archive = os.path.join(folder, "python.tar.gz")
    with tarfile.open(archive, "w:gz", compresslevel=1, dereference=True) as packed:
        for path, name in PARTS.items():
            if os.path.exists(path):
                packed.add(os.path.realpath(path), name)
    machine = os.uname().machine
    build = {
        "name": "cpython",
        "arch": {"family": machine, "variant": None},
        "os": "linux",
        "libc": "gnu",
        **dict(zip(("major", "minor", "patch"), sys.version_info)),
        "prerelease": "",
        "url": f"file://{archive}",
        "sha256": None,
        "variant": None,
        "build": "20260101",
    }
    name = "cpython-{}.{}.{}".format(*sys.version_info[:3]) + f"-linux-{machine}-gnu"
    with open(os.path.join(folder, "downloads.json"), "w", encoding="utf-8") as told:
        json.dump({name: build}, told)


if __name__ == "__main__":
    main(sys.argv[1])
