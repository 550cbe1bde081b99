# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard that doubts a backup in which tables are much smaller than in the one before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..catmaid import materializations
from ..errors import CatmaidError
from . import store

# So many rows may always go: whoever deletes one of nine stacks has lost no data.
FEW = 100
# Tables that shrink as they should: sessions that ran out, notes of what was done, tasks that are done.
COME_AND_GO = {
    "django_session",
    "django_admin_log",
    "django_celery_results_taskresult",
    "celery_taskmeta",
    "celery_tasksetmeta",
    "djkombu_message",
    "kombu_message",
}
DERIVED = {*materializations.EXACT, *materializations.SUMMARIES}

Name = tuple[str, str]


def check_percent(percent: int) -> None:
    """Raise when nothing can lose so many percent."""
    if not 0 <= percent <= 100:
        raise CatmaidError("reading shrink_percent", f"{percent} is no share", "Say 1 to 100, or 0 for no comparison.")


def reference(backups: Iterable[store.Backup]) -> store.Backup | None:
    """Return the first one, so the newest, that is whole and that nobody has to doubt."""
    return next((backup for backup in backups if backup.sound and not backup.suspicious), None)


def shrunk(
    before: Mapping[str, Any], rows: Mapping[Name, int], unknown: Collection[Name], percent: int
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the tables that lost more than ``percent`` of their rows since the manifest ``before``; most lost first.

    ``rows`` are those of now by schema and name; of those in ``unknown`` nobody knows. A table that is not there any
    more has lost all of its rows, however few they were.
    """
    found = []
    for name, had in _rows(before).items():
        if name in unknown or not had or (name[0] == "public" and name[1] in DERIVED) or name[1] in COME_AND_GO:
            continue
        has = rows.get(name, 0)
        lost = had - has
        if lost * 100 > percent * had and (lost > FEW or name not in rows):
            entry = {"schema": name[0], "table": name[1], "before": had, "after": has}
            found.append({**entry, "percent": round(lost * 100 / had, 1)})
    return sorted(found, key=lambda entry: (-entry["percent"], entry["schema"], entry["table"]))


def refuse(backup: store.Backup, doing: str) -> None:
    """Raise when a backup that was just made is suspicious."""
    suspicious = backup.manifest.get("suspicious")
    if not suspicious:
        return
    told = [
        f"{entry['schema']}.{entry['table']} had {entry['before']} rows and has {entry['after']}"
        f" ({entry['percent']} % less)"
        for entry in suspicious[:10]
    ]
    if len(suspicious) > len(told):
        told.append(f"and {len(suspicious) - len(told)} more tables")
    raise CatmaidError(
        doing,
        f"tables have shrunk since {backup.manifest['compared_with']}: {'; '.join(told)}. The backup {backup.id} is"
        " complete and kept, but marked as suspicious, and no old one is removed",
        "Look whether somebody has lost data. If the rows were removed on purpose, accept it (module backup_hold, state"
        " accepted): later backups are compared with it then.",
        id=backup.id,
        path=backup.path,
        suspicious=suspicious,
        changed=True,
    )


def _rows(manifest: Mapping[str, Any]) -> dict[Name, int]:
    """Return the rows of all tables that a manifest tells, also of those whose rows are not in the backup."""
    entries = [*manifest["tables"], *manifest["left_out"]]
    return {(entry["schema"], entry["name"]): int(entry["rows"]) for entry in entries if entry["rows"] is not None}
