# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether CATMAID works on a database: its own pages, compared with what SQL says and with what the live one answers.

The pages are those that all releases since 2019 have. The live answer is that of the same release on the live
database, in a session that cannot write: the server that people use would answer strangers nothing, and a login there
would write to it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..django.shim import Runner
from ..errors import CatmaidError

AROUND = 500  # nanometres to each side of the node that is looked at
BIGGEST = 10000  # nodes of the skeleton that is asked for: its page is to stay small

WAITING = {"lock_timeout": "10s"}  # as the pages themselves, and no longer: somebody may hold a table for hours
PROJECTS = "SELECT id FROM project WHERE id > 0 ORDER BY id"  # CATMAID's own has a negative number

# By the summary, which is indexed; the numbers in it are not believed.
SKELETON = """
SELECT s.project_id, s.skeleton_id FROM catmaid_skeleton_summary s
 WHERE s.num_nodes BETWEEN 1 AND %s AND EXISTS (SELECT FROM treenode t WHERE t.skeleton_id = s.skeleton_id)
 ORDER BY s.num_nodes DESC, s.skeleton_id LIMIT 1"""

NODES = """
SELECT id, parent_id, location_x, location_y, location_z FROM treenode
 WHERE project_id = %s AND skeleton_id = %s ORDER BY id"""

KNOWN = """
SELECT id, parent_id, location_x, location_y, location_z FROM treenode
 WHERE project_id = %s AND id = ANY(%s) ORDER BY id"""

# Compared with the live database: what people change there since the backup is no fault of the backup. By names, as a
# restore puts columns that a table has got later and by inheritance at another place.
STATE = """
SELECT count(*), md5(string_agg(to_jsonb(t)::text, '|' ORDER BY id)) FROM treenode t
 WHERE project_id = %s AND id = ANY(%s)"""

Rows = dict[int, tuple[Any, ...]]


@dataclass(frozen=True)
class Sample:
    """What SQL says of a database: its projects, and a skeleton with the node in its middle."""

    projects: list[int]
    project: int = 0
    skeleton: int = 0
    nodes: Rows = field(default_factory=dict)

    @property
    def middle(self) -> int:
        """The node to look at."""
        return sorted(self.nodes)[len(self.nodes) // 2]

    @property
    def pages(self) -> dict[str, str]:
        """The pages to ask for, by what each is."""
        found = {"version": "/version", "start page": "/", "projects": "/projects/"}
        if self.nodes:
            x, y, z = self.nodes[self.middle][1:]
            box = (
                f"left={x - AROUND}&top={y - AROUND}&z1={z - AROUND}"
                f"&right={x + AROUND}&bottom={y + AROUND}&z2={z + AROUND}"
            )
            found["skeleton"] = f"/{self.project}/skeletons/{self.skeleton}/compact-detail"
            found["node list"] = f"/{self.project}/node/list?{box}"
        return found


@dataclass(frozen=True)
class Outcome:
    """What was asked and found right. ``compared`` are pages that the live database answers alike."""

    version: str
    pages: list[str]
    projects: int
    nodes: int
    compared: list[str]


def run(scratch: Runner, live: Runner | None) -> Outcome:
    """Ask the application on ``scratch``; raise unless all its answers are right."""
    doing = f"asking {scratch.project.path} on database {scratch.database}"
    known = sample(scratch)
    answers = _answers(scratch, known, doing, read_only=False)
    problems = [
        *_wrong_projects(answers, known),
        *_wrong_skeleton(answers, known),
        *_wrong_nodes(scratch, answers, known),
    ]
    compared: list[str] = []
    if live and not problems and known.nodes:
        compared, problems = _against(scratch, live, answers, known)
    if problems:
        raise CatmaidError(doing, "; ".join(problems[:5]), "Do not rely on this backup; look at the one before it.")
    version = answers["version"]
    return Outcome(
        version=str(version.get("SERVER_VERSION", "")) if isinstance(version, Mapping) else "",
        pages=list(known.pages.values()),
        projects=len(known.projects),
        nodes=len(known.nodes),
        compared=compared,
    )


def live(runner: Runner) -> None:
    """Ask a release on the live database, in a session that cannot write; raise unless all its answers are right."""
    doing = f"asking {runner.project.path} on database {runner.database}"
    known = sample(runner)
    answers = _answers(runner, known, doing, read_only=True)
    problems = [
        *_wrong_projects(answers, known),
        *_wrong_skeleton(answers, known),
        *_wrong_nodes(runner, answers, known),
    ]
    if problems:
        raise CatmaidError(doing, "; ".join(problems[:5]), "The release does not work with it.")


def sample(runner: Runner) -> Sample:
    """Choose what to ask for."""
    with runner.server.connect(runner.database, settings=WAITING) as connection, connection.cursor() as cursor:
        cursor.execute(PROJECTS)
        projects = [row[0] for row in cursor.fetchall()]
        cursor.execute(SKELETON, [BIGGEST])
        row = cursor.fetchone()
        if not row:
            return Sample(projects)
        cursor.execute(NODES, row)
        return Sample(projects, row[0], row[1], {found[0]: tuple(found[1:]) for found in cursor.fetchall()})


def _answers(runner: Runner, known: Sample, doing: str, *, read_only: bool) -> dict[str, Any]:
    """Return the answers by what each is: texts for pages that people read, values for the others."""
    told = runner.pages(list(known.pages.values()), read_only=read_only)["answers"]
    found: dict[str, Any] = {}
    for what, answer in zip(known.pages, told):
        page, status = answer["page"].partition("?")[0], answer["status"]
        if status != 200:
            raise CatmaidError(
                doing, f"{page} answers {status}{_because(answer)}", "The release does not work with it."
            )
        found[what] = answer["body"]
        if what == "start page":
            continue
        try:
            found[what] = json.loads(answer["body"])
        except ValueError as error:
            raise CatmaidError(doing, f"{page} answers what is no JSON: {answer['body'][:80]!r}") from error
        # CATMAID tells its errors with status 200.
        if isinstance(found[what], Mapping) and found[what].get("error"):
            raise CatmaidError(doing, f"{page} answers an error: {str(found[what]['error'])[:300]}")
    return found


def _because(answer: Mapping[str, Any]) -> str:
    reason = answer["error"] or (answer["body"] if answer["body"].startswith("{") else "")
    return f" ({' '.join(reason.split())[:300]})" if reason else ""


def _wrong_projects(answers: Mapping[str, Any], known: Sample) -> list[str]:
    told = sorted(entry["id"] for entry in answers["projects"] if entry["id"] > 0)
    if told == known.projects:
        return []
    return [f"/projects/ tells projects {_some(told)}, there are {_some(known.projects)}"]


def _wrong_skeleton(answers: Mapping[str, Any], known: Sample) -> list[str]:
    if not known.nodes:
        return []
    told = {node[0]: (node[1], *node[3:6]) for node in answers["skeleton"][0]}
    if _alike(told, known.nodes):
        return []
    missing, added = known.nodes.keys() - told.keys(), told.keys() - known.nodes.keys()
    what = f"lacks {len(missing)} of its {len(known.nodes)} nodes and tells {len(added)} others"
    if not missing and not added:
        what = "tells its nodes elsewhere than they are"
    return [f"the page of skeleton {known.skeleton} {what}"]


def _wrong_nodes(runner: Runner, answers: Mapping[str, Any], known: Sample) -> list[str]:
    if not known.nodes:
        return []
    told = {node[0]: tuple(node[1:5]) for node in answers["node list"][0]}
    if known.middle not in told and not answers["node list"][3]:
        return [f"the node list of project {known.project} lacks node {known.middle} in the middle of its box"]
    with runner.server.connect(runner.database, settings=WAITING) as connection, connection.cursor() as cursor:
        cursor.execute(KNOWN, [known.project, list(told)])
        there = {row[0]: tuple(row[1:]) for row in cursor.fetchall()}
    wrong = [node for node, about in told.items() if not _alike({node: about}, {node: there.get(node, ())})]
    return [f"the node list of project {known.project} tells node {wrong[0]} otherwise than its table"] if wrong else []


def _against(
    scratch: Runner, live: Runner, answers: Mapping[str, Any], known: Sample
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Compare with the live database, where it has the same rows; return which pages, and what differs."""
    nodes = {"skeleton": sorted(known.nodes), "node list": sorted(node[0] for node in answers["node list"][0])}
    same = [what for what, ids in nodes.items() if _state(scratch, known, ids) == _state(live, known, ids)]
    if answers["node list"][3] and "node list" in same:
        same.remove("node list")  # which nodes are told when there are too many is nobody's promise
    if not same:
        return [], []
    there = _answers(live, known, f"asking {live.project.path} on database {live.database}", read_only=True)
    different = [what for what in same if _sorted(answers[what][0]) != _sorted(there[what][0])]
    return same, [
        f"the live database {live.database} answers {known.pages[what].partition('?')[0]} otherwise, though its rows "
        "are the same: its derived tables may be stale"
        for what in different
    ]


def _state(runner: Runner, known: Sample, nodes: list[int]) -> tuple[Any, ...]:
    with runner.server.connect(runner.database) as connection, connection.cursor() as cursor:
        cursor.execute(STATE, [known.project, nodes])
        return tuple(cursor.fetchone())


def _alike(told: Rows, known: Rows) -> bool:
    """Compare nodes: parents exactly, places as exactly as the columns of older releases hold them."""
    return told.keys() == known.keys() and all(
        told[node][:1] == known[node][:1]
        and len(told[node]) == len(known[node])
        and all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-3) for a, b in zip(told[node][1:], known[node][1:]))
        for node in told
    )


def _sorted(rows: list[Any]) -> list[str]:
    return sorted(json.dumps(row) for row in rows)


def _some(numbers: list[int]) -> str:
    listed = ", ".join(str(number) for number in numbers[:10]) or "none"
    return f"{listed} and {len(numbers) - 10} more" if len(numbers) > 10 else listed
