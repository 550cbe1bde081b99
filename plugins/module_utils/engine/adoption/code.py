# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a checkout stands, asked of git without a word of the checkout's own configuration.

A repository's configuration can name programs that git would run: filters, monitors, hooks. So git is given a folder
of our own, which borrows the objects, the names of branches and tags, and the index; it is gone afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from .. import command
from ..errors import CatmaidError

# A reference that is a symbolic one, and what may be in a text that is taken over
SYMBOLIC = re.compile(r"^ref:\s*(refs/\S+)\s*$")
REMOTE = re.compile(r'^\s*\[remote\s+"([^"]+)"\]\s*$')
URL = re.compile(r"^\s*url\s*=\s*(.+?)\s*$")
CREDENTIALS = re.compile(r"^([a-z+]+://)[^/@]*@")
MOST = 200


@dataclass(frozen=True)
class Code:
    """``upstream`` is the newest commit that came from elsewhere, ``local`` those that were made here, ``edited`` the
    tracked files that were changed, ``untracked`` what git does not know (folders as one, with a slash)."""

    commit: str
    describe: str
    branch: str
    upstream: str
    upstream_describe: str
    remote: str = ""
    local: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)
    shallow: bool = False


def look(source: str) -> Code:
    """Return where the checkout at ``source`` stands."""
    git_dir, common = _folders(source)
    with _borrowed(git_dir, common) as folder:

        def git(*args: str, ok: tuple[int, ...] = (0,)) -> str:
            argv = ["git", f"--git-dir={folder}", f"--work-tree={source}", "--no-pager", *args]
            env = {
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_ALLOW_PROTOCOL": "none",
                "GIT_NO_LAZY_FETCH": "1",
                "GIT_TERMINAL_PROMPT": "0",
            }
            # In the checkout, because what git says of files is seen from where it is called.
            return command.run(argv, doing=f"asking git about {source}", env=env, cwd=source, ok=ok).stdout

        commit = git("rev-parse", "--verify", "HEAD").strip()
        local = git("log", "--format=%h %s", f"--max-count={MOST}", "HEAD", "--not", "--remotes", "--tags")
        upstream = _upstream(git("rev-list", "--boundary", "HEAD", "--not", "--remotes", "--tags"), commit, git)
        return Code(
            commit=commit,
            describe=git("describe", "--always").strip(),
            branch=git("symbolic-ref", "--short", "-q", "HEAD", ok=(0, 1)).strip(),
            upstream=upstream,
            upstream_describe=git("describe", "--always", upstream).strip(),
            remote=_remote(common),
            local=local.splitlines(),
            edited=_names(git("diff", "--no-ext-diff", "--no-textconv", "--ignore-submodules", "--name-only", "-z",
                              "HEAD")),
            untracked=_names(git("ls-files", "-z", "--others", "--directory")),
            shallow=os.path.exists(os.path.join(common, "shallow")),
        )  # fmt: skip


def _upstream(listed: str, commit: str, git: Callable[..., str]) -> str:
    """Return the newest commit below those that were made here; without any that is where the checkout is."""
    lines = listed.split()
    below = [line[1:] for line in lines if line.startswith("-")]
    if not any(not line.startswith("-") for line in lines) or not below:
        return commit
    return git("rev-list", "--topo-order", "--max-count=1", *below).strip()


def _names(listed: str) -> list[str]:
    return [name for name in listed.split("\0") if name]


def _folders(source: str) -> tuple[str, str]:
    """Return the folder of a checkout's HEAD and index, and that of its objects: they differ for a work tree."""
    git_dir = os.path.join(source, ".git")
    if os.path.isfile(git_dir):
        git_dir = os.path.join(source, _text(git_dir).partition("gitdir:")[2].strip())
    if not os.path.isfile(os.path.join(git_dir, "HEAD")):
        raise CatmaidError(
            f"looking at {source}",
            "it is no git checkout",
            "A copy without its history cannot be upgraded: clone the repository, and carry settings.py over.",
        )
    common = os.path.join(git_dir, "commondir")
    return git_dir, os.path.join(git_dir, _text(common).strip()) if os.path.exists(common) else git_dir


@contextmanager
def _borrowed(git_dir: str, common: str) -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="catmaid-admin-")  # nobody else can enter it
    try:
        os.makedirs(os.path.join(folder, "objects", "info"))
        with open(os.path.join(folder, "objects", "info", "alternates"), "w", encoding="utf-8") as file:
            file.write(_quoted(os.path.realpath(os.path.join(common, "objects"))) + "\n")
        with open(os.path.join(folder, "config"), "w", encoding="utf-8") as file:
            file.write("[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfilemode = false\n")
        shutil.copytree(os.path.join(common, "refs"), os.path.join(folder, "refs"), symlinks=True)
        for place, name in ((git_dir, "HEAD"), (git_dir, "index"), (common, "packed-refs"), (common, "shallow")):
            with suppress(FileNotFoundError):
                shutil.copyfile(os.path.join(place, name), os.path.join(folder, name))
        yield folder
    except (OSError, shutil.Error) as error:
        raise CatmaidError(f"reading the repository {common}", str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quoted(path: str) -> str:
    """Return a path as git wants it in a list of them."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' if path.startswith('"') else path


def _remote(common: str) -> str:
    """Return the address that the checkout was cloned from, without a password in it."""
    found: dict[str, str] = {}
    name = ""
    for line in _text(os.path.join(common, "config")).splitlines():
        section = REMOTE.match(line)
        if section or line.lstrip().startswith("["):
            name = section.group(1) if section else ""
        url = URL.match(line)
        if name and url:
            found.setdefault(name, url.group(1).strip('"'))
    chosen = found.get("origin") or next(iter(found.values()), "")
    return CREDENTIALS.sub(r"\1", chosen)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
