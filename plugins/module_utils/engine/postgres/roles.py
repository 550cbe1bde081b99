# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of a cluster: written beside a dump, and made again where they are missing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from . import catalog, client, databases
from .server import Server

try:
    import psycopg2
except ImportError:
    pass  # Server.connect, which comes first, says so

_NAME = r'(?:"(?:[^"]|"")+"|[^\s";]+)'
_ROLE = re.compile(rf"^(?P<verb>CREATE|ALTER) ROLE (?P<role>{_NAME})(?P<rest>.*);$")
_MEMBER = re.compile(rf"^GRANT (?P<group>{_NAME}) TO (?P<role>{_NAME})(?P<rest>.*?)(?: GRANTED BY {_NAME})?;$")


@dataclass(frozen=True)
class Statement:
    """A line of pg_dumpall about one role."""

    role: str
    group: str
    creates: bool
    sql: str


def dump(server: Server, database: str, path: str) -> list[str]:
    """Write the roles of the cluster to ``path``; return what this login may not read and is missing therefore."""
    version = server.version(database)
    missing: list[str] = []
    last = "pg_dumpall failed"
    for extra in ([], ["--no-role-passwords"]):
        with open(path, "wb") as file:
            result = client.run(
                server,
                "pg_dumpall",
                ["--globals-only", "--no-password", f"--database={client.conninfo(database)}", *extra],
                database,
                version=version,
                doing="dumping the roles",
                stdout_to=file,
                ok=None,
            )
        if result.rc == 0:
            return missing
        said = result.stderr.strip().splitlines()
        # After the error comes the query, as a detail.
        last = next((line for line in said if "ERROR: " in line), (said or [last])[-1])
        if "permission denied" not in result.stderr:
            break
        missing = [f"the passwords of the roles: {server.user} may not read them"]
    os.unlink(path)
    return [f"the roles: {last}"]


def parse(text: str) -> list[Statement]:
    """Return the statements about roles in the output of ``pg_dumpall --globals-only``; all others are passed over."""
    found = []
    for line in text.splitlines():
        role = _ROLE.match(line)
        if role:
            found.append(Statement(_plain(role["role"]), "", role["verb"] == "CREATE", line))
            continue
        member = _MEMBER.match(line)
        if member:
            # Who granted it may be a role that is not wanted here, so we do.
            sql = f"GRANT {member['group']} TO {member['role']}{member['rest']};"
            found.append(Statement(_plain(member["role"]), _plain(member["group"]), False, sql))
    return found


def restore(server: Server, text: str, wanted: set[str] | None = None) -> list[str]:
    """Create the roles of a globals file that do not exist; return their names. Existing roles are not touched.

    ``wanted`` limits it to some roles. A membership comes along when the group exists by then.
    """
    statements = parse(text)
    with databases.maintenance(server) as connection:
        existing = catalog.roles(connection)
        made = [s.role for s in statements if s.creates and s.role not in existing]
        if wanted is not None:
            made = [role for role in made if role in wanted]
        known = existing | set(made)
        for statement in statements:
            if statement.role in made and (not statement.group or statement.group in known):
                _execute(connection, statement)
    return made


def _execute(connection: Any, statement: Statement) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute(statement.sql)
        except psycopg2.Error as error:
            # Without the statement: it can hold the hash of a password.
            cause = str(error.diag.message_primary or "refused")
            raise CatmaidError(f"restoring role {statement.role}", cause, sqlstate=error.pgcode) from None


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
