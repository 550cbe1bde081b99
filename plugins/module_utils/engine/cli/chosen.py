# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command line means: which backups, which databases, and who it is that asks."""

from __future__ import annotations

import argparse
import os

from ..backups import job, store
from ..backups.config import Config
from ..errors import CatmaidError


def who() -> str:
    """Return who asks, for manifests: the user behind sudo where there is one."""
    return f"catmaid-admin, {os.environ.get('SUDO_USER') or os.environ.get('LOGNAME') or os.geteuid()}"


def databases(config: Config, options: argparse.Namespace) -> list[str]:
    """Return the databases that are meant: the named one, or all of the configuration."""
    return [options.database] if options.database else job.databases(config)


def newest(listing: store.Listing) -> list[str]:
    """Return the newest backup of each database, whether it is sound or not."""
    found = {str(backup.manifest["database"]): backup.id for backup in reversed(listing.backups)}
    return [found[name] for name in sorted(found)]


def one(config: Config, name: str | None, database: str | None) -> store.Backup:
    """Return a backup by its name or path; the newest sound one when none is named."""
    listing = store.listing(config.dest, database)
    doing = f"looking for a backup in {config.dest}"
    if not name:
        sound = listing.newest()
        if not sound:
            raise CatmaidError(doing, "there is no sound one", "Run catmaid-admin backup.")
        return sound
    path = os.path.abspath(name)
    for backup in listing.backups:
        if name == backup.id or path == os.path.abspath(backup.path):
            return backup
    raise CatmaidError(doing, f"there is none named {name}", "Look at catmaid-admin list.")
