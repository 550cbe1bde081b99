# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be done with each statement of a plain dump: run, left out with a reason, or refused with the whole file.

Only what pg_dump writes is run. What it writes about databases is about one that may be alive on this server, so it is
left out; what is about the whole cluster is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .script import Item, Script, plain_name

RUN = ""
# A reason that is not worth telling.
SILENT = "nothing is lost by it"

OTHER_DATABASE = "it is about a database by its old name"
CLEANING = "it takes away what an older database would have; this one is new"
SCHEMA_THERE = "the schema is there already"
UNKNOWN_SETTING = "this server does not know the setting"

_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\s";,]+)'
_DATABASE = re.compile(rf"(?:CREATE|DROP) DATABASE (?:IF EXISTS )?({_IDENTIFIER})", re.IGNORECASE)
_CONNECT = re.compile(rf"(?:c|connect)\s+(?:-reuse-previous=on\s+)?({_IDENTIFIER})", re.IGNORECASE)
# The first two keep psql from obeying others, the third comes before names with other letters than those of English.
_HARMLESS = re.compile(r"(?:restrict|unrestrict)\s+\w+|encoding\s+\w+")
_CONNINFO = re.compile(r"dbname='((?:[^'\\]|\\.)*)'")
_OWNER = re.compile(rf"\sOWNER TO ({_IDENTIFIER})\s*;\s*$")
_GRANTEE = re.compile(rf"\s(?:TO|FROM) ({_IDENTIFIER})(?: WITH GRANT OPTION)?\s*;\s*$")
_FOR_ROLE = re.compile(rf"^\s*ALTER DEFAULT PRIVILEGES FOR ROLE ({_IDENTIFIER})\s")
_SETTING = re.compile(r"^\s*SET\s+([A-Za-z_.]+)\s*(?:=|TO)\s*(.*?)\s*;\s*$", re.DOTALL | re.IGNORECASE)
_FUNCTION = re.compile(r"^\s*SELECT\s+(?:pg_catalog\.)?([a-z_]+)\s*\(\s*(?:'([a-z_]+)')?")
_PUBLIC = re.compile(r"^\s*CREATE SCHEMA public\s*;\s*$")
_FUNCTIONS = {"setval", "lo_create", "lo_open", "lowrite", "lo_close", "lo_unlink", "lo_put", "lo_from_bytea"}
_TRANSACTION = {"BEGIN", "COMMIT"}
# Of what this may stand at the beginning of a statement, there is nothing that reaches out of its database.
_FIRST = {"ALTER", "COMMENT", "COPY", "CREATE", "DROP", "GRANT", "INSERT", "REFRESH", "REVOKE", "SECURITY", "SELECT"}
_CLUSTER = {"ROLE", "USER", "GROUP", "TABLESPACE", "SYSTEM", "SUBSCRIPTION"}


def command(item: Item, script: Script) -> str:
    """Return the database that a command of psql changes to, "" for one without a meaning here; refuse all others."""
    text = item.text.decode("utf-8", "replace")
    name = text.split(maxsplit=1)[0] if text.split() else ""
    if _HARMLESS.fullmatch(text):
        return ""
    match = _CONNECT.fullmatch(text)
    if not match:
        raise script.error(
            f"it holds the command \\{name} of psql, which pg_dump does not write",
            "Such a command can run programs on this host. Look where the file comes from, and at this line.",
        )
    target = plain_name(match[1])
    inner = _CONNINFO.fullmatch(target)
    return re.sub(r"\\(.)", r"\1", inner[1]) if inner else target


def database(item: Item) -> str:
    """Return the database that a statement creates or drops, "" for all others."""
    match = _DATABASE.match(_text(item).lstrip())
    return plain_name(match[1]) if item.words[1:2] == ("DATABASE",) and match else ""


def decide(item: Item, script: Script) -> str:
    """Return RUN, or why the statement is left out; refuse the whole file for one that pg_dump would not write."""
    words = item.words
    if not words or words[0] in _TRANSACTION:
        return SILENT
    if _about_database(words):
        return OTHER_DATABASE
    if item.entry is None and _cleans(item, words):
        return CLEANING
    problem = _problem(item, words)
    if problem:
        start = " ".join(_text(item).split())[:60]
        raise script.error(
            f"{problem}: {start}", "Only what pg_dump writes is restored. Look where the file comes from."
        )
    if _PUBLIC.match(_text(item)):
        return SCHEMA_THERE
    return RUN


def roles(item: Item) -> set[str]:
    """Return the roles that a statement needs."""
    words = item.words
    if words[:1] not in (("ALTER",), ("GRANT",), ("REVOKE",)):
        return set()
    text = _text(item)
    patterns = (_OWNER, _FOR_ROLE) if words[0] == "ALTER" else (_GRANTEE,)
    if words[:3] == ("ALTER", "DEFAULT", "PRIVILEGES"):
        patterns = (_FOR_ROLE, _GRANTEE)
    found = {match[1] for match in (pattern.search(text) for pattern in patterns) if match}
    return {plain_name(name) for name in found if name != "PUBLIC"}


def setting(item: Item) -> tuple[str, str]:
    """Return name and value of a setting for the session, two empty texts for all other statements."""
    match = _SETTING.match(_text(item)) if item.words[:1] == ("SET",) else None
    return (match[1].lower(), match[2].strip("'")) if match else ("", "")


def _about_database(words: tuple[str, ...]) -> bool:
    if words[1:2] == ("DATABASE",) and words[0] in ("CREATE", "ALTER", "DROP"):
        return True
    if words[0] == "ALTER" and words[1:2] == ("ROLE",):
        return "DATABASE" in words and words[words.index("DATABASE") - 1] == "IN"
    if words[0] in ("COMMENT", "GRANT", "REVOKE", "SECURITY") and "ON" in words:
        return words[words.index("ON") + 1 : words.index("ON") + 2] == ("DATABASE",)
    return False


def _problem(item: Item, words: tuple[str, ...]) -> str:
    """Return what is wrong with a statement, nothing if pg_dump could have written it."""
    checks: dict[str, Callable[[Item, tuple[str, ...]], bool]] = {
        "SET": _sets,
        "SELECT": _calls,
        "COPY": lambda item, _words: item.rows,
        "GRANT": lambda _item, words: "ON" in words,
        "REVOKE": lambda _item, words: "ON" in words or "OPTION" in words,
        **dict.fromkeys(("CREATE", "ALTER", "DROP"), _local),
    }
    if words[0] not in _FIRST and words[0] != "SET":
        return "a statement that pg_dump does not write"
    if words[0] in checks and not checks[words[0]](item, words):
        return "a statement that reaches out of its database, or that pg_dump does not write"
    return ""


def _local(item: Item, words: tuple[str, ...]) -> bool:
    kind = words[1:2]
    if kind == ("USER",):
        return words[2:3] == ("MAPPING",)
    return bool(kind) and kind[0] not in _CLUSTER


def _sets(item: Item, words: tuple[str, ...]) -> bool:
    """Return whether a setting is harmless: with this one, strings would end elsewhere than we think."""
    name, value = setting(item)
    if words[1:3] == ("SESSION", "AUTHORIZATION"):
        return True
    return bool(name) and (name != "standard_conforming_strings" or value == "on")


def _calls(item: Item, words: tuple[str, ...]) -> bool:
    match = _FUNCTION.match(_text(item))
    # One call, and of nothing else.
    if match is None or len(words) > 5 or not set(words[1:]) <= {"PG_CATALOG", match[1].upper(), "TRUE", "FALSE"}:
        return False
    return match[1] in _FUNCTIONS or match.groups() == ("set_config", "search_path")


def _cleans(item: Item, words: tuple[str, ...]) -> bool:
    """Return whether this is of what pg_dump --clean puts in front of everything."""
    if words[0] == "ALTER":
        return "DROP" in words
    if words[0] == "SELECT":
        return b"lo_unlink" in item.text
    return words[0] == "DROP" or words[:4] == ("CREATE", "OR", "REPLACE", "VIEW")


def _text(item: Item) -> str:
    return item.text.decode("utf-8", "surrogateescape")
