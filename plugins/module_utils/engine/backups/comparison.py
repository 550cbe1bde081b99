# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened between two backups, by their manifests alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import CatmaidError
from . import store

EQUAL, DIFFERENT, UNKNOWN = "equal", "different", "unknown"

Manifest = Mapping[str, Any]
Name = tuple[str, str]


def choose(
    backups: Sequence[store.Backup], before: str | None, after: str | None
) -> tuple[store.Backup, store.Backup]:  # fmt: skip
    """Return the two backups of that name, of ``backups`` newest first; without a name, the newest sound one."""
    new = _named(backups, after)
    older = [backup for backup in backups if (backup.finished, backup.id) < (new.finished, new.id)]
    if not before and not any(backup.sound for backup in older):
        raise CatmaidError("comparing backups", f"there is none before {new.id}", "Two are needed. Make another one.")
    return (_named(backups, before) if before else _named(older, None)), new


def _named(backups: Sequence[store.Backup], name: str | None) -> store.Backup:
    found = next((backup for backup in backups if (backup.id == name if name else backup.sound)), None)
    if found is None:
        cause = f"there is no backup {name}" if name else "there is no sound backup to compare"
        raise CatmaidError("comparing backups", cause, "catmaid-admin list, or the module backup_info, lists them.")
    return found


def compare(before: Manifest, after: Manifest) -> dict[str, Any]:
    """Return the differences of two manifests: tables, migrations, sizes and versions."""
    tables = _tables(before, after)
    old, new = (tuple(map(tuple, manifest.get("migrations", []))) for manifest in (before, after))
    return {
        "before": _head(before),
        "after": _head(after),
        "bytes": {"before": before.get("bytes", 0), "after": after.get("bytes", 0)},
        "rows": {"before": _sum(before), "after": _sum(after)},
        "tables": [table for table in tables if table["contents"] != EQUAL],
        "unchanged": sum(1 for table in tables if table["contents"] == EQUAL),
        "migrations_added": [".".join(pair) for pair in new if pair not in old],
        "migrations_removed": [".".join(pair) for pair in old if pair not in new],
        "versions": {
            name: {"before": was, "after": now}
            for name, was in _versions(before).items()
            if (now := _versions(after)[name]) != was
        },
    }


def _tables(before: Manifest, after: Manifest) -> list[dict[str, Any]]:
    """Return all tables that either knows, in the order of their names."""
    old, new = _known(before), _known(after)
    listed = []
    for schema, name in sorted({*old, *new}):
        was, now = old.get((schema, name)), new.get((schema, name))
        listed.append(
            {
                "schema": schema,
                "name": name,
                "before": was["rows"] if was else None,
                "after": now["rows"] if now else None,
                "change": now["rows"] - was["rows"] if was and now else None,
                "contents": _contents(was, now),
            }
        )
    return listed


def _contents(was: Manifest | None, now: Manifest | None) -> str:
    if was is None or now is None or was["rows"] != now["rows"]:
        return DIFFERENT
    marks = was.get("fingerprint"), now.get("fingerprint")
    if None in marks:
        return EQUAL if was["rows"] == 0 else UNKNOWN
    return EQUAL if marks[0] == marks[1] else DIFFERENT


def _known(manifest: Manifest) -> dict[Name, Manifest]:
    """Return what a manifest knows of each table, also of those whose rows are not in the backup."""
    entries = [*manifest["tables"], *(entry for entry in manifest["left_out"] if entry["rows"] is not None)]
    return {(entry["schema"], entry["name"]): entry for entry in entries}


def _sum(manifest: Manifest) -> int:
    return sum(int(table["rows"]) for table in manifest["tables"])


def _head(manifest: Manifest) -> dict[str, Any]:
    return {key: manifest[key] for key in ("id", "database", "finished")}


def _versions(manifest: Manifest) -> dict[str, str]:
    source, server = manifest.get("source") or {}, manifest.get("postgresql") or {}
    return {
        "source": source.get("describe", "") or source.get("commit", ""),
        "postgresql": server.get("server", ""),
        "postgis": server.get("postgis") or "",
        "pg_dump": server.get("pg_dump", ""),
    }
