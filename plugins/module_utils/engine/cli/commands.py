# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of catmaid-admin: each is a call of the engine, and what it prints of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from ..backups import check, job, reports, store
from ..backups import verify as reading
from ..backups.config import Config
from ..errors import CatmaidError
from ..web import expiry
from . import chosen, output

DONE, FAILED = 0, 1
HIDDEN = "********"


def backup(config: Config, options: argparse.Namespace) -> int:
    """Run the job."""
    voice = output.Voice(quiet=options.quiet, json=options.json)
    report = job.run(config, options.job or chosen.who(), voice.say, voice.progress())
    # Not of backups, but nobody else comes by every night.
    expiry.publish(config.instance, config.values["metrics_dir"])
    if options.json:
        output.show_json(report)
    elif report["ok"]:
        voice.say(f"{config.instance}: done, {len(report['databases'])} database(s)")
    else:
        voice.say(f"FAILED: {config.instance}: the job has not done everything, see above")
    return DONE if report["ok"] else FAILED


def list_backups(config: Config, options: argparse.Namespace) -> int:
    """List the backups."""
    found = store.listing(config.dest, options.database)
    if options.json:
        backups = [output.backup(one) for one in found.backups]
        output.show_json({"backups": backups, "incomplete": found.incomplete, "foreign": found.foreign})
        return DONE
    rows: list[tuple[str, ...]] = [("ID", "AGE", "SIZE", "ROWS", "STATE")]
    for one in found.backups:
        about = output.backup(one)
        state = "ok" if one.sound else f"DAMAGED: {'; '.join(one.problems[:3])}"
        marks = [mark for mark in ("held", "suspicious", "accepted") if getattr(one, mark)]
        rows.append(
            (
                one.id,
                check.span(about["age"]),
                output.size(about["bytes"]),
                str(about["rows"]),
                ", ".join([state, *marks]),
            )
        )
    output.show(*(output.table(rows) if len(rows) > 1 else [f"There is no backup in {config.dest}."]))
    for path in found.incomplete:
        output.show(f"incomplete: {path}")
    for path in found.foreign:
        output.show(f"not ours:   {path}")
    return DONE


def info(config: Config, options: argparse.Namespace) -> int:
    """Show one backup."""
    one = chosen.one(config, options.id, options.database)
    if options.json:
        shrunk = one.manifest.get("suspicious") or []
        told_of = {"path": one.path, "problems": one.problems, "shrunk": shrunk}
        output.show_json({**one.manifest, **told_of, **output.marks(one)})
        return DONE
    found = one.manifest
    source, postgresql = found.get("source") or {}, found.get("postgresql") or {}
    about = output.backup(one)
    lines = {
        "backup": one.id,
        "path": one.path,
        "database": found["database"],
        "finished": f"{found['finished']} ({check.span(about['age'])} ago)",
        "asked for by": found.get("requested_by") or "nobody said",
        "size": f"{output.size(about['bytes'])} ({about['bytes']} bytes)",
        "rows": f"{about['rows']} in {len(found['tables'])} tables",
        "CATMAID": f"{source.get('describe') or 'unknown'} {source.get('commit') or ''}".strip(),
        "migrations": str(len(found.get("migrations", []))),
        "PostgreSQL": f"{postgresql.get('server')}, PostGIS {postgresql.get('postgis') or 'none'}",
        "state": "ok" if one.sound else f"DAMAGED: {'; '.join(one.problems)}",
    }
    if one.held:
        lines["held"] = one.hold
    shrunk = ", ".join(f"{table['schema']}.{table['table']}" for table in found.get("suspicious") or [])
    if one.suspicious:
        lines["suspicious"] = f"tables have shrunk: {shrunk}"
    if one.accepted:
        lines["accepted"] = " ".join(filter(None, [one.accepted, f"(shrunk: {shrunk})" if shrunk else ""]))
    output.show(*(f"{name + ':':<14}{text}" for name, text in lines.items()))
    for left in found["left_out"]:
        output.show(
            f"left out:     {left['schema']}.{left['name']} ({left['what']}), "
            f"comes back by {left['returns_by'] or 'nothing'}"
        )
    for missing in found.get("missing", []):
        output.show(f"missing:      {missing}")
    return DONE


def verify(config: Config, options: argparse.Namespace) -> int:
    """Read backups again."""
    listing = store.listing(config.dest, options.database)
    if options.all:
        results = reading.again(listing, None, chosen.who())
    else:
        names = [chosen.one(config, name, options.database).id for name in options.id] or chosen.newest(listing)
        results = [result for name in names for result in reading.again(listing, name, chosen.who())]
    if not results:
        raise CatmaidError(f"looking for backups in {config.dest}", "there is none", "Run catmaid-admin backup.")
    if options.json:
        output.show_json({"verified": [asdict(result) for result in results]})
    for result in () if options.json else results:
        problems = "; ".join(result.problems[:10])
        stream = sys.stderr if problems else sys.stdout
        stream.write(f"FAILED: {result.path}: {problems}\n" if problems else f"{result.id}: ok\n")
    return FAILED if any(result.problems for result in results) else DONE


def run_check(config: Config, options: argparse.Namespace) -> int:
    """Judge."""
    max_age, critical = store.seconds(options.max_age), store.seconds(options.critical)
    if critical < max_age:
        raise CatmaidError("reading the ages", "--critical is less than --max-age", "Let it be more, or the same.")
    drill_age = store.seconds(options.max_drill_age) if options.max_drill_age else None
    verdict = check.examine(config, max_age, critical, drill_age, options.certificate_days)
    if options.json:
        told: dict[str, Any] = {"code": verdict.code, "state": check.WORDS[verdict.code], "line": verdict.line()}
        problems = [{"code": code, "text": text} for code, text in verdict.problems]
        output.show_json({**told, "problems": problems, "databases": verdict.databases, "upkeep": verdict.upkeep})
    else:
        output.show(verdict.line())
    return verdict.code


def show_config(config: Config, options: argparse.Namespace) -> int:
    """Show the configuration."""
    values = json.loads(json.dumps(config.values))
    if values["login"]["password"]:
        values["login"]["password"] = HIDDEN
    for target in values["targets"]:
        target["secrets"] = dict.fromkeys(target.get("secrets") or {}, HIDDEN)
    if options.json:
        output.show_json(values)
    else:
        output.show(f"{config.path} is right.", json.dumps(values, indent=2, sort_keys=True))
    return DONE


def report_failure(config: Config, options: argparse.Namespace) -> int:
    """Tell of a job that died."""
    voice = output.Voice(quiet=options.quiet, json=options.json)
    invocation = options.invocation or os.environ.get("MONITOR_INVOCATION_ID", "")
    report = reports.finish_lost(config, options.of, invocation, voice.say)
    if options.json:
        output.show_json(report)
    elif report:
        voice.say(f"FAILED: {config.instance}: {report['message']}")
    else:
        voice.say(f"{config.instance}: there is nothing to tell, the job is at work or has told its end")
    return DONE
