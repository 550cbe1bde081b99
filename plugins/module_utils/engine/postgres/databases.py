# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole databases: create, copy, drop, and put one in the place of another."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .. import files
from ..errors import CatmaidError
from . import marks, properties
from .properties import Properties
from .server import Server, maintenance_database, quoted

try:
    import psycopg2
    import psycopg2.errors
    from psycopg2 import sql
except ImportError:
    pass  # Server.connect, which comes first, says so

FIRST_WITH_STRATEGY = 150000
# The comment of a database that is being made: whoever finds it later knows that it may go.
UNFINISHED = "catmaid.admin: unfinished"
# How the roles restore and upgrade name the databases that they keep, and those in which something is looked up.
KEPT = re.compile(r"_((before|failed)_(restore|upgrade)|scratch)_\d{8}t\d{6}$")
INVALID = -2  # the limit of connections of a database whose drop was cut short: it can only be dropped once more
MAXIMUM_NAME = 63
# By pg_database.datlocprovider. A server that lacks one (icu before 15, builtin before 17) says so.
PROVIDERS = {"i": ("icu", "ICU_LOCALE"), "b": ("builtin", "BUILTIN_LOCALE")}
IN_USE = "55006"  # SQLSTATE object_in_use
SWAP_ATTEMPTS = 5
SESSION_INTERVAL = 0.05
SESSION = """
pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(host(client_addr), 'local'), coalesce(state, ''),
backend_start::timestamptz(0)::text, coalesce(query_start::timestamptz(0)::text, '')"""


@dataclass(frozen=True)
class Session:
    """Somebody who is connected to a database."""

    pid: int
    user: str
    application: str
    client: str
    state: str
    since: str = ""
    query_start: str = ""

    def __str__(self) -> str:
        return f"{self.user} (pid {self.pid}, {self.application or 'unnamed'}, {self.state or 'no state'})"

    @property
    def told(self) -> str:
        """Who it is and since when; not what it asked, in which there may be a secret."""
        asked = f", last statement at {self.query_start}" if self.query_start else ""
        return (
            f"{self.user} from {self.client} (pid {self.pid}, application {self.application or 'without a name'}, "
            f"connected since {self.since}, {self.state or 'no state'}{asked})"
        )


@dataclass(frozen=True)
class Pair:
    """What two databases were before a swap; None where there was none."""

    live: Properties | None
    replacement: Properties


@contextmanager
def maintenance(server: Server, *, autocommit: bool = False) -> Iterator[Any]:
    """Yield a connection to a database that is none of those worked on."""
    with server.connect(maintenance_database(server), autocommit=autocommit) as connection:
        yield connection


def read(server: Server, name: str) -> Properties | None:
    """Return the properties of a database, None if there is none of this name."""
    with maintenance(server) as connection:
        return properties.read(connection, name)


def listing(server: Server, database: str = "", *, kept: bool = False) -> list[Properties]:
    """Return the databases that people work with, as a login to ``database`` sees them; with ``kept`` others too."""
    with server.connect(database or maintenance_database(server)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'"
            " AND has_database_privilege(oid, 'CONNECT') ORDER BY datname"
        )
        found = [properties.read(connection, str(name)) for (name,) in cursor.fetchall()]
    there = [about for about in found if about]  # one may have been dropped meanwhile
    return there if kept else [about for about in there if about.comment != UNFINISHED and not KEPT.search(about.name)]


def is_left_over(about: Properties) -> bool:
    """Tell whether a database was never finished, or whether its drop was not."""
    return about.comment == UNFINISHED or about.connection_limit == INVALID


def sessions(connection: Any, names: Sequence[str]) -> list[Session]:
    """Return the clients connected to these databases."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {SESSION} FROM pg_stat_activity WHERE datname = ANY(%s) AND backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() ORDER BY pid",
            (list(names),),
        )
        return [Session(*row) for row in cursor.fetchall()]


@contextmanager
def keeping_out(server: Server, names: Sequence[str]) -> Iterator[list[Session]]:
    """End every session of these databases, again and again, while the body runs; yield the growing list of them.

    The body's statement locks its database first and then waits up to five seconds for the others to leave: new
    sessions wait behind that lock, so the loop needs no setting that a kill would leave behind.
    """
    done = threading.Event()
    ended: list[Session] = []
    failures: list[CatmaidError] = []
    maintained = maintenance_database(server)

    def loop(connection: Any) -> None:
        try:
            while not done.wait(SESSION_INTERVAL):
                with connection.cursor() as cursor:
                    # In the list of columns, not in WHERE: there the planner may call it for other databases' rows.
                    cursor.execute(
                        f"SELECT {SESSION}, pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)"
                        " AND pid <> pg_backend_pid() AND backend_type NOT LIKE 'autovacuum%%'",
                        (list(names),),
                    )
                    known = {session.pid for session in ended}
                    ended.extend(Session(*row[:-1]) for row in cursor.fetchall() if row[0] not in known)
        except psycopg2.Error as error:
            failures.append(CatmaidError(f"ending the sessions of {', '.join(names)}", str(error)))

    with server.connect(maintained, autocommit=True) as connection:
        worker = threading.Thread(target=loop, args=(connection,), daemon=True)
        worker.start()
        try:
            yield ended
        except BaseException:
            if failures:
                raise failures[0] from None  # why the sessions stayed is the better answer
            raise
        finally:
            done.set()
            worker.join()


def create(
    server: Server,
    name: str,
    *,
    owner: str | None,
    encoding: str = "",
    collate: str = "",
    ctype: str = "",
    provider: str = "",
    locale: str = "",
    closed: bool = False,
) -> None:
    """Create an empty database, marked as unfinished; ``closed`` to all but superusers, its owner too."""
    doing = f"creating database {name}"
    check_name(name, doing)
    with maintenance(server, autocommit=True) as connection:
        options = ["TEMPLATE template0"]
        if owner:
            options.append(f"OWNER {quoted(owner, connection)}")
        for key, value in (("ENCODING", encoding), ("LC_COLLATE", collate), ("LC_CTYPE", ctype)):
            if value:
                options.append(f"{key} {sql.Literal(value).as_string(connection)}")
        if provider in PROVIDERS and locale:
            kind, option = PROVIDERS[provider]
            options.append(f"LOCALE_PROVIDER {kind} {option} {sql.Literal(locale).as_string(connection)}")
        if closed:
            options.append("CONNECTION LIMIT 0")
        with connection.cursor() as cursor:
            try:
                cursor.execute(f"CREATE DATABASE {quoted(name, connection)} {' '.join(options)}")
            except psycopg2.Error as error:
                raise CatmaidError(doing, str(error), sqlstate=error.pgcode) from error
            mark(connection, name)


def mark(connection: Any, name: str, comment: str = UNFINISHED) -> None:
    """Write the comment of a database."""
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON DATABASE {quoted(name, connection)} IS %s", (comment or None,))


def drop(server: Server, name: str, *, end_sessions: bool = False) -> None:
    """Drop a database; with ``end_sessions`` in spite of those who are connected."""
    with maintenance(server, autocommit=True) as connection:
        force = " WITH (FORCE)" if end_sessions else ""
        with connection.cursor() as cursor:
            try:
                cursor.execute(f"DROP DATABASE IF EXISTS {quoted(name, connection)}{force}")
            except psycopg2.errors.ObjectInUse as error:
                raise in_use(connection, f"dropping database {name}", [name]) from error
            except psycopg2.Error as error:
                raise CatmaidError(f"dropping database {name}", str(error), sqlstate=error.pgcode) from error


def in_use(connection: Any, doing: str, names: Sequence[str]) -> CatmaidError:
    """Return an error that tells who is connected."""
    who = [str(session) for session in sessions(connection, names)]
    listed = ", ".join(who[:5]) + (f" and {len(who) - 5} more" if len(who) > 5 else "")
    return CatmaidError(
        doing,
        f"connected to {' and '.join(names)}: {listed or 'somebody who has just left'}",
        "Stop the instance first, or set end_sessions.",
        sessions=who,
    )


def check_copy(server: Server, source: str, name: str, *, end_sessions: bool) -> Properties:
    """Return the properties of the database to copy, or raise what would stop the copy."""
    doing = f"copying database {source} to {name}"
    check_name(name, doing)
    with maintenance(server) as connection:
        original = properties.read(connection, source)
        if original is None:
            raise CatmaidError(doing, f"there is no database {source}")
        if not end_sessions and sessions(connection, [source]):
            raise in_use(connection, doing, [source])
        check_space(connection, server, doing, original.bytes)
    return original


def check_unused(server: Server, doing: str, name: str, *, end_sessions: bool) -> None:
    """Refuse a database that somebody is connected to, unless the sessions may be ended."""
    with maintenance(server) as connection:
        if not end_sessions and sessions(connection, [name]):
            raise in_use(connection, doing, [name])


def copy(server: Server, source: str, name: str, *, end_sessions: bool = False) -> list[Session]:
    """Copy a database file by file, with its owner, rights, settings and comment. Whole under its name, or not there.

    Nobody can connect to the source meanwhile. Returns the sessions that were ended.
    """
    doing = f"copying database {source} to {name}"
    before = check_copy(server, source, name, end_sessions=end_sessions)
    unfinished = name.encode()[:52].decode("utf-8", "ignore") + ".unfinished"
    drop(server, unfinished)  # what a killed run left
    with maintenance(server, autocommit=True) as connection:
        strategy = " STRATEGY file_copy" if connection.server_version >= FIRST_WITH_STRATEGY else ""
        statement = (
            f"CREATE DATABASE {quoted(unfinished, connection)} TEMPLATE {quoted(source, connection)}"
            f" OWNER {quoted(before.owner, connection)}{strategy}"
        )
        try:
            with keeping_out(server, [source] if end_sessions else []) as ended:
                _execute(connection, statement)
        except psycopg2.errors.ObjectInUse as error:
            raise in_use(connection, doing, [source]) from error
        except psycopg2.Error as error:
            raise CatmaidError(doing, str(error), sqlstate=error.pgcode) from error
    try:
        with maintenance(server) as connection:
            properties.apply(connection, unfinished, before)
            _rename(connection, unfinished, name)
    except BaseException:
        drop(server, unfinished)
        raise
    return ended


def check_name(name: str, doing: str) -> None:
    """Refuse a name that PostgreSQL would cut short without a word."""
    if not 0 < len(name.encode()) <= MAXIMUM_NAME:
        raise CatmaidError(doing, f"{name!r} is no name for a database", f"It may have 1 to {MAXIMUM_NAME} bytes.")


def room(connection: Any, server: Server) -> tuple[str, int] | None:
    """Return the folder of a server on this host and the bytes that are free there; None where that cannot be asked."""
    if not server.address.startswith("/"):
        return None  # another host's disk
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        row = cursor.fetchone()  # not everybody may see it
    return (str(row[0]), files.free_bytes(row[0])) if row and row[0] and os.path.isdir(row[0]) else None


def check_space(connection: Any, server: Server, doing: str, needed: int) -> None:
    """Refuse when the disk of a server on this host has not ``needed`` bytes left."""
    found = room(connection, server)
    if found and found[1] < needed:
        raise CatmaidError(
            doing, f"{needed} bytes are needed below {found[0]}, {found[1]} are free", "Make room on that disk."
        )


def pair(connection: Any, live: str, replacement: str, keep_as: str) -> Pair:
    """Return the two databases of a swap, or say why it cannot be done."""
    doing = f"putting database {replacement} in the place of {live}"
    for name in (live, keep_as):
        check_name(name, doing)
    if len({live, replacement, keep_as}) < 3:
        raise CatmaidError(doing, "the three names must differ")
    new = properties.read(connection, replacement)
    if new is None:
        raise CatmaidError(doing, f"there is no database {replacement}")
    if new.comment == UNFINISHED:
        raise CatmaidError(doing, f"{replacement} was never finished", "Restore it again, then swap.")
    old = properties.read(connection, live)
    if old is not None and properties.read(connection, keep_as) is not None:
        raise CatmaidError(doing, f"there is a database {keep_as} already", "Drop it, or keep the old one elsewhere.")
    return Pair(old, new)


def swap(server: Server, live: str, replacement: str, keep_as: str) -> tuple[Pair, list[Session]]:
    """Rename ``live`` to ``keep_as`` and ``replacement`` to ``live`` in one transaction; all sessions are ended.

    The new one gets what the old one had: owner, rights, settings, comment, limit. The old one's comment tells from
    then on what it was. Where there is no ``live`` (it was destroyed), it is a plain rename. Returns what was before,
    and the sessions that were ended.
    """
    doing = f"putting database {replacement} in the place of {live}"
    for attempt in range(1, SWAP_ATTEMPTS + 1):
        try:
            with keeping_out(server, [live, replacement]) as ended, maintenance(server) as connection:
                before = pair(connection, live, replacement, keep_as)
                if before.live:
                    _rename(connection, live, keep_as)
                    mark(connection, keep_as, str(marks.new(keep_as, live, before.live.comment)))
                _rename(connection, replacement, live)
                wanted = before.live or before.replacement
                properties.apply(connection, live, wanted, marks.unmarked(wanted.comment))
            return before, ended
        except CatmaidError as error:
            if error.details.get("sqlstate") != IN_USE:
                raise
            if attempt == SWAP_ATTEMPTS:
                cause = f"sessions could not be ended in {attempt} attempts ({error.cause})"
                raise CatmaidError(doing, cause, "Stop the instance first.") from error
    raise AssertionError("not reached")


def _rename(connection: Any, old: str, new: str) -> None:
    _execute(connection, f"ALTER DATABASE {quoted(old, connection)} RENAME TO {quoted(new, connection)}")


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
