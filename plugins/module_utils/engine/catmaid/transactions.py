# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ids of transactions that CATMAID writes down, and the trap that they are in another cluster.

CATMAID notes ``txid_current()`` in its log of transactions and beside rows, and looks it up there later, for instance
to tell whether the transaction at hand is an import. Each cluster counts for itself, so one that is younger than the
rows gives the same ids once more, and what is done then is taken for what was done long ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from ..postgres.server import Server, quoted

LOG, IN_LOG, BESIDE_ROWS = "catmaid_transaction_info", "transaction_id", "txid"
BATCH = 20_000
# What a small host does, for an estimate before anything is done.
PER_SECOND = 100_000
# Where the server itself begins to complain about ids that are used up without a vacuum is at 2.1 thousand million.
OLDEST_AT_MOST = 1_500_000_000

_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped
       AND a.atttypid = 'int8'::regtype AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND (a.attname = %s OR (c.relname = %s AND a.attname = %s))
     ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True)
class Ids:
    """The highest id that rows of a database tell, and the one that the cluster gives next."""

    recorded: int
    following: int

    @property
    def lacking(self) -> int:
        """How many ids have to be spent until none is given a second time."""
        return max(0, self.recorded + 1 - self.following)

    @property
    def seconds(self) -> float:
        """About how long that takes."""
        return round(self.lacking / PER_SECOND, 1)


def read(server: Server, database: str) -> Ids:
    """Return the ids of a database; it spends none."""
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(_COLUMNS, (BESIDE_ROWS, LOG, IN_LOG))
        highest = 0
        for schema, table, column in cursor.fetchall():
            name = f"{quoted(schema, connection)}.{quoted(table, connection)}"
            cursor.execute(f"SELECT max({quoted(column, connection)}) FROM ONLY {name}")
            highest = max(highest, int(cursor.fetchone()[0] or 0))
        return Ids(highest, _following(cursor))


def check(server: Server, database: str, ids: Ids, limit: int) -> None:
    """Refuse to spend more ids than ``limit``, or than the cluster can bear."""
    doing = f"passing the transaction ids that {database} knows"
    if ids.lacking > limit:
        raise CatmaidError(
            doing,
            f"its rows tell of ids up to {ids.recorded}, and this cluster is at {ids.following}: {ids.lacking} are to"
            f" be spent (about {ids.seconds:.0f} seconds), which is more than {limit}",
            "Allow that many, or accept that CATMAID may take new transactions for old ones until then.",
            recorded=ids.recorded,
            following=ids.following,
        )
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT max(age(datfrozenxid)) FROM pg_database")
        oldest = int(cursor.fetchone()[0])
    if ids.lacking and oldest + ids.lacking > OLDEST_AT_MOST:
        raise CatmaidError(
            doing,
            f"{ids.lacking} ids are to be spent, and the oldest rows of this cluster are {oldest} ids old already",
            "Run vacuumdb --all --freeze first, or spend them in several runs with a vacuum between.",
        )


def spend(server: Server, database: str, ids: Ids) -> Ids:
    """Let the cluster get past the recorded ids, in batches that are each committed; return what is then.

    A run that is killed has come as far as it has come, and the next one goes on from there. Others spend ids too, so
    the server is asked after every batch.
    """
    with server.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
        now = ids
        while now.lacking:
            batch = min(BATCH, now.lacking)
            cursor.execute(f"DO $$ BEGIN FOR i IN 1..{batch} LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")
            now = Ids(ids.recorded, _following(cursor))
    return now


def _following(cursor: Any) -> int:
    """Return the id that the next transaction gets that writes."""
    cursor.execute("SELECT txid_snapshot_xmax(txid_current_snapshot())")
    return int(cursor.fetchone()[0])
