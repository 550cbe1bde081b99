# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that supervisor runs, as CATMAID's own manual has it: a service by the name of supervisor:group:program."""

from __future__ import annotations

import os
import re
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

from .. import command, configs
from ..configs import Section
from ..errors import CatmaidError

PREFIX = "supervisor:"
UNIT = "supervisor.service"
CONFIGURED = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf")
RUNNING = "RUNNING"
STARTING = "STARTING"
UP = (RUNNING, STARTING, "BACKOFF", "STOPPING")
STARTS_WITHIN = 60.0  # seconds
LOG_AT_MOST = 16 * 1024 * 1024
PAIR = re.compile(r"""([A-Za-z_]\w*)\s*=\s*("[^"]*"|'[^']*'|[^,]*)""")

# How long each log was before its program was started: they tell no times
_before: dict[str, int] = {}
# What begins to start: supervisorctl only returns when it has
_beginning: dict[str, threading.Thread] = {}


def is_named(name: str) -> bool:
    """Tell whether a service is one of supervisor's."""
    return name.startswith(PREFIX)


def texts() -> dict[str, str]:
    """Return the files of supervisor that are in use, those that it includes as well."""
    found = configs.read(*CONFIGURED[:1]) or configs.read(*CONFIGURED)
    for path, text in list(found.items()):
        for section in configs.supervisor(text):
            for pattern in section.last("files").split() if section.name == "include" else ():
                found.update(configs.read(os.path.join(os.path.dirname(path), pattern)))
    return found


def members(name: str) -> list[str]:
    """Return the programs of a group that is named as a whole, in the order in which it names them; else the name."""
    group, _colon, own = _own(name).rpartition(":")
    for text in texts().values() if own == "*" else ():
        for section in configs.supervisor(text):
            if section.name == f"group:{group}":
                programs = [program.strip() for program in section.last("programs").split(",")]
                return [f"{PREFIX}{group}:{program}" for program in programs if program]
    return [name]


def own_words(path: str, program: str) -> dict[str, str]:
    """Return what a file may write for its own folder and for a program's name."""
    return {"%(here)s": os.path.dirname(path), "%(program_name)s": program}


def put_in(value: str, known: Mapping[str, str]) -> str:
    """Return a value with what its words mean."""
    for mark, meant in known.items():
        value = value.replace(mark, meant)
    return value


def arguments(name: str) -> list[str]:
    """Return the words of a program's command line; none where there is no such program."""
    return next((shlex.split(section.last("command")) for section in _sections(name)), [])


def told(name: str) -> tuple[str, str, dict[str, str]]:
    """Return a program's user, its folder and its environment."""
    for section in _sections(name):
        pairs = PAIR.findall(section.last("environment"))
        environment = {key: value.strip().strip("\"'") for key, value in pairs}
        return section.last("user"), section.last("directory"), environment
    return "", "", {}


def begin(name: str) -> None:
    """Begin to start a program; whether it comes up is seen by :func:`start`."""
    if name not in _beginning:
        _beginning[name] = threading.Thread(target=_try_to_start, args=(name,), daemon=True)
        _beginning[name].start()


def start(name: str) -> None:
    """Start a program and return when supervisor takes it for running."""
    beginning = _beginning.pop(name, None)
    if beginning:
        beginning.join()
    _settle(name)
    if is_active(name):
        return
    _before.update((path, _size(path)) for path in _logs(name))
    _control("start", name)
    if not is_active(name):
        raise CatmaidError(f"starting {name}", state(name), f"Look at supervisorctl tail {_own(name)}.")


def stop(name: str) -> None:
    """Stop a program and return when it has ended. Supervisor takes it for an error to stop what does not run."""
    for line in state(name).splitlines():
        if line.split()[1] in UP:
            _control("stop", line.split()[0])


def is_active(name: str) -> bool:
    """Tell whether a program runs, and where the name means several, whether all of them do."""
    states = [line.split()[1] for line in state(name).splitlines() if len(line.split()) > 1]
    return bool(states) and all(one == RUNNING for one in states)


def state(name: str) -> str:
    """Return what supervisor says of a program; nothing where supervisor itself does not run."""
    said = command.run(["supervisorctl", "status", _own(name)], doing=f"asking supervisor for {_own(name)}", ok=None)
    if said.rc not in (0, 3):
        asked = ["systemctl", "is-active", "--quiet", UNIT]
        if command.run(asked, doing="asking for supervisor", ok=None).rc != 0:
            return ""
        remedy = "Look at supervisorctl status for its name."
        raise CatmaidError(f"asking supervisor for {_own(name)}", (said.stdout or said.stderr).strip(), remedy)
    return said.stdout.strip()


def logs(name: str) -> str:
    """Return what a program has written since it was started here; nothing of what somebody else has started."""
    found = []
    for path in _logs(name):
        if path in _before:
            with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
                file.seek(_before[path] if _size(path) >= _before[path] else 0)
                found.append(file.read(LOG_AT_MOST))
    return "\n".join(found)


def _try_to_start(name: str) -> None:
    with suppress(CatmaidError):  # at boot supervisor itself is yet to be started
        if not is_active(name):
            _before.update((path, _size(path)) for path in _logs(name))
            _control("start", name)


def _settle(name: str) -> None:
    """Wait for supervisor itself, and for what it has begun to start: it takes it for an error to start that."""
    deadline = time.monotonic() + STARTS_WITHIN
    while not _answers() and time.monotonic() < deadline:
        time.sleep(0.1)
    while STARTING in state(name).split() and time.monotonic() < deadline:
        time.sleep(0.1)


def _answers() -> bool:
    return command.run(["supervisorctl", "pid"], doing="asking for supervisor", ok=None).rc == 0


def _control(verb: str, name: str) -> None:
    doing = f"supervisorctl {verb} {_own(name)}"
    said = command.run(["supervisorctl", verb, _own(name)], doing=doing, ok=None)
    if said.rc != 0 or "ERROR" in said.stdout:
        cause = (said.stdout or said.stderr).strip()
        raise CatmaidError(doing, cause, f"Look at supervisorctl tail {_own(name)} stderr.")


def _own(name: str) -> str:
    return name.removeprefix(PREFIX)


def _sections(name: str) -> Iterator[Section]:
    """Yield the sections of the programs that a name means."""
    group, _colon, own = _own(name).rpartition(":")
    for path, text in texts().items():
        for section in configs.supervisor(text):
            kind, _colon, program = section.name.partition(":")
            if kind == "program" and program in ((group,) if own == "*" else (own,)):
                here = own_words(path, program)
                yield Section(section.name, tuple((key, put_in(value, here)) for key, value in section.entries))


def _logs(name: str) -> list[str]:
    """Return the files that a program's output goes to, as far as their names are told."""
    return sorted({
        path
        for section in _sections(name)
        for path in section.all("stdout_logfile", "stderr_logfile")
        if path.startswith("/") and not path.startswith("/dev/")
    })  # fmt: skip


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
