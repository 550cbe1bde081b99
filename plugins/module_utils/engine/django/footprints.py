# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What migrations lock and which rows they change, on the far side of the shim: the same rules hold as for child.py.

Asked in the migration's own session after each of its statements, so that nothing is too short to be seen.
"""

# ruff: noqa: UP006, UP035
# mypy: disable-error-code="import-not-found, import-untyped"

import time
from typing import Any, Dict, Optional

# Locks that others can notice are those from ShareLock on. Updates and deletions are counted as they happen.
LOOK = """
SELECT l.relation::bigint, l.mode, 0::bigint FROM pg_locks l
 WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
UNION ALL
SELECT relid::bigint, '', n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables WHERE n_tup_upd + n_tup_del > 0"""

Seen = Dict[str, Dict[str, Any]]


def watch(current: Dict[str, Any]) -> Optional[Seen]:
    """Begin to look; return what will be filled: for each migration its locks, with how long after the beginning each
    was asked for, and the tables of which it has changed rows. None where this Django cannot be looked at."""
    from django.db import connection

    if not hasattr(connection, "execute_wrappers"):
        return None
    seen = {}  # type: Seen

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.time()
        result = execute(sql, params, many, context)
        if current["migration"]:
            look(seen.setdefault(".".join(current["migration"]), {"locks": {}, "changes": []}), began)
        return result

    def look(found: Dict[str, Any], began: float) -> None:
        # Below Django, which would ask us again.
        with connection.connection.cursor() as cursor:
            cursor.execute(LOOK)
            rows = cursor.fetchall()
        for relation, mode, changes in rows:
            if changes and relation not in found["changes"]:
                found["changes"].append(relation)
            elif mode:
                modes = found["locks"].setdefault(str(relation), {})
                modes.setdefault(mode, round(max(0.0, began - current["began"]), 3))

    connection.execute_wrappers.append(wrapper)
    return seen
