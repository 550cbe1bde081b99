# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether somebody should look after the backups: one verdict in the words of Nagios."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..web import expiry
from . import reports, status, store
from .config import UPKEEP, Config

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
VANISHED_TOLD = 7 * 86400  # seconds for which it is worth a warning that a database has gone
AHEAD = 300  # seconds by which a clock may differ before we say so
# A section whose last run failed, and how bad that is: what is not pruned is only too much.
FAILED = {"backup": CRITICAL, "copy": CRITICAL, "verify": CRITICAL, "drill": CRITICAL, "prune": WARNING}


@dataclass
class Verdict:
    """What was found: the worst of it is the ``code``."""

    code: int = OK
    problems: list[tuple[int, str]] = field(default_factory=list)
    fine: list[str] = field(default_factory=list)
    databases: dict[str, dict[str, Any]] = field(default_factory=dict)
    upkeep: dict[str, dict[str, Any]] = field(default_factory=dict)
    performance: list[str] = field(default_factory=list)

    def add(self, code: int, text: str) -> None:
        """Add a problem."""
        self.code = max(self.code, code)
        self.problems.append((code, text))

    def line(self) -> str:
        """Return it as a plugin of Nagios prints it: one line, then what can be drawn."""
        texts = [text for _code, text in sorted(self.problems, key=lambda problem: -problem[0])] or self.fine
        text = " ".join("; ".join(texts).replace("|", "/").split())
        return f"CATMAID BACKUP {WORDS[self.code]} - {text} | {' '.join(self.performance)}".rstrip(" |")


def examine(
    config: Config, max_age: int, critical: int, drill_age: int | None = None, certificate_days: float = 0
) -> Verdict:
    """Look at the newest verified backup of each database, and at how the last runs ended.

    With ``drill_age`` also at the last restore drill that went well. Where the instance has a web site with TLS, look
    for how long its certificate is good.
    """
    verdict = Verdict()
    last = reports.load(config, "backup")
    names = config.databases
    if names is None:
        known = {str(backup.manifest["database"]) for backup in store.listing(config.dest).backups}
        names = sorted(last.get("seen") or known)
        for name in sorted(known - set(names)):
            _vanished(verdict, config, name)
        if not names:
            verdict.add(CRITICAL, f"there is no backup in {config.dest}")
    for name in names:
        _database(verdict, config, name, max_age, critical)
        if drill_age is not None:
            _drill(verdict, name, drill_age)
    _job(verdict, last, names, "backup", "job")
    _job(verdict, reports.load(config, "drill"), names, "drill", "drill job")
    for job in UPKEEP:
        _upkeep(verdict, job, reports.load(config, job))
    _certificate(verdict, config.instance, certificate_days)
    return verdict


def _vanished(verdict: Verdict, config: Config, name: str) -> None:
    """Warn for some days of a database that the job does not find any more: somebody may have dropped it by mistake."""
    newest = store.listing(config.dest, name).newest()
    if newest and (store.now() - newest.finished).total_seconds() < VANISHED_TOLD:
        verdict.add(WARNING, f"{name}: the server has no such database any more, its newest backup is {newest.id}")


def _database(verdict: Verdict, config: Config, name: str, max_age: int, critical: int) -> None:
    folder = store.folder(config.dest, name)
    document = status.judged(folder, status.load(folder))
    listing = store.listing(config.dest, name)
    newest = listing.newest()
    about: dict[str, Any] = {"newest": newest.id if newest else None, "status": document}
    verdict.databases[name] = about
    for code, text in sections(document):
        verdict.add(code, f"{name}: {text}")
    if not newest:
        verdict.add(CRITICAL, f"{name}: there is no verified backup in {folder}")
        return
    age = int((store.now() - newest.finished).total_seconds())
    size = int(newest.manifest.get("bytes", 0))
    rows = sum(int(table["rows"]) for table in newest.manifest["tables"])
    about.update(age=age, bytes=size, rows=rows)
    if age > max_age:
        verdict.add(CRITICAL if age > critical else WARNING, f"{name}: the newest verified backup is {span(age)} old")
    elif age < -AHEAD:
        verdict.add(WARNING, f"{name}: the newest backup is from the future, {span(-age)} ahead: look at the clock")
    else:
        verdict.fine.append(f"{name}: {newest.id} is {span(max(age, 0))} old, {size} bytes, {rows} rows")
    _doubts(verdict, name, listing, newest, document)
    damaged = [backup.id for backup in listing.backups if not backup.sound]
    if damaged:
        verdict.add(WARNING, f"{name}: {len(damaged)} damaged, such as {damaged[0]}")
    label = _label(name)
    verdict.performance += [
        f"'{label} age'={age}s;{max_age};{critical}",
        f"'{label} size'={size}B",
        f"'{label} rows'={rows}",
    ]


def _doubts(verdict: Verdict, name: str, listing: store.Listing, newest: store.Backup, document: Any) -> None:
    """Add what nobody knows for certain: a backup that lost rows, and folders that may or may not be backups."""
    last = (document.get("backup") or {}).get("last") or {}
    if newest.suspicious and (last.get("ok", True) or last.get("id") != newest.id):  # else that run has told it
        verdict.add(CRITICAL, f"{name}: tables have shrunk in {newest.id}, and nobody has accepted that")
    unreadable = [path for path in listing.incomplete if not os.path.basename(path).startswith(store.PARTIAL)]
    if unreadable:
        verdict.add(WARNING, f"{name}: {len(unreadable)} with a manifest that cannot be read, such as {unreadable[0]}")


def _drill(verdict: Verdict, name: str, drill_age: int) -> None:
    success = (verdict.databases[name]["status"].get("drill") or {}).get("success")
    if not success:
        verdict.add(WARNING, f"{name}: no restore drill ever went well")
        return
    age = int((store.now() - store.parse_time(success["finished"])).total_seconds())
    verdict.databases[name]["drill_age"] = age
    if age > drill_age:
        verdict.add(WARNING, f"{name}: the last restore drill that went well was {span(age)} ago")
    verdict.performance.append(f"'{_label(name)} drill'={age}s;{drill_age}")


def _upkeep(verdict: Verdict, name: str, last: dict[str, Any]) -> None:
    """Warn of what the host has not done for its application. No data are at stake."""
    if not last:
        return
    running = last.get("running")
    verdict.upkeep[name] = {word: last.get(word) for word in ("ok", "started", "finished", "message")}
    if running and not status.alive(running):
        verdict.add(WARNING, f"the {name} job of {last['started']}: {reports.SILENT}")
    elif not running and not last["ok"]:
        verdict.add(WARNING, f"the {name} job of {last['finished']} failed: {last['message']}")


def _certificate(verdict: Verdict, instance: str, days: float) -> None:
    site = expiry.look(instance)
    complaint = site.complaint(days) if site else ""
    shown = site.shown if site else None
    if complaint:
        verdict.add(WARNING if shown and shown.days_left > 0 else CRITICAL, complaint)
    if shown:
        verdict.performance.append(f"'certificate days'={shown.days_left:.1f};{days:g}:;0:")


def _label(name: str) -> str:
    return name.replace("=", "_").replace("'", "''")


def sections(document: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Tell of each section of a database's status whose last run failed or was lost, and how bad that is."""
    dead = status.lost(document)
    for section, code in FAILED.items():
        last = (document.get(section) or {}).get("last")
        if section in dead:
            yield code, f"{section} of {dead[section]['since']}: {reports.SILENT}"
        elif last and not last["ok"]:
            # Another job had its turn. If that goes on for long, the age of what there is tells.
            yield WARNING if last.get("busy") else code, f"{section} of {last['finished']} failed: {last['message']}"


def _job(verdict: Verdict, last: dict[str, Any], names: list[str], section: str, called: str) -> None:
    """Add the failures of the job that no database's status tells: it did not reach the server, or a hook failed."""
    running = last.get("running")
    if running:
        if not status.alive(running):
            verdict.add(CRITICAL, f"the {called} of {last['started']}: {reports.SILENT}")
        return
    if not last or last["ok"]:
        return
    for name in names:
        about = last["databases"].get(name, {"ok": True})
        document = verdict.databases[name]["status"]
        if (
            not about["ok"]
            and not _is_told(document, about.get("step", ""), last)
            and not _is_good(document, last, section)
        ):
            verdict.add(CRITICAL, f"{name}: the {called} of {last['finished']} failed: {about['message']}")
    problems = [last.get("error"), *last.get("hooks", [])]
    if any(problems) and not (
        names and all(_is_good(verdict.databases[name]["status"], last, section) for name in names)
    ):
        verdict.add(CRITICAL, f"the {called} of {last['finished']} failed: {'; '.join(filter(None, problems))}")


def _is_told(document: dict[str, Any], step: str, job_: dict[str, Any]) -> bool:
    """Tell whether the status of a database knows how the step ended at which the job failed, or a later run of it."""
    last = (document.get(step) or {}).get("last") or {"finished": ""}
    return bool(last["finished"] >= job_["started"])


def _is_good(document: dict[str, Any], job_: dict[str, Any], section: str) -> bool:
    """Tell whether a failure was made good since by somebody's backup, or drill, outside of the job."""
    success = (document.get(section) or {}).get("success") or {"finished": ""}
    return bool(success["finished"] > job_["finished"])


def span(seconds: int) -> str:
    """Return a span of time for people."""
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    if seconds < 172800:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
