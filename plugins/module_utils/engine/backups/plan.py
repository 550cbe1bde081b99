# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore will meet: the release that serves, the server, and the room on the disk. Reads only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ..catmaid import facts
from ..catmaid.facts import Source
from ..django import migrations
from ..django.project import Project
from ..django.shim import Runner
from ..postgres import databases, properties
from ..postgres.server import Server
from ..progress import size
from . import manifest

_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Plan:
    """A backup beside the code that serves. ``manifest`` is None for a foreign archive, of which nothing is known.

    ``unknown`` are migrations that the backup has and the code lacks, ``forward`` those that the code has and the
    backup lacks. ``needed`` is 0 when nobody can tell, ``free`` None when the server is on another host. ``leads`` is
    the host and port of the settings; ``moves`` tells that another server is there than the one that is restored to.
    """

    manifest: dict[str, Any] | None
    code: Source
    unknown: list[str]
    forward: list[str]
    needed: int
    free: int | None
    folder: str
    leads: dict[str, Any]
    moves: bool

    @property
    def source(self) -> dict[str, Any]:
        """What the manifest tells of the code that the backup was made with."""
        return dict((self.manifest or {}).get("source") or {})

    @property
    def same(self) -> bool:
        """Whether it was made with the very commit that serves."""
        return bool(self.source) and self.source.get("commit") == self.code.commit

    def lines(self) -> list[str]:
        """Return it for people."""
        if not self.manifest:
            about = "An archive without a manifest: nobody knows of which release it is."
        elif self.unknown:
            about = (
                f"It was made with {self.backup_release}, {self.code.describe} serves, and that does not know"
                f" {len(self.unknown)} of its migrations: {', '.join(self.unknown[:8])}."
            )
        elif self.forward:
            about = (
                f"It was made with {self.backup_release}, {self.code.describe} serves:"
                f" {len(self.forward)} migrations will be applied to it."
            )
        else:
            about = f"It was made with {self.backup_release}, {self.code.describe} serves: their migrations are equal."
        needed = size(self.needed) if self.needed else "nobody knows how much"
        free = f"{size(self.free)} are free" if self.free is not None else "what is free on its host cannot be asked"
        where = f" below {self.folder}" if self.folder else ""
        told = [about, f"The database takes {needed} once more{where}, {free}."]
        if self.moves:
            there = f"{self.leads['host'] or 'the local socket'} port {self.leads['port']}"
            told.append(f"The instance moves to the server of the login; its settings lead to {there} now.")
        return told

    @property
    def backup_release(self) -> str:
        """The name of the code that the backup was made with."""
        return str(self.source.get("describe") or "a release that it does not tell")


def read(server: Server, database: str, archive: str, project: Project) -> Plan:
    """Return what a restore of ``archive`` in the place of ``database`` meets; that need not exist any more."""
    project.validate()
    found = manifest.load(archive) if os.path.isdir(archive) and os.path.exists(manifest.path(archive)) else None
    with databases.maintenance(server) as connection:
        live = properties.read(connection, database)
        room = databases.room(connection, server)
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM pg_postmaster_start_time())::text")
            started = str(cursor.fetchone()[0])
    code = Runner(project, server, database).code()
    recorded = [(str(app), str(name)) for app, name in (found or {}).get("migrations", [])]
    unknown: list[str] = []
    forward: list[str] = []
    if recorded:
        unknown, _orphaned = migrations.strangers(recorded, code["known"], code["apps"])
        forward = migrations.names(tuple(key) for key in code["known"] if tuple(key) not in recorded)
    own = (found or {}).get("properties") or {}
    return Plan(
        manifest=found,
        code=facts.source(project.path, project.os_user),
        unknown=unknown,
        forward=forward,
        needed=int(own.get("bytes") or (live.bytes if live else 0)),
        free=room[1] if room else None,
        folder=room[0] if room else "",
        leads={key: code["leads"][key] for key in ("host", "port")},
        moves=_moves(code["leads"], server, started),
    )


def _moves(leads: dict[str, Any], server: Server, started: str) -> bool:
    """Return whether the settings lead to another server; one that answers is known by when it was started."""
    if leads["started"]:
        return bool(leads["started"] != started)
    hosts = {"" if host in _LOCAL or host.startswith("/") else host for host in (leads["host"], server.host)}
    return len(hosts) > 1 or leads["port"] != server.port
