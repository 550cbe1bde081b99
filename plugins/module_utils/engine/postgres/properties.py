# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The properties of a database itself, which neither CREATE DATABASE … TEMPLATE nor a rename carries along."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .server import quoted

try:
    from psycopg2 import sql
except ImportError:
    pass  # Server.connect, which comes first, says so

# Values of these are lists of quoted names: they are SQL already, and quoting them once more would make one name.
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}


@dataclass(frozen=True)
class Privilege:
    """A right on the database. An empty grantee is PUBLIC."""

    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class Properties:
    """What a database has besides its contents."""

    name: str
    oid: int
    bytes: int
    owner: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str
    connection_limit: int
    comment: str
    privileges: tuple[Privilege, ...]
    settings: tuple[str, ...]
    role_settings: tuple[tuple[str, tuple[str, ...]], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a manifest."""
        return asdict(self)


def read(connection: Any, name: str) -> Properties | None:
    """Return the properties of a database, None if there is none of this name."""
    with connection.cursor() as cursor:
        # The column for the locale of ICU has had three names: daticulocale (15, 16), datlocale (17), none before.
        cursor.execute(
            "SELECT d.oid::bigint, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate,"
            "       d.datctype,"
            "       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),"
            "       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''),"
            "       d.datconnlimit, coalesce(shobj_description(d.oid, 'pg_database'), ''),"
            "       CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) ELSE 0 END"
            "  FROM pg_database d WHERE d.datname = %s",
            (name,),
        )
        row = cursor.fetchone()
        if row is None:
            return None
        oid, owner, encoding, collate, ctype, provider, locale, limit, comment, size = row
        cursor.execute(
            "SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type,"
            "       a.is_grantable FROM pg_database d,"
            "       LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a"
            " WHERE d.oid = %s ORDER BY 1, 2",
            (oid,),
        )
        privileges = tuple(Privilege(*entry) for entry in cursor.fetchall())
        cursor.execute(
            "SELECT coalesce(r.rolname, ''), s.setconfig FROM pg_db_role_setting s LEFT JOIN pg_roles r"
            " ON r.oid = s.setrole WHERE s.setdatabase = %s ORDER BY 1",
            (oid,),
        )
        by_role = {str(role): tuple(config) for role, config in cursor.fetchall()}
    settings = by_role.pop("", ())
    return Properties(
        name, oid, size, owner, encoding, collate, ctype, provider, locale, limit, comment, privileges, settings,
        tuple(by_role.items()),
    )  # fmt: skip


def apply(connection: Any, name: str, wanted: Properties, comment: str | None = None) -> None:
    """Give database ``name`` the owner, rights, settings, comment and limit of ``wanted``, in this transaction."""
    have = read(connection, name) or wanted
    for statement in statements(connection, name, have, wanted, wanted.comment if comment is None else comment):
        with connection.cursor() as cursor:
            cursor.execute(statement)


def statements(connection: Any, name: str, have: Properties, wanted: Properties, comment: str) -> list[str]:
    """Return the SQL that turns what a database has into what is wanted; nothing for what is equal."""
    target = quoted(name, connection)
    out = []
    if have.owner != wanted.owner:
        out.append(f"ALTER DATABASE {target} OWNER TO {quoted(wanted.owner, connection)}")
    if have.owner != wanted.owner or have.privileges != wanted.privileges:
        # A change of owner moves the old owner's rights along, so all are taken back by name, old and new.
        grantees = dict.fromkeys([wanted.owner, *(p.grantee for p in (*have.privileges, *wanted.privileges))])
        out += [f"REVOKE ALL ON DATABASE {target} FROM {_grantee(who, connection)} CASCADE" for who in grantees]
        for entry in wanted.privileges:
            option = " WITH GRANT OPTION" if entry.grantable else ""
            out.append(f"GRANT {entry.privilege} ON DATABASE {target} TO {_grantee(entry.grantee, connection)}{option}")
    if have.settings != wanted.settings:
        out.append(f"ALTER DATABASE {target} RESET ALL")
        out += [f"ALTER DATABASE {target} SET {setting(entry, connection)}" for entry in wanted.settings]
    had = dict(have.role_settings)
    for role, settings in {**dict.fromkeys(had, ()), **dict(wanted.role_settings)}.items():
        if had.get(role, ()) != settings:
            who = f"ALTER ROLE {quoted(role, connection)} IN DATABASE {target}"
            out.append(f"{who} RESET ALL")
            out += [f"{who} SET {setting(entry, connection)}" for entry in settings]
    if have.comment != comment:
        text = literal(comment, connection) if comment else "NULL"
        out.append(f"COMMENT ON DATABASE {target} IS {text}")
    if have.connection_limit != wanted.connection_limit:
        out.append(f"ALTER DATABASE {target} CONNECTION LIMIT {wanted.connection_limit}")
    return out


def _grantee(name: str, connection: Any) -> str:
    return quoted(name, connection) if name else "PUBLIC"


def setting(entry: str, connection: Any) -> str:
    """Return a setting, as the catalog writes it, as a part of a statement."""
    name, value = entry.split("=", 1)
    # A name may have a dot (an extension's or an application's own setting): each part is an identifier.
    identifier = ".".join(quoted(part, connection) for part in name.split("."))
    return f"{identifier} TO {value if name.lower() in _LISTS else literal(value, connection)}"


def literal(text: str, connection: Any) -> str:
    """Return a text as SQL."""
    return str(sql.Literal(text).as_string(connection))
