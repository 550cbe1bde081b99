# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file of ours among a server's settings: tried before it is used, and as it was before when the server refuses it.

Everything else of the configuration belongs to others. What they have wrong is told and stops us before anything
changes; what they have otherwise is told and stays.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .. import files
from ..errors import CatmaidError, of_system
from . import cluster as clusters
from . import rehearsal, settings, unsettled
from .cluster import Cluster
from .server import Server, maintenance_database
from .settings import Line, Setting

MARK = "# Written by catmaid.admin"
LINE = re.compile(r"^([\w.$]+) = '", re.MULTILINE)
LOADED_WITHIN = 60.0
PAUSE = 0.05
PRELOADED = "shared_preload_libraries"
OURS_ALONE = ("default", "environment variable", "configuration file", "client")  # no source that beats the files


@dataclass(frozen=True)
class Wanted:
    """A setting as it is to be, and why."""

    name: str
    value: str
    reason: str = ""


@dataclass(frozen=True)
class Request:
    """The file ``name``.conf. Without ``wanted`` it is not to be."""

    server: Server
    name: str
    wanted: tuple[Wanted, ...] | None
    restart: bool = False
    state_dir: str = "/var/lib/catmaid/tuning"


@dataclass
class Outcome:
    """What happened, or would. When the server is not local, nothing can be done from this host."""

    local: bool = True
    path: str = ""
    before: str = ""
    after: str = ""
    changed: bool = False
    reloaded: bool = False
    restarted: bool = False
    settings: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    recovered: str = ""


@dataclass(frozen=True)
class _Work:
    """What all steps of a run need. ``names`` are the settings of the file, old and new."""

    request: Request
    cluster: Cluster
    path: str
    before: str | None
    after: str | None
    names: list[str]

    @property
    def server(self) -> Server:
        return self.request.server


def render(wanted: Sequence[Wanted]) -> str:
    """Return the file's text."""
    out = [f"{MARK}, which replaces this file. Settings of your own belong into another one of this folder.", ""]
    for one in wanted:
        if not settings.is_name(one.name):
            raise CatmaidError("writing settings", f"{one.name!r} is no name of a setting")
        reason = " ".join(one.reason.split())
        out += [f"# {reason}"] if reason else []
        out.append(settings.line_of(one.name, one.value))
    return "\n".join(out) + "\n"


def activate(request: Request, *, check: bool = False, recovered: str = "") -> Outcome:
    """Give the server these settings, by a reload, and by a restart where it takes one and is allowed.

    ``recovered`` is what had to be done before, so that the server can be asked at all.
    """
    found = clusters.find(request.server)
    text = None if request.wanted is None else render(request.wanted)
    if found is None:
        return Outcome(local=False, after=text or "")
    work = _look(request, found, text)
    if work is None:
        return Outcome(recovered=recovered)
    live = _live(work)
    starts = _rehearse(work, live)
    waiting = [name for name in work.names if _waits(live.get(name), starts.get(name))]
    changes = work.before != work.after
    outcome = Outcome(
        path=work.path,
        before=work.before or "",
        after=text or "",
        changed=changes or bool(waiting and request.restart) or bool(recovered),
        reloaded=changes,
        restarted=bool(waiting and request.restart),
        waiting=[] if request.restart else waiting,
        recovered=recovered,
    )
    now = live
    if not check and (outcome.reloaded or outcome.restarted):
        _change(work, bool(waiting), outcome.restarted)
        now = _live(work)
    _report(work, outcome, live, now, starts, check)
    return outcome


def _look(request: Request, found: Cluster, text: str | None) -> _Work | None:
    """Return what is to be done; nothing when somebody else's file is where none of ours is to be."""
    path = os.path.join(rehearsal.folder(found), f"{request.name}.conf")
    doing = f"looking at {path}"
    before = None
    try:
        if os.path.lexists(path):
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                before = file.read()
    except OSError as error:
        raise of_system(doing, error) from error
    if before is not None and not before.startswith(MARK):
        if text is None:
            return None
        raise CatmaidError(doing, "it is a file of somebody else", "Rename it, or choose another name for ours.")
    names = [name for content in (before, text) for name in LINE.findall(content or "")]
    return _Work(request, found, path, before, text, list(dict.fromkeys(names)))


def _live(work: _Work) -> dict[str, Setting]:
    with work.server.connect(maintenance_database(work.server)) as connection:
        return settings.read(connection, work.names)


def _rehearse(work: _Work, live: Mapping[str, Setting]) -> dict[str, str]:
    """Let PostgreSQL read all of its files without ours and with it; return what a start would give each setting."""
    others = f"reading {work.cluster.config_file} without our part of it"
    with rehearsal.copied(work.cluster, work.path, None) as main:
        try:
            known = rehearsal.values(work.cluster, main, list(live), others)
        except CatmaidError as error:
            remedy = "That is not of our making. Mend it first: the server could not start. Nothing was changed."
            raise CatmaidError(error.doing, error.cause, remedy) from error
    if work.after is None:
        return known
    doing = "testing the new settings"
    try:
        _find_libraries(work, doing)
        with rehearsal.copied(work.cluster, work.path, work.after) as main:
            asked = [name for name in work.names if name in live or name in LINE.findall(work.after)]
            starts = rehearsal.values(work.cluster, main, asked, doing)
            if work.before != work.after or any(_waits(live.get(name), starts[name]) for name in asked):
                rehearsal.start(work.cluster, main, doing)
    except CatmaidError as error:
        raise CatmaidError(error.doing, error.cause, f"{error.remedy} Nothing was changed.".lstrip()) from error
    return starts


def _find_libraries(work: _Work, doing: str) -> None:
    """Check that libraries are there: without one the server would not start."""
    wanted = next((one.value for one in work.request.wanted or () if one.name.lower() == PRELOADED), "")
    for name in filter(None, (part.strip(" \"'") for part in wanted.split(","))):
        if "/" not in name and not os.path.exists(os.path.join(work.cluster.libraries, f"{name}.so")):
            remedy = (
                "Install it: Debian has PostgreSQL's own in the package postgresql, others in packages of their own."
            )
            raise CatmaidError(doing, f"there is no library {name} in {work.cluster.libraries}", remedy)


def _waits(setting: Setting | None, value: str | None) -> bool:
    """Tell whether a restart would change a setting. What the server finds out at its start is no change."""
    if setting is None or value is None or not setting.needs_restart or value == "-1":
        return False
    return not settings.same(setting, setting.value, value)


def _change(work: _Work, waits: bool, restart: bool) -> None:
    """Bring the file to its state and let the server take it; take it back when it does not."""
    note = unsettled.Note(work.request.state_dir, work.path)
    try:
        if work.before != work.after:
            if waits:
                note.keep(work.cluster, work.before)
            _put(work.path, work.after)
            _reload(work)
        if restart:
            note.keep(work.cluster, work.before, restarting=True)
            clusters.restart(work.cluster, work.server)
        if restart or not waits:
            note.drop()
    except BaseException as error:
        told = _take_back(work, note, restart)
        if isinstance(error, CatmaidError):
            raise CatmaidError(error.doing, error.cause, f"{error.remedy} {told}".lstrip(), **error.details) from error
        raise


def _take_back(work: _Work, note: unsettled.Note, restart: bool) -> str:
    """Bring back the last file that the server has started with; return what to tell of it."""
    good = note.before if note.is_of(work.cluster) else work.before
    _put(work.path, good)
    if not restart:
        with suppress(CatmaidError):  # the first error is the one to tell
            _reload(work)
        note.drop()
        return "The file is as it was before."
    try:
        clusters.restart(work.cluster, work.server)
    except CatmaidError as error:
        return f"The old settings are back, and yet the server does not start: {error.cause}"
    note.drop()
    return "The old settings are back, and the server runs with them."


def _put(path: str, content: str | None) -> None:
    try:
        if content is not None:
            files.write_bytes_atomically(path, content.encode("utf-8", "surrogateescape"), mode=0o644)
        elif os.path.exists(path):
            os.unlink(path)
    except OSError as error:
        raise of_system(f"writing {path}", error) from error


def _reload(work: _Work) -> None:
    """Let the server read its files, and return when it has."""
    doing, database = "reloading PostgreSQL", maintenance_database(work.server)
    with work.server.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
        wrong = [
            line for line in settings.lines(connection) if line.error and not settings.NOT_YET.fullmatch(line.error)
        ]
        if wrong:
            told = "; ".join(f"{line.error}: {line.name} in {line.place}" for line in wrong)
            raise CatmaidError(doing, told)
        cursor.execute("SELECT pg_conf_load_time(), pg_reload_conf()")
        before = cursor.fetchone()[0]
    deadline = time.monotonic() + LOADED_WITHIN
    while time.monotonic() < deadline:
        # A new session begins with what the server has read.
        with work.server.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_conf_load_time()")
            if cursor.fetchone()[0] != before:
                return
        time.sleep(PAUSE)
    raise CatmaidError(doing, f"it has not read its files for {LOADED_WITHIN:.0f} s", "Its log tells why.")


def _report(
    work: _Work,
    outcome: Outcome,
    live: Mapping[str, Setting],
    now: Mapping[str, Setting],
    starts: Mapping[str, str],
    check: bool,
) -> None:
    """Tell of every setting what it was and is, why, where it comes from, and what is in its way."""
    with work.server.connect(maintenance_database(work.server)) as connection:
        elsewhere = {line.name.lower(): line for line in settings.lines(connection) if line.file != work.path}
    wanted = {one.name: one for one in work.request.wanted or ()}
    for name in work.names:
        one, setting, before = wanted.get(name), now.get(name), live.get(name)
        waits = name in outcome.waiting
        other = _in_the_way(one, setting, starts.get(name, ""), elsewhere.get(name.lower())) if one else ""
        outcome.conflicts += [other] if other else []
        after = setting.shown if setting else ""
        if check and not waits and one:
            after = one.value if not other else after
        elif check and not waits and setting:
            after = after if settings.same(setting, setting.value, starts.get(name, "")) else starts.get(name, "")
        outcome.settings.append(
            {
                "name": name,
                "wanted": one.value if one else "",
                "before": before.shown if before else "",
                "after": after,
                "reason": one.reason if one else "It is no longer set here.",
                "source": setting.place if setting else "",
                "pending_restart": waits,
                "conflict": other,
            }
        )


def _in_the_way(wanted: Wanted, setting: Setting | None, starts: str, other: Line | None) -> str:
    """Return who sets a setting to another value than ours."""
    if setting is None or not starts:
        return ""
    if other and not settings.same(setting, wanted.value, starts):
        how = "ALTER SYSTEM" if other.file.endswith(rehearsal.AUTO) else "it is read after ours"
        return f"{wanted.name} is {other.value} by {other.place} ({how}), and not {wanted.value}"
    if setting.source not in OURS_ALONE and not settings.same(setting, wanted.value, setting.value):
        return f"{wanted.name} is {setting.shown} by {setting.place}, and not {wanted.value}"
    return ""
