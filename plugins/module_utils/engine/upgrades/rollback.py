# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back an upgrade that went well: seconds, whatever the size, as long as the copy of the database is kept."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ..errors import CatmaidError
from ..postgres import databases
from . import exchange, history
from .request import ROLLBACK, Request

CONFIRM = "Confirm that (catmaid_rollback_confirm, --confirm). All of it stays in a database that is kept beside."


def ask(base: Request, *, confirmed: bool) -> Request:
    """Return the request for the way back; refuse when edits would be lost that nobody has given up.

    An upgrade without a migration has changed nothing in the database, so the way back changes nothing in it either.
    Nor does that of one that went online: what its migrations have added stays, and the old release works with it.
    """
    last = history.last(base.state_dir)
    doing = f"rolling back to {last['before'].describe}"
    if os.path.realpath(base.current) != last["after"].path:
        cause = f"{base.current} is not {last['after'].describe}, which that upgrade has left"
        raise CatmaidError(doing, cause, "Restore a backup of the release that is wanted instead.")
    if last["migrations"] and not last["copy"] and not last.get("online"):
        raise CatmaidError(doing, "no copy of the database was kept", _instead(last))
    if last["copy"] and databases.read(base.server, last["copy"]) is None:
        raise CatmaidError(doing, f"its copy of the database is gone ({last['copy']})", _instead(last))
    left = last.get("database_oid", 0) if last["copy"] else 0
    if left and left != exchange.database_oid(base) and not confirmed:
        cause = f"{base.database} is another database than the one that the upgrade has left: it was restored since"
        raise CatmaidError(doing, f"{cause}, and would not be the live one any more", CONFIRM)
    edits = exchange.edits_since(base, last["served_since"]) if last["copy"] and last["served_since"] else {}
    if edits and not confirmed:
        told = ", ".join(f"{count} in {table}" for table, count in edits.items())
        raise CatmaidError(
            doing,
            f"what people have written since {last['served_since']} would not be in the database any more: {told} rows",
            CONFIRM,
            edits=edits,
        )
    failed = f"{base.database[:30]}_failed_upgrade_{base.id}"
    return replace(base, kind=ROLLBACK, old=last["after"], new=last["before"], copy=last["copy"], failed=failed)


def _instead(last: dict[str, Any]) -> str:
    """Return the other way back: slower, and whatever was written since is lost."""
    backup = last.get("backup", "")
    which = f"the backup {backup}, which was made before it" if backup else "a backup that was made before it"
    choice = f"catmaid_restore_backup={backup} and " if backup else ""
    return (
        f"Restore {which}: the playbook catmaid.admin.restore with {choice}catmaid_restore_checkout=true brings its "
        "release, too. What people have written since is not in it."
    )
