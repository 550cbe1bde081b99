# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of catmaid-admin for backups that are there: prune, copy, hold, diff."""

from __future__ import annotations

import argparse
import os

from ..backups import comparison, copies, holds, job, prune, status, store
from ..backups.config import Config
from ..errors import CatmaidError
from . import chosen, output
from .commands import DONE, FAILED


def run_prune(config: Config, options: argparse.Namespace) -> int:
    """Let old backups go."""
    told = {}
    for name in chosen.databases(config, options):
        request = job.pruning(config, name, chosen.who())
        prepared = prune.check(request) if options.dry_run else prune.run(request)
        decision = prepared.decision
        told[name] = {
            "gone": prune.told_gone(prepared),
            "kept": decision.kept,
            "refused": decision.refused,
            "warnings": decision.warnings,
        }
        if options.json:
            continue
        for warning in filter(None, [decision.refused, *decision.warnings]):
            output.show(f"{name}: {warning}")
        for one in prune.told_gone(prepared):
            output.show(f"{one['id']}: {'would go' if options.dry_run else 'removed'}, {one['why']}")
        for kept, reasons in decision.kept.items():
            output.show(f"{kept}: stays, {'; '.join(reasons)}")
    if options.json:
        output.show_json(told)
    return DONE


def copy(config: Config, options: argparse.Namespace) -> int:
    """Copy to the targets."""
    voice = output.Voice(json=options.json)
    if not config.targets:
        raise CatmaidError("copying backups", f"{config.path} names no targets", "Write them into targets.")
    progress = voice.progress()
    told = {
        name: job.copy(config, name, chosen.who(), voice.say, check=options.dry_run, progress=progress)
        for name in chosen.databases(config, options)
    }
    if options.json:
        output.show_json({name: [copies.told(outcome) for outcome in outcomes] for name, outcomes in told.items()})
    failed = False
    for name, outcomes in told.items():
        for outcome in outcomes:
            failed = failed or not outcome.ok
            if not outcome.ok:
                voice.say(f"FAILED: {name}: {outcome.target}: {outcome.message}")
            elif not options.json:
                would = "would be " if options.dry_run else ""
                numbers = f"{len(outcome.copied)} {would}copied, {len(outcome.removed)} {would}removed"
                output.show(f"{name}: {outcome.target}: {numbers}")
    return FAILED if failed else DONE


def hold(config: Config, options: argparse.Namespace) -> int:
    """Decide about one backup."""
    one = chosen.one(config, options.id, options.database)
    folder = os.path.dirname(one.path)
    what = holds.ACCEPTED if options.accept else holds.HELD
    if options.release:
        holds.forget(folder, what, one.id)
    else:
        holds.note(folder, what, one.id, options.reason, chosen.who())
    status.publish(folder)
    decided = holds.load(folder).entries.get(what, {}).get(one.id)
    if options.json:
        output.show_json({"id": one.id, what: decided})
    else:
        output.show(f"{one.id}: {what if decided else f'not {what} any more'}")
    return DONE


def diff(config: Config, options: argparse.Namespace) -> int:
    """Compare two backups."""
    backups = store.listing(config.dest, options.database).backups
    old, new = comparison.choose(backups, options.before, options.after)
    found = comparison.compare(old.manifest, new.manifest)
    if options.json:
        output.show_json(found)
        return DONE
    output.show(f"from {old.id}", f"to   {new.id}")
    for name, about in (("bytes", found["bytes"]), ("rows", found["rows"]), *found["versions"].items()):
        output.show(f"{name}: {about['before']} -> {about['after']}")
    for word, names in (("+", found["migrations_added"]), ("-", found["migrations_removed"])):
        output.show(*(f"{word} migration {name}" for name in names))
    rows: list[tuple[str, ...]] = [("TABLE", "BEFORE", "AFTER", "CHANGE", "CONTENTS")]
    for table in found["tables"]:
        numbers = (table["before"], table["after"], table["change"])
        texts = ["-" if number is None else str(number) for number in numbers]
        rows.append((f"{table['schema']}.{table['name']}", *texts, table["contents"]))
    output.show(*(output.table(rows) if len(rows) > 1 else []), f"{found['unchanged']} tables are equal")
    return DONE
