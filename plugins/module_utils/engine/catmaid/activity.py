# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who works with CATMAID right now. Reads only.

An open connection is no work: the application keeps its own for long. Work is what CATMAID's log and its newest rows
say was changed lately, a transaction that is under way, and a request that a WSGI server is answering.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from ..postgres.server import Server
from ..progress import span

READING = {"default_transaction_read_only": "on", "lock_timeout": "5s", "statement_timeout": "20s"}
NEWEST = 5000  # rows of a table that are looked at, so that it takes no longer in a big one
ANSWER_AT_MOST = 16 * 1024 * 1024

# Not all changes are in the log: scripts write to the tables themselves.
TABLES = {
    "treenode": ("editor_id", "edition_time"),
    "connector": ("editor_id", "edition_time"),
    "treenode_connector": ("user_id", "edition_time"),
    "review": ("reviewer_id", "review_time"),
}

LOG = """
SELECT user_id, count(*), extract(epoch FROM now() - max(execution_time)),
       (array_agg(coalesce(nullif(label, ''), change_type::text) ORDER BY execution_time DESC))[1]
  FROM catmaid_transaction_info WHERE execution_time > now() - make_interval(secs => %s) GROUP BY user_id"""

# The newest by number: not every release and table has an index by time.
ROWS = """
SELECT {who}, count(*), extract(epoch FROM now() - max({when})), '{table}'
  FROM (SELECT {who}, {when} FROM ONLY {table} ORDER BY id DESC LIMIT %s) newest
 WHERE {when} > now() - make_interval(secs => %s) GROUP BY {who}"""

THERE = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY(%s)"
USERS = "SELECT id, username FROM auth_user WHERE id = ANY(%s)"

TRANSACTIONS = """
SELECT pid, coalesce(usename, ''), coalesce(nullif(application_name, ''), 'without a name'),
       coalesce(host(client_addr), 'local'), state, extract(epoch FROM clock_timestamp() - xact_start)
  FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL
   AND pid <> pg_backend_pid() AND application_name NOT LIKE 'catmaid.admin%%' ORDER BY xact_start"""


@dataclass(frozen=True)
class Person:
    """Somebody who changed something: how often within the time that was looked at, when last and what."""

    name: str
    changes: int
    seconds_ago: int
    last: str

    def line(self) -> str:
        """Return it for people."""
        return f"{self.name} made {self.changes} changes, the last one {span(self.seconds_ago)} ago ({self.last})"


@dataclass(frozen=True)
class Transaction:
    """A transaction that is under way."""

    pid: int
    role: str
    application: str
    client: str
    state: str
    seconds: int

    def line(self) -> str:
        """Return it for people."""
        who = f"{self.role} from {self.client} ({self.application}, process {self.pid})"
        return f"{who} is in a transaction since {span(self.seconds)}"


@dataclass(frozen=True)
class Request:
    """A request that is being answered; the query is left out, it may hold a token."""

    worker: int
    method: str
    path: str
    client: str

    def line(self) -> str:
        """Return it for people."""
        return f"a request of {self.client} is being answered: {self.method} {self.path}"


@dataclass(frozen=True)
class Activity:
    """Who works."""

    people: list[Person]
    transactions: list[Transaction]
    requests: list[Request]

    @property
    def busy(self) -> bool:
        """Whether anybody does."""
        return bool(self.people or self.transactions or self.requests)

    def lines(self) -> list[str]:
        """Return all of it for people."""
        everything: list[Person | Transaction | Request] = [*self.people, *self.transactions, *self.requests]
        return [entry.line() for entry in everything]


def read(server: Server, database: str, seconds: float, stats: str = "") -> Activity:
    """Return who changed something within so many seconds, or is at it; ``stats`` is uWSGI's socket of that name."""
    with server.connect(database, settings=READING) as connection, connection.cursor() as cursor:
        cursor.execute(TRANSACTIONS)
        transactions = [
            Transaction(pid, role, application, client, state, int(since))
            for pid, role, application, client, state, since in cursor.fetchall()
        ]
        return Activity(_people(cursor, seconds), transactions, requests(stats) if stats else [])


def _people(cursor: Any, seconds: float) -> list[Person]:
    """Return who is in the log, and beside it in the rows."""
    cursor.execute(THERE, [[*TABLES, "catmaid_transaction_info"]])
    there = {name for (name,) in cursor.fetchall()}
    found: dict[int, tuple[int, float, str]] = {}
    if "catmaid_transaction_info" in there:
        cursor.execute(LOG, [seconds])
        found = {row[0]: (int(row[1]), float(row[2]), str(row[3])) for row in cursor.fetchall()}
    for table, (who, when) in TABLES.items():
        if table not in there:
            continue
        cursor.execute(ROWS.format(table=table, who=who, when=when), [NEWEST, seconds])
        for user, count, ago, what in cursor.fetchall():
            known = found.get(user)
            if known is None or ago < known[1] - 1:  # the log says better what it was
                found[user] = (max(int(count), known[0] if known else 0), float(ago), str(what))
    if not found:
        return []
    cursor.execute(USERS, [list(found)])
    names = dict(cursor.fetchall())
    people = [
        Person(str(names.get(user, f"user {user}")), count, int(ago), what)
        for user, (count, ago, what) in found.items()
    ]
    return sorted(people, key=lambda person: (person.seconds_ago, person.name))


def requests(stats: str) -> list[Request]:
    """Return the requests that uWSGI answers, as its stats socket tells: a path, or host:port."""
    doing = f"asking uWSGI's stats socket {stats}"
    told = _answer(stats, doing)
    try:
        workers = json.loads(told)["workers"]
    except (ValueError, KeyError, TypeError) as error:
        raise CatmaidError(
            doing, "it does not answer as uWSGI does", "Name the socket of its setting stats."
        ) from error
    return [
        _request(worker["id"], core) for worker in workers for core in worker.get("cores", []) if core.get("in_request")
    ]


def _request(worker: int, core: dict[str, Any]) -> Request:
    """Return a request by the variables that uWSGI tells of it."""
    told = dict(str(pair).partition("=")[::2] for pair in core.get("vars", []))
    client = told.get("HTTP_X_FORWARDED_FOR") or told.get("REMOTE_ADDR") or "somebody"
    path = told.get("REQUEST_URI") or told.get("PATH_INFO", "")
    return Request(worker, told.get("REQUEST_METHOD", ""), path.partition("?")[0], client)


def _answer(stats: str, doing: str) -> str:
    remedy = "Check the setting stats of uWSGI, or leave the socket out."
    if not stats.startswith("/"):
        host, _colon, port = stats.rpartition(":")
        if not port.isdigit():
            raise CatmaidError(doing, "it is neither a path nor host:port", remedy)
    family = socket.AF_UNIX if stats.startswith("/") else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(stats if family == socket.AF_UNIX else (host or "127.0.0.1", int(port)))
            parts: list[bytes] = []
            while sum(map(len, parts)) < ANSWER_AT_MOST:
                part = connection.recv(65536)
                if not part:
                    break
                parts.append(part)
            return b"".join(parts).decode("utf-8", "replace")
    except OSError as error:
        raise CatmaidError(doing, os.strerror(error.errno) if error.errno else str(error), remedy) from error
