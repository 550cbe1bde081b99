# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upgrade means for this instance, before anything is touched. Reads only."""

from __future__ import annotations

import os
import pwd
import shlex
from dataclasses import dataclass, field, replace

from ..catmaid import facts
from ..catmaid.checkout import Checkout, Release
from ..catmaid.commits import Commit, Commits, Position, Way
from ..catmaid.local import Local
from ..django import migrations as django
from ..django.project import Project
from ..django.shim import Runner
from ..errors import CatmaidError
from . import history, migrations, notes, prediction, rehearsed, requirements, rules
from . import host as hosts
from .host import Host
from .known import RULES
from .migrations import Step
from .notes import Section
from .rehearsed import Rehearsal
from .request import COPY
from .requirements import Change
from .rules import Finding

COMMITS_TOLD = 30


@dataclass(frozen=True)
class Wish:
    """What is wanted: a version of a repository, for the instance below ``root`` whose ``project`` serves.

    ``state_dir`` is where a rehearsal has kept what it has found, ``interpreter_version`` what an interpreter will be
    that is not there yet.
    """

    project: Project
    repository: str
    version: str
    root: str
    interpreter: str
    local_commits: str
    protect: str = COPY
    backup_dir: str = ""
    state_dir: str = ""
    interpreter_version: str = ""


@dataclass
class Plan:
    """The way from the release that serves to the wanted one.

    ``pending`` says where ``steps`` are known from, "files" or "Django"; ``problems`` are what forbids the upgrade.
    ``new`` is the version as it is published, ``release`` has the local commits on it.
    """

    old: Position
    new: Position
    release: Release
    needed: bool
    host: Host
    prepared: bool = False
    way: Way | None = None
    local: list[Commit] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    packages: list[Change] = field(default_factory=list)
    pending: str = "files"
    steps: list[Step] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    rehearsal: Rehearsal | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def to_acknowledge(self) -> str:
        """The version whose notes have to be acknowledged; nothing when they ask for nothing."""
        asks = notes.to_do(self.sections) or any(finding.level == rules.ACTION for finding in self.findings)
        return self.new.describe if asks else ""


def read(runner: Runner, wish: Wish) -> Plan:
    """Return the plan. Raises only where there is none to be had, as for a version that does not exist."""
    checkout = Checkout(wish.root, wish.repository, wish.project.os_user)
    source = facts.source(wish.project.path, wish.project.os_user)
    upstream = checkout.record(os.path.dirname(wish.project.path)).get("upstream", source.commit)
    release = checkout.resolve(wish.version)
    host = hosts.look(runner.server, runner.database, wish.project, wish.root, wish.interpreter)
    host.python = host.python or hosts.version(wish.interpreter_version)
    hosts.look_at_protection(host, wish.protect, wish.backup_dir)
    problems: list[str] = []
    unapplied = [] if host.postgis.problem else _unapplied(runner, problems)
    with checkout.scratch(release.commit, wish.project.path) as commits:
        old, new = commits.position(source.commit), commits.position(release.commit)
        plan = Plan(old, new, release, release.commit != upstream or bool(unapplied), host, problems=problems)
        if plan.needed:
            own = Local(source.commit, upstream, wish.local_commits, wish.project.path)
            _local(plan, commits, checkout, own, wish.project.path)
            plan.prepared = checkout.is_prepared(plan.release)
            _read_between(plan, commits)
            _migrations(plan, commits, runner)
            _time(plan, wish.state_dir)
            _rehearsal(plan, runner.database, wish.state_dir, source.commit)
    return plan


def _unapplied(runner: Runner, problems: list[str]) -> list[str]:
    """Return what the code that serves has not applied itself, as after an upgrade that was ended by force."""
    try:
        return django.plan(runner).unapplied
    except CatmaidError as error:
        problems.append(str(error))
        return []


def _local(plan: Plan, commits: Commits, checkout: Checkout, own: Local, source: str) -> None:
    """Look at what was done to the source code on this host, and whether it goes along."""
    edited = checkout.edited(source)
    if edited:
        owner = pwd.getpwuid(os.stat(source).st_uid).pw_name
        plan.edited = edited
        plan.problems.append(
            f"Files of CATMAID were edited in {source}: {', '.join(edited[:8])}. An upgrade would leave these changes "
            "behind. Commit them on a branch of your own repository and upgrade to that, or undo them: see them by "
            f"sudo -u {owner} git -C {shlex.quote(source)} status."
        )
    plan.local = commits.local(own.published, own.head, plan.release.upstream)
    try:
        plan.release = checkout.joined(plan.release, own, commits)
    except CatmaidError as error:
        plan.problems.append(str(error))


def _read_between(plan: Plan, commits: Commits) -> None:
    """Compare the two commits, and what their way wants with the host."""
    old, new = plan.old, plan.new
    plan.way = commits.way(old.commit, new.commit, COMMITS_TOLD)
    texts = {name: (commits.show(old.commit, name), commits.show(new.commit, name)) for name in notes.FILES}
    plan.sections = notes.between(texts, old, new)
    coming = [notes.is_coming(text) for text in texts["CHANGELOG.md"]]
    keys = rules.key(old, coming[0]), rules.key(new, coming[1])
    plan.findings = [*rules.of_target(new, coming[1], plan.host), *rules.evaluate(RULES, *keys, plan.host)]
    plan.problems += [finding.line() for finding in plan.findings if finding.level == rules.ERROR]
    plan.packages = requirements.changes(commits, old.commit, new.commit)


def _migrations(plan: Plan, commits: Commits, runner: Runner) -> None:
    """Say which migrations are to come: Django itself knows all of them as soon as the version is prepared."""
    recorded = django.recorded(runner)
    unknown = migrations.unknown(commits, plan.new.commit, recorded)
    if unknown:
        plan.problems.append(
            f"The database has {len(unknown)} migrations that {plan.new.describe} lacks ({', '.join(unknown[:8])}): it "
            "is older than what serves. Restore a backup of that release instead."
        )
    plan.steps = migrations.steps(commits, plan.new.commit, recorded)
    env = os.path.join(plan.release.path, "env")
    if os.path.exists(os.path.join(env, f"complete-{plan.release.commit}")) and not plan.problems:
        there = replace(runner.project, path=plan.release.source, virtualenv=env)
        try:
            asked = django.plan(replace(runner, project=there)).steps
        except CatmaidError as error:
            plan.problems.append(str(error))
            return
        plan.steps = [Step(step["app"], step["name"], list(step["operations"])) for step in asked]
        plan.pending = "Django"


def _time(plan: Plan, state_dir: str) -> None:
    """Say how long people will wait."""
    lines = history.read(state_dir) if state_dir else []
    labels = [step.label for step in plan.steps]
    about = prediction.estimate(lines, labels, plan.host.protect, plan.host.database_bytes)
    plan.seconds, plan.sources = about.seconds, about.sources


def _rehearsal(plan: Plan, database: str, state_dir: str, serving: str) -> None:
    """Tell what a rehearsal of this very upgrade has found, which is more than a guess."""
    found = rehearsed.matching(state_dir, database, serving, plan.release.commit)
    if found and plan.pending == "Django" and sorted(found.steps) == sorted(step.label for step in plan.steps):
        plan.rehearsal = found
        told = found.predicted
        restart = told["stop"] + told["start"] + told["verify"]
        measured = {"copy": told["protect"], "migrate": told["migrate"], "restart": round(restart, 1)}
        plan.seconds = {**measured, "downtime": told["downtime"]}
        plan.sources = {**plan.sources, "migrate": "as rehearsed"}
