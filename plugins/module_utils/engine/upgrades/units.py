# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of an instance: stopped and started in order, and kept from starting on half a release.

A drop-in tells each unit not to start while there is a journal, unless the job permits it: the permit is below /run and
so gone after a reboot. At boot a unit that comes before them finishes or undoes what was interrupted.

Most are systemd units. Of programs that supervisor runs, the unit that is kept from starting is supervisor's own.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .. import command, files
from ..errors import CatmaidError, of_system
from . import journal, programs, supervisor
from .programs import Program

UNITS = "/etc/systemd/system"
PERMITS = "/run/catmaid-admin"
DROP_IN = "catmaid-admin-upgrade.conf"
MADE = "# Made by catmaid.admin for upgrades; see docs/upgrade.md of the collection.\n"
# What a unit is, by the program that it starts. A WSGI server does nothing until it is asked for a page.
WSGI = frozenset({programs.WSGI})
BACKGROUND = frozenset({programs.WORKER, programs.BEAT})
# In which they start, with the workers of caches and Redis before all of them
ORDER = ("", programs.WSGI, programs.ASGI, programs.WORKER, programs.BEAT)
ARGV = re.compile(r"argv\[\]=(.*?) ; ")
TRACEBACK = "Traceback (most recent call last)"

CONDITION = """\
{made}[Unit]
ConditionPathExists=|!{journal}
ConditionPathExists=|{permit}
"""

RECOVER = """\
{made}[Unit]
Description=Finish or undo an upgrade of CATMAID ({instance}) that was interrupted
ConditionPathExists={journal}
After=network-online.target postgresql.service
{order}StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={program} recover {boot}--state {state}
TimeoutStartSec=infinity
Restart=on-failure
RestartSec=10
"""

INSTALL = """
[Install]
WantedBy=multi-user.target
"""


def unit(name: str) -> str:
    """Return the full name of a unit, or of the one that runs a program."""
    if supervisor.is_named(name):
        return supervisor.UNIT
    return name if "." in name and name.rpartition(".")[2] in ("service", "target", "socket") else f"{name}.service"


def instance_of(services: Sequence[str]) -> str:
    """Return what an instance is called where units of its own are named for it: after its first service."""
    first = services[0]
    if supervisor.is_named(first):
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", first.removeprefix(supervisor.PREFIX)).strip("-")
    return unit(first).rpartition(".")[0]


def parts(instance: str) -> list[str]:
    """Return the services that stop with the target of an instance, in the order in which they start."""
    found = [name for name in _shown(f"{instance}.target", "ConsistsOf").split() if name.endswith(".service")]
    return sorted(found, key=lambda name: ORDER.index(program(name).kind))


def all_of(services: Sequence[str]) -> list[str]:
    """Return these, with the others of their instance where a target or a group of supervisor holds them together."""
    found = parts(instance_of(services))
    named = [one for name in services for one in (supervisor.members(name) if supervisor.is_named(name) else [name])]
    names = [unit(name) for name in named]
    return named if not set(found) - set(names) else [*found, *(name for name in named if unit(name) not in found)]


def target(services: Sequence[str]) -> str:
    """Return the target that holds an instance together; nothing where there is none."""
    instance = instance_of(services)
    return f"{instance}.target" if parts(instance) else ""


def boot_unit(instance: str) -> str:
    """Return the unit that recovers at boot."""
    return f"{instance}-recover.service"


def undo_unit(instance: str) -> str:
    """Return the unit that recovers when the job was killed."""
    return f"{instance}-upgrade-undo.service"


def job_unit(instance: str) -> str:
    """Return the unit that the job itself runs in."""
    return f"{instance}-upgrade.service"


def permit(instance: str) -> str:
    """Return the file that lets the units start in spite of a journal."""
    return os.path.join(PERMITS, f"{instance}.start")


def wanted(instance: str, services: Sequence[str], state_dir: str, program: str) -> dict[str, str]:
    """Return the files that an instance needs below systemd's folder, with their contents."""
    about = {
        "made": MADE,
        "instance": instance.replace("%", "%%"),
        "journal": _quoted(journal.path(state_dir)),
        "permit": _quoted(permit(instance)),
        "program": _quoted(program),
        "state": _quoted(state_dir),
    }
    names = list(dict.fromkeys(unit(name) for name in services))
    order = f"Before={' '.join(names)}\n"
    found = {f"{name}.d/{DROP_IN}": CONDITION.format(**about) for name in names}
    found[boot_unit(instance)] = RECOVER.format(**about, order=order, boot="--boot ") + INSTALL
    found[undo_unit(instance)] = RECOVER.format(**about, order="", boot="")
    return found


def lacking(found: dict[str, str]) -> list[str]:
    """Return which of these files are missing or have another content."""
    different = []
    for name, content in found.items():
        try:
            with open(os.path.join(UNITS, name), encoding="utf-8") as file:
                if file.read() == content:
                    continue
        except OSError:
            pass
        different.append(name)
    return different


def install(instance: str, found: dict[str, str]) -> None:
    """Write the files that are lacking, and let systemd know them."""
    missing = lacking(found)
    try:
        for name in missing:
            path = os.path.join(UNITS, name)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            files.write_atomically(path, found[name], mode=0o644)
    except OSError as error:
        raise of_system("telling systemd what to do after a reboot", error) from error
    if missing:
        systemctl("daemon-reload")
        systemctl("enable", "--quiet", boot_unit(instance))


def of(kinds: frozenset[str], services: Sequence[str]) -> list[str]:
    """Return those that start a program of one of these kinds."""
    return [name for name in services if program(name).kind in kinds]


def program(name: str) -> Program:
    """Return what a unit starts, one without a name where there is no such unit."""
    if supervisor.is_named(name):
        return programs.parse(supervisor.arguments(name))
    found = ARGV.search(_shown(name, "ExecStart"))
    return programs.parse(found.group(1).split() if found else [])


def lacking_programs(services: Sequence[str], current: str, path: str) -> list[tuple[str, str]]:
    """Return the units that start something of the release that serves which the one in ``path`` does not have."""
    found = []
    for name in services:
        for word in program(name).call:
            own = os.path.relpath(word, current)
            if word.startswith("/") and not own.startswith("..") and not os.path.exists(os.path.join(path, own)):
                found.append((unit(name), own))
    return found


@dataclass(frozen=True)
class Context:
    """What a unit gives to its program."""

    user: str
    folder: str
    environment: dict[str, str]


def context(name: str) -> Context:
    """Return what a unit gives to its program, but for what is in files."""
    if supervisor.is_named(name):
        return Context(*supervisor.told(name))
    pairs = (word.partition("=") for word in shlex.split(_shown(name, "Environment")))
    found = {key: value for key, _equals, value in pairs}
    return Context(_shown(name, "User"), _shown(name, "WorkingDirectory").lstrip("!-"), found)


def _shown(name: str, what: str) -> str:
    return systemctl("show", f"--property={what}", "--value", unit(name), ok=None)


def stop(services: Sequence[str]) -> None:
    """Stop all of them, what starts last first."""
    for name in reversed(services):
        if supervisor.is_named(name):
            supervisor.stop(name)
        else:
            systemctl("stop", unit(name))


def start(instance: str, services: Sequence[str], *, wait: bool = True) -> None:
    """Start all of them in order, in spite of a journal; without ``wait`` that is only begun."""
    allow(instance)
    bring_up(services, wait=wait)


def bring_up(services: Sequence[str], *, wait: bool = True) -> None:
    """Start all of them in order, as far as no journal forbids it."""
    names = list(dict.fromkeys(unit(name) for name in services))
    if not names:
        return
    systemctl("reset-failed", *names, ok=None)
    if not wait:
        systemctl("start", "--no-block", *names)
        for name in filter(supervisor.is_named, services):
            supervisor.begin(name)
        return
    for name in services:
        _start(unit(name))
        if supervisor.is_named(name):
            supervisor.start(name)


def _start(name: str) -> None:
    systemctl("start", name, remedy=f"Look at journalctl --unit {name}.")
    state = systemctl("is-active", name, ok=None)
    if state != "active":
        raise CatmaidError(f"starting {name}", f"it is {state}", f"Look at journalctl --unit {name}.")


def is_active(name: str) -> bool:
    """Tell whether a unit, or a program of supervisor, runs."""
    if supervisor.is_named(name):
        return supervisor.is_active(name)
    return systemctl("is-active", unit(name), ok=None) == "active"


def allow(instance: str) -> None:
    """Let the units start in spite of a journal."""
    os.makedirs(PERMITS, mode=0o755, exist_ok=True)
    with open(permit(instance), "w", encoding="utf-8"):
        pass


def forbid(instance: str) -> None:
    """Let the units not start any more while there is a journal."""
    if os.path.exists(permit(instance)):
        os.unlink(permit(instance))


def logs(services: Sequence[str], since: float) -> str:
    """Return what the units have written since then."""
    written = [supervisor.logs(name) for name in services if supervisor.is_named(name)]
    names = [word for name in services if not supervisor.is_named(name) for word in ("--unit", unit(name))]
    if names:
        argv = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", f"--since=@{since:.0f}", *names]
        written.insert(0, command.run(argv, doing="reading the logs of the application", ok=None).stdout)
    return "\n".join(written)


def now() -> float:
    """Return the time as the logs count it."""
    return time.time()


def systemctl(verb: str, *words: str, ok: Sequence[int] | None = (0,), remedy: str = "") -> str:
    """Run systemctl and return what it prints."""
    doing = f"systemctl {verb} {' '.join(words)}".strip()
    return command.run(["systemctl", verb, *words], doing=doing, ok=ok, remedy=remedy).stdout.strip()


def _quoted(path: str) -> str:
    return path.replace("%", "%%").replace(" ", "\\x20")
