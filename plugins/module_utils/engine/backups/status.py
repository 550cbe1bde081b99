# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the last backup, copy, pruning … of a database: a file beside its backups, and metrics made of it.

Whoever does something to a database's backups does it inside :func:`recording`, whatever face asked for it. A process
that is killed leaves its mark "running" there, and never a success.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .. import files
from ..errors import CatmaidError
from . import holds, metrics, store

NAME = "status.json"
SECTIONS = ("backup", "copy", "prune", "verify", "drill")
UNCHANGED = "unchanged"
FAILED = "failed"
MESSAGE_LIMIT = 2000

Document = dict[str, Any]


def path(folder: str) -> str:
    """Return where the status of the database is whose backups are in ``folder``."""
    return os.path.join(folder, NAME)


def load(folder: str) -> Document:
    """Return the status; one that was never written, or is damaged, is empty: the next record makes it whole."""
    try:
        with open(path(folder), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def folders(dest: str) -> list[str]:
    """Return the folders of all databases below ``dest`` that have a status."""
    found = [os.path.join(dest, name) for name in sorted(os.listdir(dest))] if os.path.isdir(dest) else []
    return [folder for folder in found if os.path.isfile(path(folder))]


def record(folder: str, section: str, values: Mapping[str, Any]) -> Document:
    """Merge ``values`` into a section of the status, atomically, and publish the metrics; return the whole.

    Metrics that cannot be written keep nobody from making a backup: it is the job that fails for them, see watch.
    """
    doing = f"noting the status of {folder}"
    try:
        with _turn(folder):
            document = load(folder)
            document[section] = {**document.get(section, {}), **values}
            files.write_json(path(folder), document)
    except OSError as error:
        raise CatmaidError(doing, error.strerror or str(error), "Make the folder of the backups writable.") from error
    with suppress(CatmaidError):
        metrics.publish(folder, judged(folder, document))
    return document


def watch(folder: str, database: str, directory: str) -> None:
    """Let metrics of this database go to ``directory`` from now on, whoever records something; nowhere when empty."""
    document = load(folder)
    wanted = {"database": database, "metrics": directory}
    if document.get("watched", {**wanted, "metrics": ""}) != wanted:
        metrics.withdraw(folder, document)
        record(folder, "watched", wanted)
    metrics.publish(folder, judged(folder, load(folder)))


def settle(folder: str, message: str, sections: Sequence[str]) -> list[str]:
    """Note the failure of those of ``sections`` whose process ended without a word; return them."""
    dead = {section: mark for section, mark in lost(load(folder)).items() if section in sections}
    for section, mark in dead.items():
        run = {"started": mark["since"], "finished": store.format_time(store.now()), "seconds": None}
        last = {**run, "job": mark.get("job", ""), "ok": False, "message": message}
        record(folder, section, {"running": None, "last": last})
    return list(dead)


@contextmanager
def recording(folder: str, section: str, job: str = "") -> Iterator[dict[str, Any]]:
    """Note that ``section`` runs, and how it ended. What is put into the yielded facts stands beside a success.

    A fact UNCHANGED says that there was nothing to do: then the status stays as it was before. A fact FAILED is the
    message of a failure that is nobody's exception.
    """
    facts: dict[str, Any] = {}
    started = store.now()
    clock = time.monotonic()
    mark = {"pid": os.getpid(), "born": born(os.getpid()), "since": store.format_time(started), "job": job}
    try:
        record(folder, section, {"running": mark})
    except CatmaidError:
        pass  # a full disk keeps nobody from removing old backups; whoever has to write there will say so
    try:
        yield facts
    except BaseException as error:
        last = _failed(_run(started, clock, job), facts, error)
        _note_failure(folder, section, {"running": None, "last": last, **_newest(section, facts)})
        raise
    if facts.pop(UNCHANGED, False):
        before = (load(folder).get(section) or {}).get("last") or {"ok": True}
        # There was nothing to do, so what failed before has been made good.
        good = {} if before["ok"] else {"last": {**_run(started, clock, job), "ok": True, "message": ""}}
        record(folder, section, {"running": None, **good})
        return
    message = facts.pop(FAILED, "")
    run = {**_run(started, clock, job), **facts}
    if message:
        record(folder, section, {"running": None, "last": {**run, "ok": False, "message": message[:MESSAGE_LIMIT]}})
        return
    last = {**run, "ok": True, "message": ""}
    record(folder, section, {"running": None, "last": last, "success": run, **_newest(section, facts)})


@contextmanager
def noting_refusal(folder: str, section: str, job: str = "") -> Iterator[None]:
    """Note as the last run of ``section`` what keeps it from even starting: no login, or somebody else's lock.

    The mark "running" is not touched: it belongs to whoever is at work.
    """
    started, clock = store.now(), time.monotonic()
    try:
        yield
    except BaseException as error:
        if os.path.isdir(folder):
            _note_failure(folder, section, {"last": _failed(_run(started, clock, job), {}, error)})
        raise


def facts(backup: store.Backup) -> dict[str, Any]:
    """Return what stands in the status of a backup."""
    return {
        "id": backup.id,
        "bytes": int(backup.manifest["bytes"]),
        "rows": sum(int(table["rows"]) for table in backup.manifest["tables"]),
        "suspicious": bool(backup.manifest.get("suspicious")),
    }


def lost(document: Document) -> dict[str, dict[str, Any]]:
    """Return the sections whose process ended without a word, with the mark that each left."""
    marks = {name: (document.get(name) or {}).get("running") for name in SECTIONS}
    return {name: mark for name, mark in marks.items() if mark and not alive(mark)}


def judged(folder: str, document: Document) -> Document:
    """Return the status as it is to be judged now: a suspicion that somebody has found to be wrong is no failure."""
    about = document.get("backup") or {}
    last, newest = about.get("last") or {}, about.get("newest") or {}
    notes = holds.load(folder)
    changes: Document = {}
    if last.get("suspicious") and notes.accepted(last["id"]):
        good = {**last, "suspicious": False}
        changes.update(last={**good, "ok": True, "message": ""}, success=good)
    if newest.get("suspicious") and notes.accepted(newest["id"]):
        changes["newest"] = {**newest, "suspicious": False}
    return {**document, "backup": {**about, **changes}} if changes else document


def publish(folder: str) -> None:
    """Let the metrics show what somebody has decided about a backup; what cannot be written the next job tells."""
    with suppress(CatmaidError):
        metrics.publish(folder, judged(folder, load(folder)))


def alive(mark: Mapping[str, Any]) -> bool:
    """Tell whether the process that left a mark is still there; a later one with its number is another one."""
    found = born(int(mark["pid"]))
    return found is not None and found == mark["born"]


def born(pid: int) -> str | None:
    """Return when a process was started, in a form that no two processes with its number share."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            ticks = file.read().rsplit(")", 1)[1].split()[19]
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{ticks}"
    except OSError:
        return None


def _newest(section: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to note of a backup that was made, whether its run was a success or it is suspicious."""
    return {"newest": dict(facts)} if section == "backup" and "id" in facts else {}


def _failed(run: Mapping[str, Any], facts: Mapping[str, Any], error: BaseException) -> dict[str, Any]:
    message = str(error) if isinstance(error, CatmaidError) else f"{type(error).__name__}: {error}".rstrip(": ")
    busy = {"busy": True} if isinstance(error, CatmaidError) and "holder" in error.details else {}
    return {**run, **facts, "ok": False, "message": message[:MESSAGE_LIMIT], **busy}


def _note_failure(folder: str, section: str, values: Mapping[str, Any]) -> None:
    try:
        record(folder, section, values)
    except (CatmaidError, OSError):
        pass  # what went wrong before is what has to be told; a folder that cannot be written is part of it


def _run(started: Any, clock: float, job: str) -> dict[str, Any]:
    return {
        "started": store.format_time(started),
        "finished": store.format_time(store.now()),
        "seconds": round(time.monotonic() - clock, 3),
        "job": job,
    }


@contextmanager
def _turn(folder: str) -> Iterator[None]:
    """Let one process after the other change the status; a lock on the folder itself needs no file."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
