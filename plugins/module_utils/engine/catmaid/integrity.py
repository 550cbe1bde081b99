# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a database of CATMAID's is sound: what PostgreSQL promises, what CATMAID takes for granted, what is derived.

CATMAID has a command of its own that looks at skeletons and meshes. Its exit code says nothing, and by an oversight it
never looks at meshes after skeletons. So it is asked for each alone, and its lines are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..django.shim import ChildError, Runner
from ..errors import CatmaidError
from ..postgres import catalog, soundness
from ..progress import Report, elapsing
from . import rebuild
from .releases import EXTENSIONS
from .staleness import READING

COMMAND = "catmaid_check_db_integrity"
SOUND, FAULT = "ok", "failed"
# What can be derived from the rest, and so mended without anybody's decision
MENDED = ("materializations", "sequences", "indexes")
MATERIALIZATIONS = ("edges", "node_statistics", "skeleton_summary")

_LINKS = """
    SELECT project_id, treenode_id, connector_id, count(*) FROM ONLY treenode_connector
     GROUP BY project_id, treenode_id, connector_id, relation_id HAVING count(*) > 1
     ORDER BY count(*) DESC, treenode_id"""
# Tables that name a skeleton beside one of its nodes, without a key that would keep the two together
BESIDE_NODES = ("treenode_connector", "review")
_STRAYED = """
    SELECT count(*), min(r.id) FROM ONLY {} r JOIN ONLY treenode t ON t.id = r.treenode_id
     WHERE r.skeleton_id <> t.skeleton_id"""
_PROJECT = re.compile(r"Checking integrity of project (\d+)")
_CHECK = re.compile(r"Check (?:that |if )?(.+?)\.\.\.(.*)")


@dataclass
class Check:
    """A question, and what was found: nothing where all is well."""

    name: str
    what: str
    faults: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """ "ok" or "failed"."""
        return FAULT if self.faults else SOUND


@dataclass
class Verdict:
    """All checks, and what is needed to mend those that can be mended."""

    checks: list[Check]
    stale: list[str]
    survey: rebuild.Survey
    sequences: list[soundness.Behind]
    indexes: list[str]

    @property
    def faults(self) -> list[str]:
        """Every fault, in words."""
        return [fault for check in self.checks for fault in check.faults]

    @property
    def mendable(self) -> list[str]:
        """Which of the checks have faults that can be mended."""
        return [check.name for check in self.checks if check.name in MENDED and check.faults]


def look(runner: Runner, report: Report | None = None) -> Verdict:
    """Look at all of it; only reads. What people write meanwhile is not seen: SQL sees one moment."""
    with elapsing(f"comparing materializations of {runner.database}", report):
        survey = rebuild.survey(runner, MATERIALIZATIONS)
    with (
        elapsing(f"looking for rows of {runner.database} that lead to nothing", report),
        runner.server.connect(runner.database, settings=READING) as connection,
    ):
        connection.set_session(isolation_level="REPEATABLE READ")
        sequences, indexes = list(soundness.behind(connection)), soundness.unfinished(connection)
        checks = [
            Check("foreign_keys", "Each foreign key leads to a row.", list(soundness.orphans(connection))),
            Check("constraints", "All constraints hold for all rows.", list(soundness.not_validated(connection))),
            Check("triggers", "All triggers fire.", list(soundness.disabled(connection))),
            Check("sequences", "No sequence gives a number that is in use.", list(_behind(sequences))),
            Check(
                "indexes",
                "All indexes are finished.",
                [f"index {name} of {table} is not used" for name, table in indexes],
            ),
            Check("extensions", "Extensions are there, and as new as their libraries.", list(_extensions(connection))),
            Check("connector_links", "No node is linked twice to a connector in one way.", list(twice(connection))),
            Check(
                "skeletons_of_nodes",
                "Links and reviews name the skeleton of their node.",
                [text for table in BESIDE_NODES for text, _rows in strayed(connection, table)],
            ),
        ]
    checks.append(
        Check(
            "materializations",
            "Derived tables say what their sources say.",
            [f"{finding.table}: {finding.reason}" for finding in survey.findings],
        )
    )
    with elapsing(f"asking CATMAID about the skeletons and meshes of {runner.database}", report):
        checks.append(Check("skeletons", "Skeletons are trees.", own_words(_ask(runner, tracing=True, volumes=False))))
        checks.append(Check("meshes", "Meshes are of triangles.", own_words(_ask(runner, tracing=False, volumes=True))))
    return Verdict(checks, survey.stale, survey, sequences, [name for name, _table in indexes])


def mend(runner: Runner, found: Verdict, report: Report | None = None) -> list[str]:
    """Mend what can be derived; return what could not be brought back."""
    with runner.server.connect(runner.database) as connection:
        for sequence in found.sequences:
            soundness.advance(connection, sequence)
    soundness.reindex(runner.server, runner.database, found.indexes)
    if not found.stale:
        return []
    return rebuild.rebuild(runner, found.stale, found.survey, 30, report=report)[1]


def own_words(text: str) -> list[str]:
    """Return the faults that CATMAID's command has printed."""
    faults, project, asked = [], "", ""
    for line in text.splitlines():
        found = _PROJECT.match(line)
        if found:
            project = found.group(1)
        verdict = line
        found = _CHECK.match(line)
        if found:
            asked, verdict = found.groups()  # on this line, or on one of its own
        if verdict.startswith("FAILED"):
            said = verdict.partition(":")[2].strip()
            faults.append(f"project {project}: {said} (check of CATMAID: {asked})")
    return faults


def _ask(runner: Runner, *, tracing: bool, volumes: bool) -> str:
    """Return what CATMAID's command prints, whatever it thinks of itself.

    By another oversight a mesh that is wrong ends it: it has said so by then, but looks at no further project.
    """
    try:
        said = runner.command([COMMAND], tracing=tracing, volumes=volumes)
    except ChildError as error:
        last = error.events[-1] if error.events else {}
        said = str(last.get("output", ""))
        if last.get("type") != "SystemExit" and not own_words(said):
            raise
    if "Check" not in said and _has_projects(runner):
        raise CatmaidError(f"running {COMMAND} of {runner.project.path}", "it printed no check at all", said[-500:])
    return said


def _has_projects(runner: Runner) -> bool:
    with runner.server.connect(runner.database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM project)")
        return bool(cursor.fetchone()[0])


def _behind(sequences: Iterable[soundness.Behind]) -> Iterator[str]:
    for one in sequences:
        yield f"sequence {one.sequence} is at {one.last}, and {one.column} has {one.highest}"


def _extensions(connection: Any) -> Iterator[str]:
    there = {one["name"]: one["version"] for one in catalog.extensions(connection)}
    for name in EXTENSIONS:
        if name not in there:
            yield f"extension {name} is not there"
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, default_version FROM pg_available_extensions")
        for name, newest in cursor.fetchall():
            if name in there and there[name] != newest:
                yield f"extension {name} is {there[name]}, and its library on the host {newest}"


def twice(connection: Any) -> Iterator[str]:
    """Tell whether links are there more than once."""
    with connection.cursor() as cursor:
        cursor.execute(_LINKS)
        links: Sequence[tuple[int, int, int, int]] = cursor.fetchall()
    if links:
        project, node, connector, times = links[0]
        example = f"treenode {node} and connector {connector} of project {project} {times} times"
        yield f"{len(links)} links are there more than once, for instance {example}"


def strayed(connection: Any, table: str) -> Iterator[tuple[str, int]]:
    """Tell whether rows name another skeleton than that of their node, and how many do."""
    with connection.cursor() as cursor:
        cursor.execute(_STRAYED.format(table))
        rows, example = cursor.fetchone()
    if rows:
        yield f"{rows} rows of {table} name another skeleton than their treenode does: id {example} for instance", rows
