# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which code serves, and what upstream has beyond it: as it was fetched last, or as it is now if that is wanted."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from ..catmaid import commits, facts
from ..catmaid.checkout import RELEASE_TAG, Checkout
from ..catmaid.commits import Commits
from ..django.project import Project
from ..errors import CatmaidError

# Where a remote's development goes on, when nobody says so: its own HEAD, then names that are usual
USUAL = ("HEAD", "master", "main")
REMOTE = "refs/remotes/origin/"


@dataclass(frozen=True)
class Remote:
    """The folder of the instance, where the code came from, and which branch of it counts."""

    root: str
    repository: str
    branch: str


def look(project: Project, remote: Remote, *, fetch: bool) -> dict[str, Any]:
    """Return where the checkout of a project stands, and how far upstream is ahead of it."""
    source = facts.source(project.path, project.os_user)
    if fetch:
        if not remote.repository:
            raise CatmaidError("asking upstream", "nobody has said where that is", "Set catmaid_repository.")
        checkout = Checkout(remote.root, remote.repository, project.os_user)
        with checkout.today(project.path) as there:
            about = {**_beyond(there, source.commit, remote.branch), "fetched": 0}
    else:
        here = commits.of_worktree(project.path, project.os_user)
        about = {**_beyond(here, source.commit, remote.branch), "fetched": _age(here)}
    return {**asdict(source), **about}


def _beyond(there: Commits, commit: str, wanted: str) -> dict[str, Any]:
    branch = next((name for name in ([wanted] if wanted else USUAL) if _is_there(there, name)), "")
    if wanted and not branch:
        remedy = "Set catmaid_status_branch to one that there is, or fetch once."
        raise CatmaidError("comparing with upstream", f"there is no branch {wanted} that was fetched", remedy)
    position = there.position(commit)
    releases = sorted(name for name in there.git("tag", "--list").split() if RELEASE_TAG.match(name))
    newer = releases[-1] if releases and releases[-1] > position.release else ""
    ahead = behind = None
    if branch:
        counted = there.git("rev-list", "--left-right", "--count", f"{commit}...{REMOTE}{branch}").split()
        ahead, behind = (int(number) for number in counted)
    return {
        "release": position.release,
        "newer_release": newer,
        "upstream": branch,
        "behind": behind,
        "ahead": ahead,
    }


def _is_there(there: Commits, branch: str) -> bool:
    return there.result("rev-parse", "--verify", "--quiet", f"{REMOTE}{branch}^{{commit}}", ok=(0, 1, 128)).rc == 0


def _age(here: Commits) -> int | None:
    """Return the seconds since something was fetched; a clone that never was has the time of its first references."""
    common = here.git("rev-parse", "--git-common-dir").strip()
    folder = os.path.join(here.path, common)
    for name in ("FETCH_HEAD", "packed-refs"):
        with suppress(FileNotFoundError):
            return max(0, int(time.time() - os.stat(os.path.join(folder, name)).st_mtime))
    return None
