# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain dump of pg_dump: what it holds, and running it section by section.

Not psql runs it but we do, statement by statement in transactions: so no command of psql is ever obeyed, a statement
that creates or drops databases would fail, and all of it stays in the one database that was connected to.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import CatmaidError
from . import packed, statements
from .restore import load_settings
from .script import CUT_SHORT, HEADER, SECTIONS, Item, Script, plain_name
from .server import Server
from .toc import Contents

try:
    import psycopg2
except ImportError:
    pass  # Server.connect, which comes first, says so

START = 4096
BATCH = 200  # statements in one transaction
_OPTION = re.compile(r"\b(ENCODING|LOCALE|LC_COLLATE|LC_CTYPE) = '([^']*)'")
_OWNER = re.compile(r'^\s*ALTER DATABASE .* OWNER TO ("(?:[^"]|"")+"|[^\s;]+);\s*$')
_OPTIONS = {
    "ENCODING": ("encoding",),
    "LOCALE": ("collate", "ctype"),
    "LC_COLLATE": ("collate",),
    "LC_CTYPE": ("ctype",),
}


@dataclass
class Survey:
    """What a plain dump holds, found by reading all of it. ``properties`` are those of the database it was made of.

    ``left_out`` are the statements that are never run, with the reason, ``mentioned`` the names that were looked for
    and that some statement has, ``counted`` the rows of each table by schema and name.
    """

    contents: Contents
    databases: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    settings: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)
    counted: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def schema_only(self) -> bool:
        """Whether it makes tables, and has the rows of none."""
        kinds = {entry.kind for entry in self.contents.entries}
        return "TABLE" in kinds and "TABLE DATA" not in kinds


def recognized(path: str) -> bool:
    """Return whether a file, compressed or not, begins as pg_dump begins a plain dump."""
    return HEADER in packed.beginning(path, START)


def survey(path: str, names: Collection[str] = ()) -> Survey:
    """Read all of a plain dump; refuse one that is cut short, of several databases, or that does other things.

    ``names`` are looked for in its statements.
    """
    with packed.opened(path) as stream:
        script = Script(path, stream)
        reader = _Surveyor(script, names)
        for item in script.items():
            reader.see(item)
    return reader.result()


class _Surveyor:
    """Collects what the statements of a dump tell."""

    def __init__(self, script: Script, names: Collection[str]) -> None:
        self._script = script
        self._names = {name: re.compile(rb"\b" + name.encode() + rb"\b") for name in names}
        self._roles: set[str] = set()
        self._cleaning = 0
        self.found = Survey(Contents("plain", "", "", script.entries))

    def see(self, item: Item) -> None:
        """Take note of a statement."""
        found, script = self.found, self._script
        name = statements.command(item, script) if item.command else statements.database(item)
        if name and name not in found.databases:
            found.databases.append(name)
        if item.command:
            if name:
                found.left_out[f"\\connect {name}"] = statements.OTHER_DATABASE
            return
        if script.cluster:
            return  # it is refused in the end, and until then its databases are looked for
        reason = statements.decide(item, script)
        if reason == statements.CLEANING:
            self._cleaning += 1
        elif reason == statements.OTHER_DATABASE:
            self._about_database(item)
        elif reason == statements.RUN:
            self._to_run(item)

    def result(self) -> Survey:
        """Return it, or say why the dump cannot be restored."""
        found, script = self.found, self._script
        if script.cluster:
            names = ", ".join(found.databases) or "none at all, only roles"
            raise CatmaidError(
                f"reading {script.path}",
                f"pg_dumpall wrote it; the databases in it are: {names}",
                "Only the dump of one database can be restored: pg_dump writes one.",
            )
        if len(found.databases) > 1:
            cause = f"it is of several databases: {', '.join(found.databases)}"
            raise CatmaidError(f"reading {script.path}", cause, "Only the dump of one database can be restored.")
        if not script.complete:
            raise CatmaidError(f"reading {script.path}", "it lacks the last line that pg_dump writes", CUT_SHORT)
        if self._cleaning:
            found.left_out[f"{self._cleaning} statements of pg_dump --clean"] = statements.CLEANING
        found.counted = dict(script.counted)
        versions = script.versions
        found.contents = Contents(
            "plain",
            versions.get("from database version", ""),
            versions.get("by pg_dump version", ""),
            script.entries,
            frozenset(self._roles),
        )
        return found

    def _to_run(self, item: Item) -> None:
        self._roles |= statements.roles(item)
        if item.words[0] in ("CREATE", "ALTER"):
            self.found.mentioned |= {name for name, pattern in self._names.items() if pattern.search(item.text)}
        setting, value = statements.setting(item)
        if setting:
            self.found.settings.add(setting)
        if setting == "client_encoding":
            self.found.properties.setdefault("encoding", value)

    def _about_database(self, item: Item) -> None:
        text = item.text.decode("utf-8", "replace")
        self.found.left_out[" ".join(text.split())[:120]] = statements.OTHER_DATABASE
        owner = _OWNER.match(text)
        if owner:
            self.found.properties["owner"] = plain_name(owner[1])
        if item.words[0] == "CREATE":
            for option, value in _OPTION.findall(text):
                self.found.properties.update(dict.fromkeys(_OPTIONS[option], value))


class Session:
    """A plain dump that is being run, section by section."""

    def __init__(self, script: Script, connection: Any, skip: Collection[str]) -> None:
        self._script = script
        self._connection = connection
        self._skip = skip
        self._items = script.items()
        self._item = next(self._items, None)
        self._pending = 0
        self._open = False  # in a transaction of the dump's own, as large objects need it

    def run(self, section: str) -> float:
        """Run what is left up to the end of this section; of sections before it only the settings."""
        started = time.monotonic()
        place = SECTIONS.index(section)
        while self._item and SECTIONS.index(self._item.section) <= place:
            if (
                self._item.section == section
                or statements.setting(self._item)[0]
                or self._item.words[:1] == ("SELECT",)
            ):
                self._run(self._item, wanted=self._item.section == section)
            self._item = next(self._items, None)
        self._connection.commit()
        return round(time.monotonic() - started, 3)

    def _run(self, item: Item, *, wanted: bool) -> None:
        if item.command:
            statements.command(item, self._script)
            return
        if item.words in (("BEGIN",), ("COMMIT",)):
            self._open = item.words == ("BEGIN",)
        reason = statements.decide(item, self._script)
        if reason or (item.entry and item.entry.line in self._skip):
            return
        setting, _value = statements.setting(item)
        if f"SET {setting}" in self._skip or not (wanted or setting or b"set_config" in item.text):
            return
        try:
            with self._connection.cursor() as cursor:
                if item.rows:
                    self._copy(cursor, item)
                else:
                    cursor.execute(item.text)
        except psycopg2.Error as error:
            doing = f"restoring {item.section} of {self._script.path}"
            raise CatmaidError(doing, f"line {item.line}: {error}", sqlstate=error.pgcode) from error
        self._pending += 1
        if not self._open and (item.rows or self._pending >= BATCH):
            self._connection.commit()
            self._pending = 0

    def _copy(self, cursor: Any, item: Item) -> None:
        rows = _Rows(self._script.rows())
        cursor.copy_expert(item.text, rows)
        if cursor.rowcount != rows.number:
            raise self._script.error(f"{cursor.rowcount} of the {rows.number} rows before it have arrived")


class _Rows:
    """The rows of a COPY as the file that psycopg2 reads."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.number = 0
        self._blocks = blocks

    def read(self, _size: int = 0) -> bytes:
        """Return the next block, which may be longer than what is asked for."""
        block = next(self._blocks, b"")
        self.number += block.count(b"\n")
        return block


@contextmanager
def session(server: Server, database: str, path: str, skip: Collection[str] = ()) -> Iterator[Session]:
    """Yield a dump to be run in a database. ``skip`` are the entries, and settings as "SET name", to leave out."""
    with ExitStack() as stack:
        stream = stack.enter_context(packed.opened(path))
        connection = stack.enter_context(server.connect(database, settings=load_settings(1)))
        yield Session(Script(path, stream), connection, skip)


def unknown_settings(connection: Any, settings: Collection[str]) -> dict[str, str]:
    """Return the settings that the server does not have, as what to skip: a newer pg_dump than it has written them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) name WHERE current_setting(name, true) IS NULL", (list(settings),)
        )
        return {f"SET {name}": statements.UNKNOWN_SETTING for (name,) in cursor.fetchall()}
