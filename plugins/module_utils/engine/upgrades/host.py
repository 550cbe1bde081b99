# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules of releases want to know of the host and its database. Reads only."""

from __future__ import annotations

import glob
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .. import command, files
from ..backups.space import FIRST_ESTIMATE
from ..django.project import Project
from ..errors import CatmaidError
from ..postgres import databases
from ..postgres.server import Server
from . import settings
from .request import COPY
from .settings import Settings

try:
    import psycopg2
except ImportError:  # pragma: no cover (said by who connects)
    pass

READING = {"default_transaction_read_only": "on", "lock_timeout": "10s", "statement_timeout": "60s"}
VERSION = re.compile(r"(\d+(?:\.\d+)+)")

# Where other programs are told of CATMAID's commands, and how its processes are started
CRON = ("/etc/crontab", "/etc/cron.d/*", "/etc/cron.daily/*", "/var/spool/cron/crontabs/*")
STARTERS = ("/etc/systemd/system/*.service", "/etc/supervisor/*.conf", "/etc/supervisor/conf.d/*.conf")
WEB = ("/etc/nginx/nginx.conf", "/etc/nginx/conf.d/*.conf", "/etc/nginx/sites-enabled/*")

Version = tuple[int, ...]


@dataclass
class PostGIS:
    """``extension`` is the version that the database has, ``available`` the one that is installed on the server.

    ``problem`` is what the library answered when it cannot be loaded, ``outdated`` whether it asks for an upgrade.
    """

    extension: str = ""
    available: str = ""
    library: str = ""
    outdated: bool = False
    problem: str = ""


@dataclass
class Host:
    """Everything a rule may look at."""

    python: Version = ()
    interpreter: str = ""
    server: int = 0
    postgis: PostGIS = field(default_factory=PostGIS)
    extensions: dict[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    gdal: int = 0  # of libgdal.so: GDAL 2.0 began with 20
    database_bytes: int = 0
    database_free: int | None = None  # None: the server is on another host
    database_folder: str = ""
    protect: str = COPY
    dump_bytes: int = 0  # what a dump of the database will about take
    dump_free: int | None = None  # None: there is no folder for one
    dump_folder: str = ""
    release_bytes: int = 0
    release_free: int = 0
    texts: dict[str, str] = field(default_factory=dict)  # configuration files of others, by path

    def naming(self, word: str, among: tuple[str, ...] = CRON + STARTERS + WEB) -> list[str]:
        """Return the configuration files in which a word is to be found outside comments."""
        paths = {path for pattern in among for path in glob.glob(pattern)}
        return sorted(path for path, text in self.texts.items() if path in paths and word in text)


def look(server: Server, database: str, project: Project, root: str, interpreter: str) -> Host:
    """Return what there is. The release that serves is about as large as the next one."""
    host = Host(interpreter=interpreter, python=_python(interpreter, project.os_user), gdal=_gdal())
    host.settings = settings.read(os.path.join(project.folder, *project.settings.split(".")) + ".py")
    host.release_bytes, host.release_free = _size(os.path.dirname(project.path)), files.free_bytes(root)
    host.texts = _texts()
    _database(host, server, database)
    return host


def look_at_protection(host: Host, protect: str, backup_dir: str) -> None:
    """Add how the database is to be protected, and what the dump needs that stands in for a copy without room."""
    host.protect, host.dump_folder = protect, backup_dir
    host.dump_bytes = int(host.database_bytes * FIRST_ESTIMATE[True])
    host.dump_free = files.free_bytes(backup_dir) if os.path.isdir(backup_dir) else None


def _database(host: Host, server: Server, database: str) -> None:
    with server.connect(database, settings=READING, autocommit=True) as connection, connection.cursor() as cursor:
        host.server = connection.server_version
        cursor.execute("SELECT extname, extversion FROM pg_extension ORDER BY extname")
        host.extensions = dict(cursor.fetchall())
        cursor.execute("SELECT pg_database_size(current_database())")
        host.database_bytes = int(cursor.fetchone()[0])
        host.postgis = postgis(cursor, host.extensions.get("postgis", ""))
        found = databases.room(connection, server)
        if found:
            host.database_folder, host.database_free = found


def postgis(cursor: Any, extension: str) -> PostGIS:
    """Return the state of PostGIS in the database of a cursor, which must not be in a transaction."""
    found = PostGIS(extension=extension)
    cursor.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'postgis'")
    row = cursor.fetchone()
    found.available = str(row[0]) if row and row[0] else ""
    if not extension:
        return found
    try:
        # Not from the catalog: after an update of the operating system the library can be gone, and pg_dump fails too.
        cursor.execute("SELECT postgis_lib_version(), postgis_full_version()")
        library, full = cursor.fetchone()
        found.library, found.outdated = str(library), "need upgrade" in str(full)
    except psycopg2.Error as error:
        found.problem = " ".join(str(error).split())
    return found


def _python(interpreter: str, user: str | None) -> Version:
    """Return the version of an interpreter, as the service user finds it; nothing when it cannot be run."""
    asked = [interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        said = command.run(asked, doing=f"asking {interpreter} for its version", user=user, ok=None)
    except CatmaidError:
        return ()
    return version(said.stdout) if said.rc == 0 else ()


def _gdal() -> int:
    """Return the number of the library that Django finds; 0 without one."""
    listed = command.run(["/sbin/ldconfig", "-p"], doing="looking for GDAL", ok=None).stdout
    return max((int(number) for number in re.findall(r"libgdal\.so\.(\d+)", listed)), default=0)


def _size(folder: str) -> int:
    """Return the bytes of the files below a folder; a link counts for itself, wherever it leads."""
    total = 0
    for path, _folders, names in os.walk(os.path.realpath(folder)):
        for name in names:
            with suppress(OSError):  # a running instance makes and removes files
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def _texts() -> dict[str, str]:
    found = {}
    for pattern in CRON + STARTERS + WEB:
        for path in glob.glob(pattern):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    lines = file.read().splitlines()
            except OSError:
                continue
            found[path] = "\n".join(line for line in lines if not line.lstrip().startswith(("#", ";")))
    return found


def version(text: str) -> Version:
    """Return the first version in a text as numbers, nothing without one."""
    match = VERSION.search(text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()
