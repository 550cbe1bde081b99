# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commits of CATMAID and what lies between two of them, read from a repository without a work tree. Writes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .. import command

RELEASES = "[0-9][0-9][0-9][0-9].[0-9][0-9].[0-9][0-9]"
_DESCRIBED = re.compile(r"^(?P<release>\d{4}\.\d{2}\.\d{2})-(?P<ahead>\d+)-g[0-9a-f]+$")
FIELD = "\x1f"


@dataclass(frozen=True)
class Position:
    """Where a commit is: so many commits after a release. ``release`` is empty when none is behind it."""

    commit: str
    describe: str
    release: str
    ahead: int

    @property
    def is_release(self) -> bool:
        """Whether it is a release itself."""
        return bool(self.release) and self.ahead == 0


@dataclass(frozen=True)
class Commit:
    """One commit as people see it."""

    commit: str
    date: str
    author: str
    subject: str


@dataclass(frozen=True)
class Way:
    """The commits from one to another: those that come and those that go, and the newest of each."""

    coming: int
    going: int
    newest_coming: list[Commit]
    newest_going: list[Commit]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class Commits:
    """A repository at ``path``: bare, or a work tree's ``.git``; git runs as ``user``."""

    def __init__(self, path: str, user: str | None = None) -> None:
        self.path = path
        self.user = user

    def git(self, *args: str, ok: Sequence[int] = (0,)) -> str:
        """Return what git says, nothing when its code is another accepted one than 0."""
        return self.result(*args, ok=ok).stdout

    def result(self, *args: str, ok: Sequence[int] = (0,)) -> command.Result:
        """Run git; of repositories of other owners it is told to trust exactly this one."""
        env = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        return command.run(
            ["git", "--git-dir", self.path, *args],
            doing=f"running git {args[0]} in {self.path}",
            user=self.user,
            env=env,
            ok=ok,
        )

    def has(self, commit: str) -> bool:
        """Tell whether a commit is there."""
        return self.result("cat-file", "-e", f"{commit}^{{commit}}", ok=(0, 1, 128)).rc == 0

    def contains(self, commit: str, earlier: str) -> bool:
        """Tell whether a commit has another one behind it, or is it."""
        return self.result("merge-base", "--is-ancestor", earlier, commit, ok=(0, 1)).rc == 0

    def position(self, commit: str) -> Position:
        """Say where a commit is."""
        full = self.git("rev-parse", "--verify", f"{commit}^{{commit}}").strip()
        describe = self.git("describe", "--always", full).strip()
        by_release = self.git("describe", "--tags", "--long", "--match", RELEASES, full, ok=(0, 128)).strip()
        match = _DESCRIBED.match(by_release)
        return Position(full, describe, match["release"] if match else "", int(match["ahead"]) if match else 0)

    def way(self, old: str, new: str, most: int) -> Way:
        """Return the commits between two, at most so many of each side by name."""
        going, coming = self.git("rev-list", "--left-right", "--count", f"{old}...{new}").split()
        return Way(int(coming), int(going), self._log(f"{old}..{new}", most), self._log(f"{new}..{old}", most))

    def local(self, published: str, head: str, target: str) -> list[Commit]:
        """Return the commits that were made on top of ``published`` and that ``target`` lacks, the oldest first.

        One whose change the target has under another name is none of them.
        """
        lines = self.git(
            "log",
            "--cherry-pick",
            "--right-only",
            "--no-merges",
            "--reverse",
            *_format(),
            f"{target}...{head}",
            f"^{published}",
        )
        return _commits(lines)

    def show(self, commit: str, path: str) -> str:
        """Return a file of a commit; nothing when it has none there."""
        return self.git("show", f"{commit}:{path}", ok=(0, 128))

    def files(self, commit: str, folder: str) -> list[str]:
        """Return the paths of a commit's files below a folder."""
        listed = self.git("ls-tree", "-r", "-z", "--name-only", commit, "--", folder)
        return [name for name in listed.split("\0") if name]

    def _log(self, what: str, most: int) -> list[Commit]:
        return _commits(self.git("log", f"--max-count={most}", *_format(), what))


def of_worktree(path: str, user: str | None) -> Commits:
    """Return the repository that a work tree belongs to, with the work tree's own HEAD."""
    git_dir = os.path.join(path, ".git")
    if os.path.isfile(git_dir):
        with open(git_dir, encoding="utf-8") as file:
            git_dir = file.read().partition("gitdir:")[2].strip()
    return Commits(git_dir, user)


def _format() -> list[str]:
    # A NUL after each: an author's name may hold anything else
    return ["-z", f"--format=%H{FIELD}%cs{FIELD}%an{FIELD}%s"]


def _commits(listed: str) -> list[Commit]:
    return [Commit(*line.split(FIELD, 3)) for line in listed.split("\0") if line]
