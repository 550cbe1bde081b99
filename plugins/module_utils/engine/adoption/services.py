# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who starts a checkout's code: systemd units, programs of supervisor, ini files of uWSGI, read from their files."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .. import configs
from ..configs import Section
from ..upgrades import programs, supervisor

SYSTEMD = ("/etc/systemd/system/*.service", "/usr/local/lib/systemd/system/*.service",
           "/lib/systemd/system/*catmaid*.service")  # fmt: skip
VASSALS = ("/etc/uwsgi/apps-enabled/*.ini", "/etc/uwsgi/vassals/*.ini", "/etc/uwsgi-emperor/vassals/*.ini")
CACHES = ("catmaid_spatial_update_worker", "catmaid_cache_update_worker")
CACHE_WORKER = "cache worker"
ORDER = (programs.WSGI, programs.ASGI, programs.WORKER, programs.BEAT, CACHE_WORKER, "")
ACTIVATED = re.compile(r"(?:^|\s)(?:source|\.)\s+[\"']?([^\"'\n;&]+?)/bin/activate")
RUN_FROM = re.compile(r"[\"']?(/[^\"'\n;&=]*?)/bin/(?:python[0-9.]*|gunicorn|uwsgi|daphne|celery)\b")
READ = (".ini", ".sh", ".conf", ".cfg")
Reader = Callable[[str], str]


@dataclass(frozen=True)
class Service:
    """``name`` is what an upgrade calls it. ``address`` is where it answers HTTP itself, ``sockets`` where a web server
    may find it, in whatever language. ``text`` is all that it is told, ``reads`` the files that its command names."""

    name: str
    file: str
    command: str
    kind: str = ""
    user: str = ""
    folder: str = ""
    address: str = ""
    sockets: tuple[str, ...] = ()
    stats: str = ""
    virtualenv: str = ""
    stop_signal: str = ""
    reads: tuple[str, ...] = ()
    text: str = ""

    def names(self, place: str) -> bool:
        """Tell whether it is told of a folder, or of something below it."""
        return bool(place and re.search(rf"{re.escape(place)}(?![^/\s\"'=:;,)])", self.text))


def find(units: Mapping[str, str], supervised: Mapping[str, str], vassals: Mapping[str, str],
         reader: Reader | None = None) -> list[Service]:  # fmt: skip
    """Return all services that these files define, by their texts."""
    read = reader or _read
    found = [_unit(path, text, read) for path, text in units.items()]
    found += [one for path, text in supervised.items() for one in _programs(path, text, supervised, read)]
    found += [_vassal(path, text) for path, text in vassals.items()]
    return found


def of(services: Sequence[Service], places: Sequence[str]) -> list[Service]:
    """Return those that are told of one of these folders, in the order in which they start."""
    there = [service for service in services if any(service.names(place) for place in places)]
    return sorted(there, key=lambda service: ORDER.index(service.kind))


def _unit(path: str, text: str, read: Reader) -> Service:
    told = {section.name: section for section in configs.systemd(text)}
    service = told.get("Service", Section("Service", ()))
    command = service.last("ExecStart").lstrip("-@+!:").replace("\\x20", " " if "'" in text else "\\ ")
    environment = " ".join(service.all("Environment"))
    return _started(
        Service(
            name=os.path.basename(path),
            file=path,
            command=command,
            user=service.last("User") or "root",
            folder=service.last("WorkingDirectory").lstrip("-!").strip("\"'"),
            stop_signal=service.last("KillSignal"),
            text="\n".join([command, environment, service.last("WorkingDirectory")]),
        ),
        read,
    )


def _programs(path: str, text: str, all_of: Mapping[str, str], read: Reader) -> list[Service]:
    sections = configs.supervisor(text)
    groups = {
        name.strip(): section.name.partition(":")[2]
        for other in all_of.values()
        for section in configs.supervisor(other)
        if section.name.startswith("group:")
        for name in section.last("programs").split(",")
    }
    found = []
    for section in sections:
        kind, _colon, name = section.name.partition(":")
        if kind != "program":
            continue
        several = section.last("numprocs") not in ("", "1")
        group = groups.get(name, name if several else "")
        own = f"{group}:{'*' if several and group == name else name}" if group else name
        here = supervisor.own_words(path, name)
        command, folder = (supervisor.put_in(section.last(key), here) for key in ("command", "directory"))
        told = Service(
            name=f"{supervisor.PREFIX}{own}",
            file=path,
            command=command,
            user=section.last("user") or "root",
            folder=folder,
            stop_signal=section.last("stopsignal") or "TERM",
            text="\n".join([command, folder, supervisor.put_in(section.last("environment"), here)]),
        )
        found.append(_started(told, read))
    return found


def _vassal(path: str, text: str) -> Service:
    """Return what Debian's own service of uWSGI starts for a file."""
    name = "uwsgi-emperor.service" if "emperor" in path else "uwsgi.service"
    return _with_ini(Service(name, path, f"uwsgi --ini {path}", programs.WSGI, text=text), path, text)


def _started(service: Service, read: Reader) -> Service:
    """Add what its command line says, and what is in the files that this names."""
    try:
        words = shlex.split(service.command.replace("\n", " "))
    except ValueError:
        words = service.command.split()
    program = programs.parse(words)
    kind = program.kind or (CACHE_WORKER if any(word in CACHES for word in words) else "")
    found = replace(service, kind=kind, virtualenv=_virtualenv(service, words))
    if kind in (programs.WSGI, programs.ASGI) and program.name != "uwsgi":
        address = programs.address(program)
        found = replace(found, address=address, sockets=(address,) if address else ())
    for word in words:
        path = os.path.join(service.folder or "/", word.partition("=")[2] if word.startswith("--") else word)
        if path.endswith(READ) or (word is words[0] and not path.startswith("/bin/")):
            text = read(path)
            if text and path.endswith(".ini"):
                found = _with_ini(found, path, text)
            elif text and text.startswith("#!"):
                found = _with_script(found, path, text)
    return found


def _with_ini(service: Service, path: str, text: str) -> Service:
    ini = configs.uwsgi(text, path)
    http = next((value for value in ini.all("http-socket", "http")), "")
    sockets = tuple(_address(value) for value in ini.all("socket", "uwsgi-socket", "http-socket", "http"))
    folder = ini.last("chdir") or service.folder
    return replace(
        service,
        user=ini.last("uid") or service.user,
        folder=folder,
        virtualenv=(ini.last("virtualenv", "venv", "home", "pyhome") or service.virtualenv).rstrip("/"),
        address=_address(http) if http else service.address,
        sockets=(*service.sockets, *sockets),
        stats=ini.last("stats") or service.stats,
        reads=(*service.reads, path),
        text="\n".join([service.text, *(value for _key, value in ini.entries)]),
    )


def _with_script(service: Service, path: str, text: str) -> Service:
    told = replace(service, reads=(*service.reads, path), text=f"{service.text}\n{text}")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    kinds = (programs.parse(_words(line.strip().removeprefix("exec "))).kind for line in lines)
    return replace(told, kind=service.kind or next(filter(None, kinds), ""), virtualenv=_virtualenv(told, []))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _virtualenv(service: Service, words: Sequence[str]) -> str:
    """Return the virtual environment that a command is called from, or that is activated before."""
    activated = ACTIVATED.search(service.text)
    named = re.search(r"VIRTUAL_ENV=[\"']?([^\"'\n,]+)", service.text)
    run_from = [word[: word.rindex("/bin/")] for word in words if re.fullmatch(r"/.*/bin/[a-z0-9.]+", word)]
    in_text = RUN_FROM.search(service.text)
    chosen = [*(match.group(1) for match in (activated, named) if match), *run_from]
    chosen += [in_text.group(1)] if in_text else []
    return next((path for path in chosen if path not in ("/usr", "/usr/local", "")), "")


def _address(value: str) -> str:
    """Return an address as nginx writes it: unix:/path or host:port."""
    if value.startswith(("/", "unix:")):
        return f"unix:{value.removeprefix('unix:')}"
    host, _colon, port = value.rpartition(":")
    return f"{programs.ANYWHERE.get(host, host)}:{port}"


def _read(path: str) -> str:
    return configs.read(glob.escape(path)).get(path, "")
