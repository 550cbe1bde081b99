# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command line starts, and where that listens: said by its words alone, whichever way it is called."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

WSGI, ASGI, WORKER, BEAT = "wsgi", "asgi", "celery worker", "celery beat"
SERVERS = {"gunicorn": WSGI, "uwsgi": WSGI, "daphne": ASGI, "uvicorn": ASGI, "hypercorn": ASGI}
CELERY = {"worker": WORKER, "beat": BEAT}
PYTHON = re.compile(r"(python|pypy)[0-9.]*")
WITH_VALUE = ("-W", "-X")  # options of the interpreter that are followed by a word

# By which options each is told where to listen: a socket's path, a port, a host, or all in one
PATHS = {"daphne": ("--unix-socket", "-u"), "uvicorn": ("--uds",)}
PORTS = {"daphne": ("--port", "-p"), "uvicorn": ("--port",)}
HOSTS = {"daphne": ("--bind", "-b"), "uvicorn": ("--host",)}
BINDS = {"gunicorn": ("--bind", "-b"), "hypercorn": ("--bind", "-b")}
WORKERS = ("--worker-class", "-k")
ANYWHERE = {
    "": "127.0.0.1",
    "*": "127.0.0.1",
    "0.0.0.0": "127.0.0.1",  # noqa: S104 (nobody binds to it)
    "[::]": "[::1]",
    "::": "[::1]",
}


@dataclass(frozen=True)
class Program:
    """``call`` are the words by which it is called, ``arguments`` those after them, ``kind`` is what it does."""

    name: str
    kind: str
    call: tuple[str, ...]
    arguments: tuple[str, ...]


def parse(argv: Sequence[str]) -> Program:
    """Return what these words start: directly, by an interpreter, or by env."""
    words = list(argv)
    number = _first(words)
    name = os.path.basename(words[number]) if number < len(words) else ""
    call, arguments = tuple(words[: number + 1]), tuple(words[number + 1 :])
    return Program(name, _kind(name, arguments), call, arguments)


def address(program: Program) -> str:
    """Return where a server listens, as host:port or unix:path; nothing where its command line does not say."""
    name, told = program.name, _options(program.arguments)
    bind = _value(told, BINDS.get(name, ()))
    if bind.startswith("fd:") or "--fd" in told:
        return ""
    path = _value(told, PATHS.get(name, ()))
    if path or bind.startswith("unix:"):
        return f"unix:{path}" if path else bind
    host, _colon, port = bind.rpartition(":") if name in BINDS else ("", "", _value(told, PORTS.get(name, ())))
    host = host or _value(told, HOSTS.get(name, ()))
    host = ANYWHERE.get(host, host)
    return f"[{host}]:{port or 8000}" if ":" in host and not host.startswith("[") else f"{host}:{port or 8000}"


def _first(words: Sequence[str]) -> int:
    """Return the number of the word that names the program."""
    number = 0
    while number < len(words):
        name = os.path.basename(words[number])
        if name == "env" or "=" in name:
            number += 1
        elif PYTHON.fullmatch(name):
            number += 1
            while number < len(words) and words[number].startswith("-"):
                if words[number] == "-m":
                    return number + 1
                number += 2 if words[number] in WITH_VALUE else 1
            return number
        else:
            break
    return number


def _kind(name: str, arguments: Sequence[str]) -> str:
    if name == "celery":
        return next((kind for word, kind in CELERY.items() if word in arguments), "")
    if name == "gunicorn":
        worker = _value(_options(arguments), WORKERS)
        return ASGI if "uvicorn" in worker or worker == "asgi" else WSGI
    return SERVERS.get(name, "")


def _options(arguments: Sequence[str]) -> dict[str, str]:
    """Return the options with what follows them, after a blank, an equals sign or, for a letter, nothing."""
    told = {word: following for word, following in zip(arguments, [*arguments[1:], ""]) if word.startswith("-")}
    for word in arguments:
        if word.startswith("--") and "=" in word:
            told[word.partition("=")[0]] = word.partition("=")[2]
        elif word.startswith("-") and not word.startswith("--") and len(word) > 2:
            told.setdefault(word[:2], word[2:].lstrip("="))
    return told


def _value(told: dict[str, str], names: Sequence[str]) -> str:
    return next((told[name] for name in names if name in told), "")
