# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release folders: one bare clone of CATMAID, and a git worktree of it for each release that was ever prepared."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass

from .. import command, files
from ..errors import CatmaidError

LATEST = "latest_release"
RELEASE_TAG = re.compile(r"^\d{4}\.\d{2}\.\d{2}$")
COMMIT = re.compile(r"^[0-9a-f]{7,40}$")
# A local clone is often owned by another user than the service's. git then refuses to serve it unless that very
# process is told that it is meant; its own configuration is not passed on to it.
UPLOAD_PACK = "git -c safe.directory=* upload-pack"
RECORD = "release.json"


@dataclass(frozen=True)
class Release:
    """A release folder, there or yet to be made."""

    version: str
    commit: str
    describe: str
    path: str

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
        return Release(version, commit, describe, self._folder(describe, commit))

    def is_prepared(self, release: Release) -> bool:
        """Whether the worktree is whole and of that commit."""
        try:
            with open(os.path.join(release.path, RECORD), encoding="utf-8") as file:
                return bool(json.load(file)["commit"] == release.commit) and os.path.exists(release.source)
        except (OSError, ValueError, KeyError):
            return False

    def modified(self, release: Release) -> list[str]:
        """Return the tracked files that were edited in the worktree."""
        return self._git("diff", "--name-only", "HEAD", cwd=release.source).splitlines()

    def prepare(self, release: Release) -> Release:
        """Fetch what is missing and make the worktree. A run that was killed half-way is begun anew."""
        self._fetch(release.commit)
        describe = self._describe(release.commit)
        release = Release(release.version, release.commit, describe, self._folder(describe, release.commit))
        if self.is_prepared(release):
            return release
        if os.path.exists(release.source):
            shutil.rmtree(release.source)
        self._git("worktree", "prune", cwd=self.clone)
        self._git("worktree", "add", "--force", "--detach", release.source, release.commit, cwd=self.clone)
        files.write_json(
            os.path.join(release.path, RECORD),
            {"version": release.version, "commit": release.commit, "describe": describe},
            mode=0o644,
        )
        return release

    def _folder(self, describe: str, commit: str) -> str:
        """Return the release's folder; a tag that was moved gets another one than its former commit."""
        path = os.path.join(self.releases, describe.replace("/", "-"))
        try:
            with open(os.path.join(path, RECORD), encoding="utf-8") as file:
                if json.load(file)["commit"] != commit:
                    return f"{path}-g{commit[:9]}"
        except (OSError, ValueError, KeyError):
            pass
        return path

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
            raise CatmaidError(f"fetching commit {commit} from {self.repository}", "no branch or tag there contains it")

    def _fetch_all(self, clone: str) -> None:
        # --force: tags such as CATMAID's "stable" are moved by their owners
        heads = "+refs/heads/*:refs/heads/*"
        self._git("fetch", "--force", "--prune", "--tags", *self._serve(), self.repository, heads, cwd=clone)

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
