# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commits that a lab has made on its host, and how they come to another version of CATMAID.

They are put on it in a work tree of its own, so that the one that serves is never touched: where they do not fit,
everything is as before. The same commits on the same version always give the same commit, whoever asks when.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from .. import command
from ..errors import CatmaidError
from .commits import Commit, Commits

REFUSE, REBASE, MERGE = "refuse", "rebase", "merge"
CHOICES = (REFUSE, REBASE, MERGE)
REF = "refs/catmaid-admin/local"


@dataclass(frozen=True)
class Local:
    """``head`` is what serves, ``published`` the version that the commits were made on, ``how`` one of CHOICES.

    ``tree`` is where they were made: a work tree of our clone, or a clone by itself that somebody has made by hand.
    """

    head: str
    published: str
    how: str
    tree: str


def join(commits: Commits, own: Local, target: str) -> str:
    """Return the commit that has the local ones on ``target``: that itself when there are none."""
    there = commits.local(own.published, own.head, target)
    if not there:
        return target
    if commits.contains(own.head, target) and (target == own.published or not commits.contains(own.published, target)):
        return own.head  # they are on it already
    if own.how == REFUSE:
        raise CatmaidError(
            "leaving the release that serves",
            f"{len(there)} commits were made on this host ({listed(there)}) and would be left behind",
            "Take them along: catmaid_upgrade_local_commits: rebase (or merge). Or push them to a repository of your "
            "own, and name that as catmaid_repository.",
        )
    # The time is theirs, not ours, so that a second try gives the same commit.
    dates = commits.git("log", "--no-walk", "--format=%ct", own.head, target).split()
    newest = f"{max(int(date) for date in dates)} +0000"
    who = {"NAME": "catmaid.admin", "EMAIL": "catmaid.admin@localhost"}
    env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    env.update(GIT_AUTHOR_DATE=newest, GIT_COMMITTER_DATE=newest)
    tree = f"{commits.path.rstrip('/')}.joining"
    shutil.rmtree(tree, ignore_errors=True)
    commits.git("worktree", "prune")
    try:
        commits.git("worktree", "add", "--quiet", "--detach", tree, target if own.how == MERGE else own.head)
        if own.how == MERGE:
            argv = ["merge", "--quiet", "--no-ff", "-m", f"Merge {len(there)} local commits", own.head]
        else:
            # Not --quiet: what does not fit is told on the standard output.
            argv = ["rebase", "--empty=drop", "--committer-date-is-author-date", "--onto", target, own.published]
        said = _in_tree(commits, tree, env, *argv)
        if said.rc:
            raise _conflict(commits, tree, own, there, said)
        commit = _in_tree(commits, tree, env, "rev-parse", "HEAD").stdout.strip()
        commits.git("update-ref", f"{REF}/{commit[:12]}", commit)  # the work tree that holds it goes away
        return commit
    finally:
        shutil.rmtree(tree, ignore_errors=True)
        commits.git("worktree", "prune")


def listed(there: list[Commit], most: int = 5) -> str:
    """Return commits in one line."""
    names = [f"{commit.commit[:9]} {commit.subject}" for commit in there[-most:]]
    return "; ".join(names + ([f"and {len(there) - most} more"] if len(there) > most else []))


def _conflict(commits: Commits, tree: str, own: Local, there: list[Commit], said: command.Result) -> CatmaidError:
    names = _in_tree(commits, tree, {}, "diff", "--name-only", "--diff-filter=U").stdout.split("\n")
    conflicting = [name for name in names if name]
    told = f"{said.stdout}\n{said.stderr}".strip().splitlines()
    cause = f"conflicts in {', '.join(conflicting)}" if conflicting else " | ".join(told[-3:])
    return CatmaidError(
        f"putting {len(there)} local commits ({listed(there)}) on the wanted version by {own.how}",
        cause,
        "Nothing was changed. Solve it in a clone of your own, push the result, and name that repository and branch.",
        conflicts=conflicting,
    )


def _in_tree(commits: Commits, tree: str, env: dict[str, str], *args: str) -> command.Result:
    trust = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    # No hook and no signature: those are for people.
    plain = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "advice.detachedHead=false"]
    return command.run(
        ["git", *plain, "-C", tree, *args],
        doing=f"running git {args[0]} in {os.path.basename(tree)}",
        user=commits.user,
        env={**trust, **env},
        ok=None,
    )
