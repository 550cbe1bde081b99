# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take out of a copy of a database what would let its readers in elsewhere, or tell who somebody is.

What lets people in is in tables that are known: of Django, its extensions and CATMAID. They are emptied, or their
columns replaced. Then all that was found there is looked for in all text of the database, and taken out of it, too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import CatmaidError
from ..postgres import catalog, databases
from ..postgres.server import Server, quoted

HISTORY = "__history"
# What can be kept -> the tables that are emptied otherwise, each by the beginning of its name
EMPTIED = {
    "sessions": ("django_session",),
    "tokens": ("authtoken_token", "catmaid_project_token", "catmaid_user_project_token"),
    "social": ("socialaccount_", "social_auth_", "oauth2_provider_"),
    "emails": ("account_emailaddress", "account_emailconfirmation"),
    "messages": ("message",),
    "client_data": ("client_data",),
    "admin_log": ("django_admin_log", "django_celery_results_", "celery_taskmeta", "celery_tasksetmeta"),
}
# What can be kept -> table, column, what stands there afterwards, and a pattern of what is nobody's already
_RANDOM = "md5(random()::text || clock_timestamp()::text)"
REPLACED = {
    "emails": (("auth_user", "email", "''", "^$"),),
    "passwords": (
        ("auth_user", "password", f"'!' || {_RANDOM}", "^!"),  # Django's own way to say that there is none
        ("catmaid_deep_link", "password", f"'removed-' || {_RANDOM}", "^(removed-[0-9a-f]{32})?$"),
    ),
}
NOBODYS = {(table, column): pattern for values in REPLACED.values() for table, column, _value, pattern in values}
KEEPABLE = sorted({*EMPTIED, *REPLACED, "history", "urls"})
# Where secrets stand -> columns whose values are looked for everywhere else
SECRETS = (
    ("emails", "auth_user", "email"),
    ("emails", "account_emailaddress", "email"),
    ("passwords", "auth_user", "password"),
    ("passwords", "catmaid_deep_link", "password"),
    ("sessions", "django_session", "session_key"),
    ("tokens", "authtoken_token", "key"),
    ("tokens", "catmaid_project_token", "token"),
    ("social", "socialaccount_socialtoken", "token"),
    ("social", "socialaccount_socialtoken", "token_secret"),
    ("social", "socialaccount_socialapp", "secret"),
    ("emails", "account_emailconfirmation", "key"),
    ("urls", "stack_mirror", "image_base"),
    ("urls", "data_source", "url"),
    ("urls", "data_view", "config"),
)
# Of an address of images it is name and password alone that are secret. A configuration in JSON may have many of them.
IN_URL = """SELECT found[1] FROM regexp_matches({}, '://([^/@"[:space:]]+:[^/@"[:space:]]+)@', 'g') found"""
SHORTEST = 6  # what is shorter stands everywhere by chance
GONE = "removed-{}"  # numbered, as names may have to differ
_TEXT = """
    SELECT c.oid::bigint, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype)
     ORDER BY c.relname, a.attnum"""


@dataclass(frozen=True)
class Scrubbing:
    """What to leave in, where the copy is to be reached, and what the titles of its projects begin with."""

    keep: Collection[str] = ()
    domain: str = ""
    label: str = ""


@dataclass
class Scrubbed:
    """What was taken out: rows by table, and the columns of other tables in which secrets stood as well."""

    emptied: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    elsewhere: dict[str, int] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether there was anything."""
        return any((self.emptied, self.replaced, self.elsewhere))


def check_unused(server: Server, database: str) -> None:
    """Refuse a database that somebody uses."""
    with databases.maintenance(server) as connection:
        if databases.sessions(connection, [database]):
            remedy = "Only a copy that nobody uses can be scrubbed."
            raise CatmaidError(f"scrubbing database {database}", "somebody is connected to it", remedy)


def scrub(server: Server, database: str, wanted: Scrubbing, *, check: bool = False) -> Scrubbed:
    """Do it in one transaction; in a check that is rolled back."""
    unknown = sorted(set(wanted.keep) - set(KEEPABLE))
    if unknown:
        cause = f"nothing is known of {', '.join(unknown)}"
        raise CatmaidError(f"scrubbing database {database}", cause, f"To be kept: {', '.join(KEEPABLE)}.")
    with server.connect(database) as connection, connection.cursor() as cursor:
        # Triggers would write what is removed into the history.
        cursor.execute("SET LOCAL session_replication_role = replica")
        work = _Work(connection, cursor, set(wanted.keep))
        done = work.run()
        if wanted.domain:
            work.rewrite("django_site", "domain", "%s", "domain <> %s", [wanted.domain] * 2)
        if wanted.label:
            missing = "NOT starts_with(title, %s || ':')"
            work.rewrite("project", "title", "%s || ': ' || title", missing, [wanted.label] * 2)
        if check:
            connection.rollback()
    return done


class _Work:
    def __init__(self, connection: Any, cursor: Any, keep: set[str]) -> None:
        self.connection, self.cursor, self.keep = connection, cursor, keep
        self.tables = catalog.tables(connection, sizes=False)
        self.done = Scrubbed()

    def run(self) -> Scrubbed:
        self._collect()
        scrubbed: list[str] = []
        for what, beginnings in EMPTIED.items():
            if what not in self.keep:
                scrubbed += self._empty(beginnings)
        for what, columns in REPLACED.items():
            if what not in self.keep:
                scrubbed += self._replace(columns)
        if "history" not in self.keep:
            self._empty([f"{name}{HISTORY}" for name in dict.fromkeys(scrubbed)])
        self._elsewhere()
        return self.done

    def rewrite(self, table: str, column: str, value: str, where: str, values: Sequence[str]) -> None:
        """Let a column tell that this is a copy, if there is one of that name."""
        for name in self._columns(table, column):
            if HISTORY not in name:
                self.cursor.execute(f"UPDATE ONLY {name} SET {column} = {value} WHERE {where}", values)
                if self.cursor.rowcount:
                    self.done.replaced[f"{table}.{column}"] = self.cursor.rowcount

    def _collect(self) -> None:
        """Remember what is not to be found anywhere afterwards."""
        self.cursor.execute("CREATE TEMPORARY TABLE secrets (value text PRIMARY KEY) ON COMMIT DROP")
        for what, table, column in SECRETS:
            values = IN_URL.format(column) if what == "urls" else f"SELECT {column}::text"
            for name in self._columns(table, column) if what not in self.keep else []:
                self.cursor.execute(
                    f"INSERT INTO secrets SELECT DISTINCT value FROM ONLY {name}, LATERAL ({values}) one(value)"
                    " WHERE length(value) >= %s AND value !~ %s ON CONFLICT DO NOTHING",
                    [SHORTEST, NOBODYS.get((table, column), "^$")],
                )

    def _columns(self, table: str, column: str) -> list[str]:
        """Return this table and its history, in SQL, as far as they have such a column."""
        found = []
        for one in self.tables:
            if one.name in (table, table + HISTORY):
                self.cursor.execute(
                    "SELECT 1 FROM pg_attribute WHERE attrelid = %s AND attname = %s AND NOT attisdropped",
                    [one.oid, column],
                )
                if self.cursor.fetchone():
                    found.append(self._name(one))
        return found

    def _name(self, table: catalog.Table) -> str:
        return f"{quoted(table.schema, self.connection)}.{quoted(table.name, self.connection)}"

    def _empty(self, beginnings: Sequence[str]) -> list[str]:
        emptied = []
        for table in self.tables:
            # The history of a table is not a table that begins like it.
            if any(table.name == one or (one.endswith("_") and table.name.startswith(one)) for one in beginnings):
                self.cursor.execute(f"DELETE FROM ONLY {self._name(table)}")
                emptied.append(table.name)
                if self.cursor.rowcount:
                    self.done.emptied[table.label] = self.cursor.rowcount
        return emptied

    def _replace(self, columns: Sequence[tuple[str, str, str, str]]) -> list[str]:
        for table, column, value, pattern in columns:
            # What is nobody's already stays, so that a second run changes nothing.
            self.rewrite(table, column, value, f"{column} !~ %s", [pattern])
        return [column[0] for column in columns]

    def _elsewhere(self) -> None:
        """Take the secrets out of all other text: somebody has written his address into an annotation, for instance."""
        self.cursor.execute("SELECT coalesce(array_agg(value ORDER BY length(value) DESC), '{}') FROM secrets")
        secrets = self.cursor.fetchone()[0]
        shortest = min((len(secret) for secret in secrets if "@" not in secret), default=2**31 - 1)
        by_oid = {table.oid: table for table in self.tables}
        self.cursor.execute(_TEXT)
        for oid, column, kind in self.cursor.fetchall() if secrets else []:
            table = by_oid.get(oid)
            if table is None:
                continue
            name, part = self._name(table), quoted(column, self.connection)
            # There are many rows and many secrets, so first what could be an address, or is as long as a key.
            self.cursor.execute(
                f"SELECT array_agg(DISTINCT s.value) FROM ONLY {name} t JOIN secrets s"
                f" ON position(s.value IN t.{part}::text) > 0"
                f" WHERE t.{part}::text LIKE '%%@%%' OR length(t.{part}::text) >= %s",
                [shortest],
            )
            found = self.cursor.fetchone()[0] or []
            rows = 0
            for secret in sorted(found, key=len, reverse=True):
                self.cursor.execute(
                    f"UPDATE ONLY {name} SET {part} = replace({part}::text, %s, %s)::{kind}"
                    f" WHERE position(%s IN {part}::text) > 0",
                    [secret, GONE.format(secrets.index(secret) + 1), secret],
                )
                rows += self.cursor.rowcount
            if rows:
                self.done.elsewhere[f"{table.label}.{column}"] = rows
