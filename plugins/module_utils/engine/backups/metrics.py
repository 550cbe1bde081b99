# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of a database's backups in Prometheus' text format, for the textfile collector of node_exporter."""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from collections.abc import Mapping
from typing import Any

from .. import files
from ..errors import CatmaidError
from . import store

PREFIX = "catmaid_backup"
HELP = {
    "last_run_timestamp_seconds": "When the last run ended.",
    "last_run_success": "Whether the last run did what it should (1) or failed (0).",
    "last_success_timestamp_seconds": "When the last successful run ended.",
    "duration_seconds": "How long the last successful run took.",
    "size_bytes": "Size of the newest verified backup.",
    "rows": "Rows in the newest verified backup.",
    "suspicious": "Whether the newest verified backup lost more rows than it should (1) or not (0).",
    "kept": "Backups that the last pruning kept.",
    "target_last_success_timestamp_seconds": "When the newest backup was last copied to this target and verified.",
}
# What a run noted beside its success, or of a backup that it doubts, and the metric that shows it.
FACTS = {"bytes": "size_bytes", "rows": "rows", "suspicious": "suspicious", "kept": "kept"}
WHAT = {"backup": "backup", "copy": "copying", "prune": "pruning", "verify": "verification", "drill": "restore drill"}


def file_name(folder: str, database: str) -> str:
    """Return the name of the metrics' file; databases of one name in different folders have different ones."""
    mark = hashlib.sha256(os.path.abspath(folder).encode()).hexdigest()[:8]
    return f"{PREFIX}_{urllib.parse.quote(database, safe='')}_{mark}.prom"


def render(folder: str, database: str, document: Mapping[str, Any]) -> str:
    """Return a status as metrics. Every metric has the labels database and folder."""
    lines: list[str] = []
    labels = {"database": database, "folder": folder}
    for section, what in WHAT.items():
        about = document.get(section)
        if not isinstance(about, Mapping):
            continue
        last, success = about.get("last") or {}, about.get("success") or {}
        values: list[tuple[str, float, dict[str, str]]] = []
        if last:
            values.append(("last_run_timestamp_seconds", _time(last["finished"]), {}))
            values.append(("last_run_success", int(bool(last["ok"])), {}))
        if success:
            values.append(("last_success_timestamp_seconds", _time(success["finished"]), {}))
            values.append(("duration_seconds", success["seconds"], {}))
        facts = {**success, **(about.get("newest") or {})}
        values += [(name, float(facts[fact]), {}) for fact, name in FACTS.items() if fact in facts]
        for target, finished in sorted((about.get("targets") or {}).items()):
            values.append(("target_last_success_timestamp_seconds", _time(finished), {"target": target}))
        for name, value, more in values:
            full = f"{PREFIX}_{name}" if section == "backup" else f"{PREFIX}_{section}_{name}"
            if f"# TYPE {full} gauge" not in lines:
                lines += [f"# HELP {full} {HELP[name]} ({what})", f"# TYPE {full} gauge"]
            lines.append(f"{full}{{{_labels({**labels, **more})}}} {value:.15g}")
    return "\n".join([*lines, ""]) if lines else ""


def publish(folder: str, document: Mapping[str, Any]) -> None:
    """Write the metrics to where the status says that they are watched, if it says so."""
    watched = document.get("watched") or {}
    directory = watched.get("metrics")
    if not directory:
        return
    name = file_name(folder, watched["database"])
    try:
        files.write_atomically(
            os.path.join(directory, name), render(folder, watched["database"], document), mode=0o644
        )  # fmt: skip
    except OSError as error:
        raise CatmaidError(
            f"writing the metrics {os.path.join(directory, name)}",
            error.strerror or str(error),
            "Make that folder, let this user write to it, or configure another one.",
        ) from error


def withdraw(folder: str, document: Mapping[str, Any]) -> None:
    """Remove the file with the metrics, if there is one."""
    watched = document.get("watched") or {}
    if watched.get("metrics"):
        path = os.path.join(watched["metrics"], file_name(folder, watched["database"]))
        if os.path.exists(path):
            os.unlink(path)


def _time(text: str) -> float:
    return store.parse_time(text).timestamp()


def _labels(values: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
