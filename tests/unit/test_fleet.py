# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an instance is worth a warning or a failure, and how the report of all tells it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.filter.fleet_report import fleet_report
from ansible_collections.catmaid.admin.plugins.module_utils.engine.fleet import judgement, words
from ansible_collections.catmaid.admin.plugins.module_utils.engine.fleet.judgement import Limits

HOUR, DAY = 3600, 86400
NOW = "2026-11-30T06:00:00Z"


def backup(day: int, size: int = 37_000_000) -> dict[str, Any]:
    """Return a backup that was finished on a day of November."""
    about = {"age": HOUR, "rows": 5_300_000, "seconds": 3.4, "suspicious": False}
    return {"id": f"catmaid_{day}", "finished": f"2026-11-{day:02}T03:00:07.000000Z", "bytes": size, **about}


HISTORY = [backup(1, 30_000_000), backup(15, 20_000_000), backup(29)]
POSTGIS = {"extension": "3.3.2", "library": "3.3.2", "available": "3.3.2", "outdated": False, "problem": ""}
DISK = {"name": "data", "path": "/var/lib/postgresql", "device": 1, "free": 48 * 10**9, "total": 100 * 10**9}
SOUND: dict[str, Any] = {
    "errors": {},
    "code": {
        "commit": "a3f09c1b2d3e", "describe": "2021.12.21", "dirty": False, "release": "2021.12.21",
        "newer_release": "", "upstream": "master", "behind": 0, "ahead": 0, "fetched": 2 * HOUR,
    },
    "database": {"bytes": 1, "server_version": "15.18", "postgis": POSTGIS},
    "migrations": {"applied": 152, "pending": [], "unknown": []},
    "materializations": {"stale": [], "reasons": []},
    "backups": {"number": 3, "newest": HISTORY[-1], "damaged": [], "history": HISTORY, "runs": []},
    "drill": {"finished": "", "age": 3 * DAY},
    "certificate": {"name": "catmaid.test", "days_left": 60.2, "complaint": ""},
    "disks": [DISK, {**DISK, "name": "backups", "path": "/var/backups"}],
    "units": {"failed": [], "stopped": []},
}  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return a sound instance with one value exchanged."""
    found = copy.deepcopy(SOUND)
    *parts, last = path.split(".")
    about: Any = found
    for part in parts:
        about = about[int(part)] if part.isdigit() else about[part]
    about[int(last) if last.isdigit() else last] = value
    return found


def judged(found: dict[str, Any], **limits: float) -> list[tuple[str, str]]:
    """Return level and text of each reason."""
    return [(reason.level, reason.text) for reason in judgement.judge(found, Limits(**limits))]


def result(found: dict[str, Any], site: str = "catmaid.test") -> dict[str, Any]:
    """Return what the module returns."""
    reasons = judgement.judge(found, Limits())
    return {
        "site": site,
        "state": judgement.state(reasons),
        "reasons": [{"level": one.level, "part": one.part, "text": one.text} for one in reasons],
        "status": found,
    }


@pytest.mark.parametrize(
    ("path", "value", "level", "text"),
    [
        ("backups.newest.age", 26 * HOUR, "", ""),
        ("backups.newest.age", 27 * HOUR, "warning", "the newest verified backup is 27 h old"),
        ("backups.newest.age", 51 * HOUR, "failed", "the newest verified backup is 2 d old"),
        ("backups.newest.age", -2 * HOUR, "warning", "from the future, 2 h ahead"),
        ("backups.newest.suspicious", True, "failed", "tables have shrunk in catmaid_29"),
        ("backups.newest", None, "failed", "there is no verified backup"),
        ("backups.damaged", ["catmaid_15"], "warning", "damaged backups: catmaid_15"),
        ("backups.runs", [{"failed": True, "text": "backup failed: no room"}], "failed", "no room"),
        ("backups.runs", [{"failed": False, "text": "prune failed"}], "warning", "prune failed"),
        ("drill", None, "warning", "no restore drill ever went well"),
        ("drill.age", 10 * DAY, "warning", "went well was 10 d ago"),
        ("certificate", None, "", ""),
        ("certificate.days_left", 20.0, "warning", "expires in 20 days"),
        ("certificate.days_left", 6.0, "failed", "expires in 6 days"),
        ("certificate.days_left", -1.0, "failed", "has expired"),
        ("certificate", {"name": "x", "days_left": None, "complaint": "nobody shows one"}, "failed", "nobody shows"),
        ("disks.0.free", 14 * 10**9, "warning", "the disk of data and backups (/var/lib/postgresql) has 14 GB free"),
        ("disks.0.free", 4 * 10**9, "failed", "4.0 GB free, 4 %"),
        ("migrations.pending", ["a.1", "a.2", "a.3", "a.4", "a.5"], "failed", "a.1, a.2, a.3 and 2 more"),
        ("migrations.unknown", ["a.9"], "warning", "that the code does not know: a.9"),
        ("materializations", None, "", ""),
        ("materializations", {"stale": ["edges"], "reasons": ["treenode_edge: 1 rows missing"]}, "warning", "1 rows"),
        ("database.postgis.library", "3.4.1", "warning", "PostGIS is 3.3.2 in the database, and its library 3.4.1"),
        ("database.postgis.outdated", True, "warning", "PostGIS is 3.3.2"),
        ("database.postgis.problem", "could not access file", "failed", "cannot be used: could not access file"),
        ("database.postgis.extension", "", "failed", "no PostGIS"),
        ("units.stopped", ["catmaid"], "failed", "do not run: catmaid"),
        ("units.failed", ["mail.service"], "warning", "units have failed: mail.service"),
        ("errors", {"database": "connecting: refused"}, "failed", "connecting: refused"),
    ],
)
def test_each_rule(path: str, value: Any, level: str, text: str) -> None:
    found = judged(changed(path, value))
    assert [one for one, _text in found] == [level] * bool(level)
    assert all(text in told for _level, told in found)


def test_limits_are_what_is_given() -> None:
    assert judged(changed("drill", None), drill_warn_days=0) == []
    assert judged(SOUND, backup_warn_hours=0.5, backup_fail_hours=2)[0][0] == "warning"
    assert judged(SOUND, disk_warn_percent=50, disk_fail_percent=49)[0][0] == "failed"


def test_the_worst_comes_first_and_who_is_silent_is_told() -> None:
    hosts = {
        "good": result(SOUND),
        "old": result(changed("drill", None)),
        "gone": {"unreachable": True, "msg": "No route\n to host", "changed": False},
        "bad": result(changed("units.stopped", ["catmaid"])),
        "odd": {"failed": True, "msg": "psycopg2 is missing", "invocation": {}},
        "never": {},
    }
    report = fleet_report(hosts, NOW)
    assert [host["name"] for host in report["hosts"]] == ["gone", "odd", "never", "bad", "old", "good"]
    assert report["counts"] == {"unreachable": 3, "failed": 1, "warning": 1, "ok": 1}
    assert report["summary"] == "6 hosts: 3 unreachable, 1 failed, 1 warning, 1 ok"
    assert report["brief"][0] == {
        "name": "gone",
        "state": "unreachable",
        "reasons": ["it could not be asked: No route to host"],
    }
    assert "it could not be asked: psycopg2 is missing" in report["text"][-6:][0] + report["text"][-5]
    assert json.loads(json.dumps(report["hosts"])) == report["hosts"]


def test_the_table_tells_each_figure_in_its_column() -> None:
    behind = {"behind": 212, "newer_release": "2023.01.01", "fetched": 40 * DAY, "dirty": True}
    found = {**SOUND, "code": {**SOUND["code"], **behind}}
    told = fleet_report({"lab": result(found)}, NOW)["text"]
    heads, _line, row = (line.replace("\u00a0", " ") for line in told[:3])
    titles = [title.strip() for title in heads.split("  ") if title.strip()]
    cells = {title: row[heads.index(title) :].split("  ")[0].strip() for title in titles}
    assert cells == {
        "Host": "lab",
        "State": "ok",
        "Release": "2021.12.21 (a3f09c1, edited)",
        "Upstream": "212 behind master, 40 d ago; 2023…",
        "Migrations": "applied",
        "Last backup": "60 min ago, 37 MB",
        "Last drill": "3 d ago",
        "Certificate": "60 days",
        "PostGIS": "3.3.2",
        "Disk free": "48 GB (48 %)",
        "Stale tables": "none",
        "Failed units": "none",
    }


def test_markdown_and_page_hold_whatever_hosts_say() -> None:
    hostile = changed("units.failed", ["<script>alert(1)</script> | x.service"])
    report = fleet_report({'a "host" & <b>': result(hostile, '"><img src=x>')}, NOW)
    rows = [line for line in report["markdown"].splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {13}
    page = report["html"]
    assert "<script" not in page and "<img" not in page and "<b>" not in page
    assert "a &quot;host&quot; &amp; &lt;b&gt;" in page
    assert "http" not in page and "url(" not in page


def test_charts_say_in_words_what_they_show() -> None:
    page = fleet_report({"lab": result(SOUND)}, NOW)["html"]
    assert 'aria-label="Size of 3 backups of lab: first 30 MB, last 37 MB, at least 20 MB, at most 37 MB."' in page
    one = changed("backups.history", HISTORY[:1])
    assert 'aria-label="Size of one backup of lab: 30 MB."' in fleet_report({"lab": result(one)}, NOW)["html"]
    none = changed("backups.history", [])
    assert "There is no verified backup." in fleet_report({"lab": result(none)}, NOW)["html"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "120 min"), (7200, "2 h"), (172799, "48 h"), (172800, "2 d")],
)
def test_spans(seconds: float, text: str) -> None:
    assert words.ago(seconds) == text
