# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of SQL that somebody has written: what must not be in it, and how it runs, statement by statement.

It runs as a part of a transaction of ours, so nothing in it may end that, reach out of it, or switch on again what was
switched off for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from ..postgres.script import CUT_SHORT, Item, Script

try:
    import psycopg2
except ImportError:
    pass  # Server.connect, which comes first, says so

ROLE = "SESSION_REPLICATION_ROLE"
ENDING = {"BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK", "SAVEPOINT", "RELEASE"}
ALONE = {"VACUUM", "CHECKPOINT", "LOAD"}
SCHEMA = {
    *("CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "REASSIGN", "SECURITY"),
    *("REINDEX", "CLUSTER", "REFRESH"),
}
TEMPORARY = {"TEMP", "TEMPORARY"}
# Their text is code, so what is in quotes there runs, too.
CODE = {"DO", "CREATE", "EXECUTE"}
# SET may have a word in between: SET LOCAL "session_replication_role"
SETTING = {"SET", "RESET", "DISCARD"}
NOTHING_DONE = "Nothing was changed."
SYNTAX = "42601"


@dataclass(frozen=True)
class Edit:
    """The file: what people call it, and what is in it, in UTF-8."""

    path: str
    content: bytes


def read(path: str, name: str, encoding: str) -> Edit:
    """Return the file at ``path``, which people know as ``name``; refuse what must not run here."""
    doing = f"reading {name}"
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise CatmaidError(doing, error.strerror or str(error), NOTHING_DONE) from error
    try:
        text = raw.decode("utf-8-sig" if encoding.lower() in ("utf8", "utf-8") else encoding)
    except LookupError as error:
        raise CatmaidError(doing, f"there is no encoding {encoding}", "Usual ones: UTF-8, latin-1, cp1252.") from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        remedy = f"Save it as {encoding}, or say which encoding it has. {NOTHING_DONE}"
        raise CatmaidError(doing, f"line {line} is not written in {encoding}", remedy) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise CatmaidError(doing, f"line {line} has a zero byte", f"Is it UTF-16? Say so. {NOTHING_DONE}")
    edit = Edit(name, text.encode())
    if not sum(1 for item, script in items(edit) if refuse(item, name, script.line if item.command else item.line)):
        raise CatmaidError(doing, "there is no statement in it", NOTHING_DONE)
    return edit


def items(edit: Edit) -> Iterator[tuple[Item, Script]]:
    """Yield the statements, each with the script that knows the rows behind it."""
    # As psql does, the last statement may do without a semicolon.
    script = Script(edit.path, _Once(edit.content + b"\n;\n"))
    try:
        for item in script.items():
            if item.words or item.command:
                yield item, script
    except CatmaidError as error:
        if error.remedy != CUT_SHORT:
            raise
        remedy = f"Close the quote, comment, parenthesis or rows that it leaves open. {NOTHING_DONE}"
        raise CatmaidError(error.doing, error.cause, remedy) from error


def refuse(item: Item, name: str, line: int) -> bool:
    """Raise where a statement must not run as part of a transaction of ours; else say True."""
    why, remedy = _why_not(item)
    if why:
        raise CatmaidError(f"reading {name}", f"line {line}: {why}", f"{remedy} {NOTHING_DONE}")
    return True


def _why_not(item: Item) -> tuple[str, str]:
    words = (*item.words, "", "")
    first, second = words[0], words[1]
    if item.command:
        command = item.text.decode("utf-8", "replace").split()[:1]
        return (
            f"\\{''.join(command)} is a command of psql",
            "Only SQL can be run here; put all of it into the one file.",
        )
    if (
        first in ENDING
        or words[:2] == ("PREPARE", "TRANSACTION")
        or (first == "SET" and {"TRANSACTION", "CHARACTERISTICS"} & set(words[1:3]))
    ):
        return f"{first} is about the transaction", "Leave it out: the file runs in one transaction as a whole."
    if first in ALONE:
        return f"{first} does not run in a transaction, or is about the whole server", "Run it by itself."
    if _is_about_triggers(item):
        return f"it changes {ROLE.lower()}", "Leave it out: it is set for the file, and for this transaction only."
    if first in SCHEMA and not (first == "CREATE" and second in TEMPORARY):
        return (
            f"{' '.join(item.words[:2])} is about the schema or the server, not about rows",
            "An edit changes rows. It may make temporary tables, which are gone at its end by themselves.",
        )
    if "SETVAL" in item.mentions or (first in CODE and re.search(rb"\bsetval\b", item.text, re.IGNORECASE)):
        remedy = "Leave it out: sequences that are behind are brought forward at the end."
        return "setval cannot be rolled back", remedy
    if first == "COPY" and not item.rows:
        return "COPY reads or writes files of the server", "Put the rows behind COPY … FROM stdin, or write INSERT."
    return "", ""


def _is_about_triggers(item: Item) -> bool:
    """Tell whether a statement sets or resets what decides on triggers, by name or with everything else."""
    first = item.words[0]
    named = re.search(ROLE.encode(), item.text, re.IGNORECASE) is not None
    if first in ("RESET", "DISCARD") and "ALL" in item.words:
        return True
    if first in SETTING | CODE | {"ALTER"} and named:
        # In a comment inside of SET it would be found as well, and that is no loss.
        return True
    return ROLE in item.mentions or ("SET_CONFIG" in item.mentions and named)


def run(edit: Edit, connection: Any) -> int:
    """Run the file in the transaction of this connection; return how many statements there were."""
    done = 0
    with connection.cursor() as cursor:
        for item, script in items(edit):
            try:
                if item.rows:
                    cursor.copy_expert(item.text, _Rows(script.rows()))
                else:
                    cursor.execute(item.text)
            except psycopg2.errors.LockNotAvailable:
                raise
            except psycopg2.Error as error:
                raise _failed(edit, item, error) from error
            done += 1
    return done


def _failed(edit: Edit, item: Item, error: Any) -> CatmaidError:
    """Return an error with the line that it is about: within a long statement where PostgreSQL knows the place."""
    line = item.line
    position = error.diag.statement_position
    if position and not item.rows:
        line += item.text.decode()[: int(position) - 1].count("\n")
    cause = (error.diag.message_primary or str(error)).strip()
    parts = [error.diag.message_detail, error.diag.context]
    more = "".join(f" ({part.strip()})" for part in parts if part)
    remedy = f"Correct it. {NOTHING_DONE}"
    return CatmaidError(f"running {edit.path}", f"line {line}: {cause}{more}", remedy, sqlstate=error.pgcode)


class _Once:
    """Bytes that are read at once."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        content, self._content = self._content, b""
        return content


class _Rows:
    """The rows of a COPY as the file that psycopg2 reads."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def read(self, _size: int = 0) -> bytes:
        return next(self._blocks, b"")
