# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release folders: one bare clone of CATMAID, and a git worktree of it for each release that was ever prepared."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from .. import command, files
from ..errors import CatmaidError
from . import facts, local
from .commits import Commits
from .local import Local

LATEST = "latest_release"
RELEASE_TAG = re.compile(r"^\d{4}\.\d{2}\.\d{2}$")
COMMIT = re.compile(r"^[0-9a-f]{7,40}$")
# A local clone is often owned by another user than the service's. git then refuses to serve it unless that very
# process is told that it is meant; its own configuration is not passed on to it.
UPLOAD_PACK = "git -c safe.directory=* upload-pack"
RECORD = "release.json"


@dataclass(frozen=True)
class Release:
    """A release folder, there or yet to be made.

    ``commit`` is what is checked out there, ``upstream`` the one that the version names: they differ by local commits.
    """

    version: str
    commit: str
    describe: str
    path: str
    upstream: str

    @property
    def source(self) -> str:
        """The worktree."""
        return os.path.join(self.path, "source")


class Checkout:
    """The clone in ``<root>/repository`` and the releases in ``<root>/releases``."""

    def __init__(self, root: str, repository: str, user: str | None) -> None:
        self.root = root
        self.repository = repository
        self.user = user
        self.clone = os.path.join(root, "repository")
        self.releases = os.path.join(root, "releases")

    def resolve(self, version: str) -> Release:
        """Find out what a tag, branch, commit or C(latest_release) is today. Asks the remote, writes nothing."""
        refs = self._remote_refs()
        if version == LATEST:
            tags = sorted(name for name in (ref.rpartition("/")[2] for ref in refs) if RELEASE_TAG.match(name))
            if not tags:
                raise CatmaidError(
                    f"looking for the latest release in {self.repository}", "it has no tag named like 2021.12.21"
                )
            version = tags[-1]
        commit = next(
            # an annotated tag names a tag object; its peeled entry ^{} names the commit
            (
                refs[ref]
                for ref in (f"refs/tags/{version}^{{}}", f"refs/tags/{version}", f"refs/heads/{version}")
                if ref in refs
            ),
            "",
        )
        if not commit and COMMIT.match(version):
            commit = self._local_commit(version) or (version if len(version) == 40 else "")
        if not commit:
            near = sorted(ref.split("/", 2)[2] for ref in refs if version[:4] in ref and not ref.endswith("^{}"))
            raise CatmaidError(
                f"looking for version {version!r} in {self.repository}",
                "there is no tag, branch or known commit of that name",
                f"Similar names: {', '.join(near[:8])}." if near else "",
            )
        describe = self._describe(commit) or (version if f"refs/tags/{version}" in refs else commit[:12])
        return Release(version, commit, describe, self._folder(describe, commit), commit)

    def record(self, path: str) -> dict[str, str]:
        """Return what is noted of the release in a folder; nothing when it is none, or was never finished."""
        try:
            with open(os.path.join(path, RECORD), encoding="utf-8") as file:
                found = json.load(file)
                return {"upstream": found["commit"], **found}
        except (OSError, ValueError, KeyError):
            return {}

    def local(self, source: str | None, how: str) -> Local | None:
        """Return what may have been committed in the source tree of a release, and what to do about it."""
        published = self.record(os.path.dirname(source)).get("upstream") if source else None
        if not source or not published:
            return None
        return Local(facts.source(source, self.user).commit, published, how, source)

    def with_local(self, release: Release, own: Local) -> Release:
        """Return a release with the local commits on it, as it will be; raises where they do not fit."""
        with self.scratch(release.upstream, own.tree) as commits:
            return self.joined(release, own, commits)

    @contextmanager
    def scratch(self, commit: str, tree: str) -> Iterator[Commits]:
        """Yield a repository that has a commit, with all its tags, and what is checked out in ``tree``.

        It borrows the clone's objects, and is removed.
        """
        with self._borrowing() as here:
            if os.path.isdir(self.clone):
                self._git("fetch", "--quiet", "--no-tags", self.clone, "+refs/tags/*:refs/tags/*", cwd=here.path)
            if not here.has(commit):
                self._fetch_all(here.path)
            if not here.has(commit):
                raise self._not_there(commit)
            self._fetch_head(here.path, tree)
            yield here

    @contextmanager
    def today(self, tree: str) -> Iterator[Commits]:
        """Yield a repository with all that the remote has now, and what is checked out in ``tree``; it is removed."""
        with self._borrowing() as here:
            self._fetch_all(here.path)
            self._fetch_head(here.path, tree)
            yield here

    @contextmanager
    def _borrowing(self) -> Iterator[Commits]:
        folder = tempfile.mkdtemp(prefix="catmaid-admin-")
        try:
            if self.user and os.geteuid() == 0:
                os.chown(folder, pwd.getpwnam(self.user).pw_uid, -1)
            path = os.path.join(folder, "repository")
            self._git("init", "--quiet", "--bare", path)
            if os.path.isdir(self.clone):
                with open(os.path.join(path, "objects", "info", "alternates"), "w", encoding="utf-8") as file:
                    file.write(f"{self.clone}/objects\n")
            yield Commits(path, self.user)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def is_prepared(self, release: Release) -> bool:
        """Whether the worktree is whole and of that commit."""
        return self.record(release.path).get("commit") == release.commit and os.path.exists(release.source)

    def edited(self, source: str) -> list[str]:
        """Return the tracked files that were edited in a worktree."""
        return self._git("--no-optional-locks", "diff", "--name-only", "HEAD", cwd=source).splitlines()

    def prepare(self, release: Release, own: Local | None = None) -> Release:
        """Fetch what is missing and make the worktree. A run that was killed half-way is begun anew."""
        self._fetch(release.upstream)
        release = self._named(replace(release, commit=release.upstream), self._describe(release.upstream))
        if own:
            self._fetch_head(self.clone, own.tree)
            release = self.joined(release, own, Commits(self.clone, self.user))
        if self.is_prepared(release):
            return release
        if os.path.exists(release.source):
            shutil.rmtree(release.source)
        self._git("worktree", "prune", cwd=self.clone)
        self._git("worktree", "add", "--force", "--detach", release.source, release.commit, cwd=self.clone)
        files.write_json(
            os.path.join(release.path, RECORD),
            {
                "version": release.version,
                "commit": release.commit,
                "describe": release.describe,
                "upstream": release.upstream,
            },
            mode=0o644,
        )
        return release

    def joined(self, release: Release, own: Local, commits: Commits) -> Release:
        """Return a release with local commits on it, which are written to ``commits``. Raises where they do not fit."""
        commit = local.join(commits, own, release.upstream)
        return self._named(replace(release, commit=commit), commits.git("describe", "--always", commit).strip())

    def _named(self, release: Release, describe: str) -> Release:
        return replace(release, describe=describe, path=self._folder(describe, release.commit))

    def _folder(self, describe: str, commit: str) -> str:
        """Return the release's folder; a tag that was moved gets another one than its former commit."""
        path = os.path.join(self.releases, describe.replace("/", "-"))
        return f"{path}-g{commit[:9]}" if self.record(path).get("commit", commit) != commit else path

    def _remote_refs(self) -> dict[str, str]:
        lines = self._git("ls-remote", "--heads", "--tags", *self._serve(), self.repository).splitlines()
        return {ref: commit for commit, ref in (line.split("\t", 1) for line in lines)}

    def _local_commit(self, version: str) -> str:
        if not os.path.isdir(self.clone):
            return ""
        return self._git("rev-parse", "--verify", "--quiet", f"{version}^{{commit}}", cwd=self.clone, ok=(0, 1, 128))

    def _describe(self, commit: str) -> str:
        if not self._local_commit(commit):
            return ""
        return self._git("describe", "--always", commit, cwd=self.clone)

    def _fetch(self, commit: str) -> None:
        if not os.path.isdir(self.clone):
            # Not git clone: for a path it looks at the owner by itself, without asking the serving side.
            partial = os.path.join(self.root, ".repository-partial")
            shutil.rmtree(partial, ignore_errors=True)
            self._git("init", "--quiet", "--bare", partial)
            self._fetch_all(partial)
            os.rename(partial, self.clone)
        if not self._local_commit(commit):
            self._fetch_all(self.clone)
        if not self._local_commit(commit):
            raise self._not_there(commit)

    def _not_there(self, commit: str) -> CatmaidError:
        return CatmaidError(f"fetching commit {commit} from {self.repository}", "no branch or tag there contains it")

    def _fetch_all(self, clone: str) -> None:
        # --force: tags such as CATMAID's "stable" are moved by their owners. Not to refs/heads: branches that were made
        # in a worktree on the host would be taken for branches that the remote has removed.
        heads = "+refs/heads/*:refs/remotes/origin/*"
        self._git("fetch", "--force", "--prune", "--tags", *self._serve(), self.repository, heads, cwd=clone)

    def _fetch_head(self, clone: str, tree: str) -> None:
        """Take what is checked out in ``tree``, where that is a clone by itself."""
        if not Commits(clone, self.user).has(facts.source(tree, self.user).commit):
            self._git("fetch", "--quiet", "--no-tags", "--upload-pack", UPLOAD_PACK, tree, "HEAD", cwd=clone)

    def _serve(self) -> list[str]:
        """Return what makes git read a local repository of another owner."""
        return ["--upload-pack", UPLOAD_PACK] if self.repository.startswith(("/", "file://")) else []

    def _git(self, *args: str, cwd: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
        result = command.run(
            ["git", *args],
            doing=f"running git {args[0]} for {self.repository}",
            user=self.user,
            env={"GIT_TERMINAL_PROMPT": "0"},
            cwd=cwd,
            ok=ok,
            remedy="Check catmaid_repository and that the service user may read it.",
        )
        return result.stdout.strip() if result.rc == 0 else ""
