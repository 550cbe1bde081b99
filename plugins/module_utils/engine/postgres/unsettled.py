# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server started with last, kept while newer settings of ours wait for a start that has not succeeded yet."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from .. import files
from ..errors import CatmaidError, of_system
from . import cluster as clusters
from .cluster import Cluster
from .server import Server, maintenance_database

PREFIX = "settings-before"


class Note:
    """A file of the state folder about one file of settings."""

    def __init__(self, state_dir: str, path: str) -> None:
        self.settings_file = path
        self.path = os.path.join(state_dir, PREFIX + path.replace("/", "-") + ".json")

    def is_of(self, cluster: Cluster) -> bool:
        """Tell whether something is unsettled: the server has not started since, by us or anybody."""
        return os.path.exists(self.path) and _read(self.path)["cluster"]["pid"] == cluster.pid

    @property
    def before(self) -> str | None:
        """The content that the server has started with, None when there was no file."""
        text = _read(self.path)["before"]
        return None if text is None else str(text)

    def keep(self, cluster: Cluster, before: str | None, *, restarting: bool = False) -> None:
        """Write down what was before, unless something older is kept: nothing newer has been proven."""
        good = self.before if self.is_of(cluster) else before
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
            content = {"path": self.settings_file, "before": good, "restarting": restarting, "cluster": asdict(cluster)}
            files.write_json(self.path, content)
        except OSError as error:
            raise of_system("keeping the settings from before", error) from error

    def drop(self) -> None:
        """Forget it: the server has started with what there is now."""
        if os.path.exists(self.path):
            os.unlink(self.path)
            files.remove_if_empty(os.path.dirname(self.path))


def recover(server: Server, state_dir: str, *, check: bool) -> str:
    """Bring a server back whose restart was cut short by the end of a run; return what was done about it."""
    try:
        server.version(maintenance_database(server))
        return ""
    except CatmaidError as error:
        notes = _restarting(state_dir)
        if check or not notes:
            raise
        failure = error
    for content in notes:
        found = Cluster(**content["cluster"])
        if not _is_of(found, server):
            continue
        _put_back(content)
        clusters.restart(found, server)
        Note(state_dir, content["path"]).drop()
        return f"A run before this one ended while the server restarted. {content['path']} is as it was before that."
    raise failure


def _restarting(state_dir: str) -> list[dict[str, Any]]:
    names = sorted(os.listdir(state_dir)) if os.path.isdir(state_dir) else []
    found = [_read(os.path.join(state_dir, name)) for name in names if name.startswith(PREFIX)]
    return [content for content in found if content["restarting"]]


def _is_of(found: Cluster, server: Server) -> bool:
    """Tell whether a cluster that is down is the one that was asked for."""
    return found.port == server.port


def _put_back(content: dict[str, Any]) -> None:
    try:
        if content["before"] is None:
            if os.path.exists(content["path"]):
                os.unlink(content["path"])
        else:
            files.write_atomically(content["path"], content["before"], mode=0o644)
    except OSError as error:
        raise of_system(f"writing {content['path']}", error) from error


def _read(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        content: dict[str, Any] = json.load(file)
        return content
