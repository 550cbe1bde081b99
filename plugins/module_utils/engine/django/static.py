# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static files: collected once for a release, and known by a fingerprint of the tree.

What collectstatic prints does not tell whether anything changed: with links and hashed names it always reports work.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

from .. import command, files
from ..errors import CatmaidError
from ..postgres.server import Server
from .project import Project
from .shim import QUIET, Runner, source

# manage.py, by settings that lead to no message broker
MANAGE = (
    "import os, runpy, sys; exec(compile(os.environ['CATMAID_ADMIN_CHILD'], 'catmaid.admin', 'exec')); "
    "sys.argv[0] = 'manage.py'; runpy.run_path(sys.argv[0], run_name='__main__')"
)


@dataclass(frozen=True)
class Collected:
    """The state of STATIC_ROOT: ``files`` and links in it, and a fingerprint of their names, sizes and targets."""

    root: str
    files: int
    fingerprint: str


def root(project: Project) -> str:
    """Return STATIC_ROOT as the project's settings have it."""
    found = Runner(project, Server(), "").settings(["STATIC_ROOT"])["settings"]["STATIC_ROOT"]
    if not found:
        raise CatmaidError(
            f"reading the settings of {project.path}", "STATIC_ROOT is not set", "Set it in settings.py."
        )
    return str(found).rstrip("/")


def look(path: str) -> Collected:
    """Return what is in ``path`` now."""
    digest = hashlib.sha256()
    count = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            entry = os.path.join(folder, name)
            kind = os.readlink(entry) if os.path.islink(entry) else str(os.path.getsize(entry))
            digest.update(f"{os.path.relpath(entry, path)}\0{kind}\0".encode("utf-8", "surrogateescape"))
            count += 1
    return Collected(path, count, digest.hexdigest())


def is_fresh(state: Collected, revision: str) -> bool:
    """Tell whether the last whole collection was of ``revision`` and left just what is there now."""
    try:
        with open(_record(state.root), encoding="utf-8") as file:
            return bool(json.load(file) == {"revision": revision, "fingerprint": state.fingerprint})
    except (OSError, ValueError):
        return False


def collect(project: Project, path: str, revision: str, link: bool) -> Collected:
    """Run collectstatic, and note that it came to its end."""
    if os.path.exists(_record(path)):
        os.unlink(_record(path))
    shim = {"CATMAID_ADMIN_CHILD": source(QUIET), "CATMAID_ADMIN_SHIM": json.dumps({"settings": project.settings})}
    command.run(
        [project.python, "-c", MANAGE, "collectstatic", "--noinput", *(["--link"] if link else [])],
        doing=f"collecting static files of {project.path} in {path}",
        user=project.os_user,
        env={**project.environment(), **shim},
        cwd=project.folder,
        remedy="The service user must be able to write to STATIC_ROOT.",
    )
    state = look(path)
    files.write_json(_record(path), {"revision": revision, "fingerprint": state.fingerprint}, mode=0o644)
    return state


def _record(path: str) -> str:
    return f"{path}.json"  # beside the folder, for what is inside is served
