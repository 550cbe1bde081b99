# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a checkout of CATMAID's source code says about itself."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from .. import command
from ..errors import CatmaidError


@dataclass(frozen=True)
class Source:
    """Where a checkout stands. ``branch`` is empty on a detached head; ``dirty`` means tracked files were changed.

    Of a checkout on another host it is told by somebody else, who may not have looked whether it is dirty.
    """

    commit: str
    describe: str
    branch: str
    dirty: bool | None


def source(path: str, user: str | None = None) -> Source:
    """Return where the git checkout or worktree at ``path`` stands; git runs as ``user`` (default: the owner)."""
    doing = f"asking git about {path}"
    if not os.path.isdir(path):
        raise CatmaidError(doing, "there is no such folder")
    if user is None and os.geteuid() == 0:
        user = _owner(path)

    def git(*args: str, ok: tuple[int, ...] = (0,)) -> command.Result:
        # The owner of a worktree, of its repository and we may be three users: git is told to trust exactly these.
        # --no-optional-locks: a question must not rewrite the index of a running instance.
        argv = ["git", "-c", "safe.directory=*", "--no-optional-locks", "-C", path, *args]
        env = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        return command.run(argv, doing=doing, user=user, env=env, ok=ok)

    top = git("rev-parse", "--show-toplevel", ok=(0, 128))
    if top.rc or os.path.realpath(top.stdout.strip()) != os.path.realpath(path):
        cause = top.stderr.strip().splitlines()[-1:] or [f"it belongs to the checkout {top.stdout.strip()}"]
        raise CatmaidError(
            doing, f"it is no git checkout ({cause[0]})", "An instance must be a git clone or worktree of CATMAID."
        )
    return Source(
        commit=git("rev-parse", "HEAD").stdout.strip(),
        describe=git("describe", "--tags", "--always").stdout.strip(),
        branch=git("symbolic-ref", "--short", "-q", "HEAD", ok=(0, 1)).stdout.strip(),
        dirty=bool(git("status", "--porcelain", "--untracked-files=no").stdout.strip()),
    )


def _owner(path: str) -> str | None:
    try:
        return pwd.getpwuid(os.stat(path).st_uid).pw_name
    except KeyError:
        return None
