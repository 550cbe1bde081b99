# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hand-made instance as a whole: what there is of it, and what is unusual. Reads files, runs nothing of them."""

from __future__ import annotations

import glob
import json
import os
import pwd

from .. import configs
from ..errors import CatmaidError
from ..upgrades import host, supervisor
from . import code, dumps, finding, oddities, services, settings, sites
from .found import Found

SETTINGS = os.path.join("django", "projects", "mysite", "settings.py")
# Where people make virtual environments for a checkout
ENVIRONMENTS = ("django/env", "env", "venv", ".venv", "django/venv", "../env", "../venv", "../virtualenv")
HOMES = (".virtualenvs/catmaid", ".virtualenvs/CATMAID", "env", "venv")
APACHE = ("/etc/apache2/sites-enabled/*", "/etc/apache2/conf-enabled/*")
# Where what this collection makes may go: the first of these that nobody has
ROOTS = ("/opt/catmaid", "/opt/catmaid-admin", "/opt/catmaid-admin-2", "/opt/catmaid-admin-3")
ADOPTED = os.path.join("releases", "adopted")
BESIDE = (os.path.join("django", "configuration.py"), os.path.join("django", "projects", "mysite", "django.wsgi"))
LINKED, LED, UPGRADED = "linked", "led", "upgraded"
HERE = ("", "localhost", "127.0.0.1", "::1")


def choose(path: str) -> str:
    """Return the checkout that is meant; raise where there is none or more than one."""
    doing = "looking for a checkout of CATMAID"
    if path:
        if not finding.is_checkout(path):
            wanted = f"a checkout has {finding.APPLICATION} and {finding.MANAGERS[0]} in it"
            raise CatmaidError(doing, f"{path} is none: {wanted}", "Name the folder that holds django/.")
        return os.path.realpath(path)
    there = finding.find()
    if len(there) == 1:
        return there[0]
    if there:
        cause = f"there are {len(there)}: {', '.join(there)}"
        raise CatmaidError(doing, cause, "Say which one is meant: catmaid_adopt_path.", checkouts=there)
    looked = f"there is none below {', '.join(finding.WHERE)}, and no process runs in one"
    raise CatmaidError(doing, looked, "Name its folder: catmaid_adopt_path.", checkouts=[])


def look(source: str, virtualenv: str = "", root: str = "") -> Found:
    """Return what belongs to a checkout. ``virtualenv`` is looked for unless it is named, a ``root`` is chosen."""
    told = settings.read(os.path.join(source, SETTINGS))
    owner = _account(os.stat(source).st_uid)
    found = Found(source=source, code=code.look(source), settings=told, owner=owner, user=owner)
    found.root = root or _root(source)
    found.state = _state(found.root)
    current = os.path.join(found.root, "current")
    everything = services.find(configs.read(*services.SYSTEMD), supervisor.texts(), configs.read(*services.VASSALS))
    found.services = services.of(everything, [source, f"{current}/source", *([virtualenv] if virtualenv else [])])
    found.virtualenv = virtualenv or _virtualenv(found)
    if found.virtualenv == f"{current}/env":  # services were led there
        found.virtualenv = os.path.realpath(os.path.join(found.root, ADOPTED, "env"))
    found.python = _interpreter(found.virtualenv)
    if found.owner == "root" and found.runs_as and found.runs_as[0] != "root":
        found.user = found.runs_as[0]
    _database(found)
    sockets = [socket for service in found.services for socket in service.sockets]
    own = [str(value) for name, value in told.values.items() if name in settings.PATHS]
    found.sites = sites.find(configs.read(*host.WEB), sockets, [source, f"{current}/source", *own])
    for site in found.sites:
        found.image_data.update(sites.image_data(site, [source, found.root, *own]))
    if told.database.get("NAME"):
        found.dumps = dumps.find(configs.read(*host.CRON), told.database["NAME"])
    found.elsewhere = [path for path, text in configs.read(*APACHE).items() if source in text]
    found.settings_mode = os.stat(told.path).st_mode if os.path.exists(told.path) else 0
    found.keep = _keep(found)
    found.unusual = oddities.of(found)
    return found


def _virtualenv(found: Found) -> str:
    """Return the virtual environment that the services use, or the one that is where people make them."""
    home = _home(found.owner)
    named = [service.virtualenv for service in found.services if service.virtualenv]
    named += [os.path.join(found.source, name) for name in ENVIRONMENTS]
    named += [os.path.join(home, name) for name in HOMES] if home else []
    return next((os.path.normpath(path) for path in named if os.path.exists(os.path.join(path, "bin", "python"))), "")


def _interpreter(virtualenv: str) -> str:
    """Return the Python that a virtual environment was made with, by its own note; nothing is started."""
    if not virtualenv:
        return ""
    told = {}
    for text in configs.read(os.path.join(glob.escape(virtualenv), "pyvenv.cfg")).values():
        told = {
            key.strip(): value.strip() for key, _equals, value in (line.partition("=") for line in text.splitlines())
        }
    version = ".".join(told.get("version", told.get("version_info", "")).split(".")[:2])
    in_home = os.path.join(told.get("home", "/nowhere"), f"python{version}")
    linked = os.path.realpath(os.path.join(virtualenv, "bin", "python"))
    return next((path for path in (in_home, linked) if os.path.exists(path) and virtualenv not in path), "")


def _database(found: Found) -> None:
    told = found.settings.database
    found.db_port = int(told["PORT"]) if told.get("PORT", "").isdigit() else 5432
    name = told.get("HOST", "")
    here = name in HERE or name.startswith("/")
    found.db_host = "" if here else name


def _root(source: str) -> str:
    """Return a folder that nobody has, or the one that was made for this checkout before."""
    for root in ROOTS:
        link = os.path.join(root, ADOPTED, "source")
        if not os.path.lexists(root) or (os.path.islink(link) and os.path.realpath(link) == source):
            return root
    raise CatmaidError("choosing a folder", f"there are all of {', '.join(ROOTS)}", "Name one: catmaid_adopt_root.")


def _state(root: str) -> str:
    """Return how far it was taken over: not at all, linked, led there, or already upgraded."""
    current, adopted = os.path.join(root, "current"), os.path.join(root, ADOPTED)
    if not os.path.islink(current):
        return ""
    if os.path.realpath(current) != os.path.realpath(adopted):
        return UPGRADED
    try:
        with open(os.path.join(adopted, finding.RECORD), encoding="utf-8") as file:
            return LINKED if json.load(file)["adopted"] else LED
    except (OSError, ValueError, KeyError):
        return LINKED


def _keep(found: Found) -> list[str]:
    """Return the files of the checkout that git does not know, and that settings or services need."""
    kept = [os.path.join(found.source, name) for name in (SETTINGS, *BESIDE)]
    kept += [os.path.realpath(path) for service in found.services for path in service.reads]
    names = [os.path.relpath(path, found.source) for path in kept if os.path.isfile(path)]
    return sorted({name for name in names if name in found.code.untracked})


def _account(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _home(account: str) -> str:
    try:
        return pwd.getpwnam(account).pw_dir
    except KeyError:
        return ""
