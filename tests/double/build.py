# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the git repository of the CATMAID double: python3 build.py DEST [--bare]

The same sources always give the same commits, so a test may name one by its hash.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

RELEASES = Path(__file__).resolve().parent / "releases"

IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "The double", "EMAIL": "double@example.org"}.items()
}
# Nobody's own git configuration may change what is built.
ISOLATION = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "TZ": "UTC", "LC_ALL": "C"}


@dataclass(frozen=True)
class Commit:
    """One commit: a folder of RELEASES laid over the tree, or replaced words in one file."""

    message: str
    date: str
    overlay: str = ""
    branch: str = "main"
    start: str = ""  # where a new branch begins
    tag: str = ""
    replace: tuple[str, str, str] = ("", "", "")


def name_section(release: str, date: str) -> Commit:
    """CATMAID's habit: UPDATE.md at a release's tag says "Under development", and the name comes a commit later."""
    return Commit(f"Name the notes of {release}", date, replace=("UPDATE.md", "## Under development", f"## {release}"))


HISTORY = (
    Commit("Start the double", "2030-01-15T12:00:00", "base", tag="2030.01.15"),
    name_section("2030.01.15", "2030-01-16T12:00:00"),
    Commit("Greet by name", "2030-02-01T12:00:00", "maintenance", "maintenance/2030.01.15", "2030.01.15"),
    Commit(
        "Explain the maintenance branch",
        "2030-02-02T12:00:00",
        branch="maintenance/2030.01.15",
        replace=(
            "CHANGELOG.md",
            "## 2030.01.15",
            "## Maintenance updates\n\n- The page greets by name.\n\n\n## 2030.01.15",
        ),
    ),
    Commit("Release 2030.06.20", "2030-06-20T12:00:00", "2030.06.20", tag="2030.06.20"),
    Commit("Release 2030.09.10", "2030-09-10T12:00:00", "2030.09.10", "broken", "2030.06.20", "2030.09.10"),
    Commit("Greet with an error", "2030-09-20T12:00:00", "broken-start", "broken-start", "2030.06.20"),
    name_section("2030.06.20", "2030-06-21T12:00:00"),
    Commit("Release 2030.12.21", "2030-12-21T12:00:00", "2030.12.21", tag="2030.12.21"),
    name_section("2030.12.21", "2030-12-22T12:00:00"),
    Commit("Start the next release", "2031-02-01T12:00:00", "dev", "dev", "main"),
)


class Repository:
    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *arguments: str, **variables: str) -> None:
        env = {**os.environ, **ISOLATION, **variables}
        subprocess.run(["git", "-C", str(self.path), *arguments], check=True, env=env, stdout=subprocess.DEVNULL)

    def lay(self, overlay: Path) -> None:
        """Apply the folder's changes.patch, then copy its other files."""
        patch = overlay / "changes.patch"
        if patch.exists():
            self.git("apply", "--whitespace=nowarn", str(patch))
        unwanted = shutil.ignore_patterns("changes.patch", "__pycache__", "*.pyc")
        shutil.copytree(overlay, self.path, dirs_exist_ok=True, ignore=unwanted)

    def add(self, commit: Commit) -> None:
        if commit.start:
            self.git("checkout", "-q", "-b", commit.branch, commit.start)
        elif commit.message != HISTORY[0].message:
            self.git("checkout", "-q", commit.branch)
        if commit.overlay:
            self.lay(RELEASES / commit.overlay)
        name, old, new = commit.replace
        if name:
            text = (self.path / name).read_text()
            if old not in text:
                raise SystemExit(f"{commit.message}: there is no {old!r} in {name}")
            (self.path / name).write_text(text.replace(old, new, 1))
        dates = {"GIT_AUTHOR_DATE": f"{commit.date}+0000", "GIT_COMMITTER_DATE": f"{commit.date}+0000"}
        self.git("add", "--all")
        self.git("commit", "-q", "--no-gpg-sign", "-m", commit.message, **IDENTITY, **dates)
        if commit.tag:
            self.git("tag", "-a", "-m", f"Release {commit.tag}", commit.tag, **IDENTITY, **dates)


def build(destination: Path, bare: bool = False) -> None:
    """Make the repository, with a checkout of main unless it is bare."""
    if destination.exists() and any(destination.iterdir()):
        raise SystemExit(f"{destination} exists and is not empty")
    with tempfile.TemporaryDirectory() as scratch:
        repository = Repository(Path(scratch) / "double")
        repository.path.mkdir()
        repository.git("-c", "init.defaultBranch=main", "init", "-q")
        for commit in HISTORY:
            repository.add(commit)
        # A lightweight tag, as CATMAID has one: git describe does not see it, and it is no release.
        repository.git("tag", "stable", "2030.12.21^{commit}")
        repository.git("checkout", "-q", "main")
        destination.parent.mkdir(parents=True, exist_ok=True)
        if bare:
            repository.git("clone", "-q", "--bare", str(repository.path), str(destination))
            Repository(destination).git("remote", "remove", "origin")
        else:
            shutil.copytree(repository.path, destination, symlinks=True, dirs_exist_ok=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Make the git repository of the CATMAID double.")
    parser.add_argument("destination", type=Path)
    parser.add_argument("--bare", action="store_true", help="without a checkout, to be cloned from")
    options = parser.parse_args(arguments)
    build(options.destination.absolute(), options.bare)


if __name__ == "__main__":
    main(sys.argv[1:])
