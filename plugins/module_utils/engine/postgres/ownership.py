# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let what one role owns in a database belong to another one.

``REASSIGN OWNED`` would do it to other databases of that role as well.
"""

from __future__ import annotations

from ..errors import CatmaidError
from .server import Server, quoted

# What belongs to something else goes along with that: sequences of columns, multiranges of their ranges.
_OWNED = """
    SELECT CASE d.classid WHEN 'pg_class'::regclass THEN 'TABLE' WHEN 'pg_proc'::regclass THEN 'ROUTINE'
                WHEN 'pg_statistic_ext'::regclass THEN 'STATISTICS' ELSE upper(i.type) END, i.identity
      FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid AND b.datname = current_database()
      JOIN pg_roles r ON r.oid = d.refobjid AND r.rolname = %s,
           LATERAL pg_identify_object(d.classid, d.objid, 0) i
     WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
       AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_extension'::regclass, 'pg_user_mapping'::regclass)
       AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_depend p ON p.classid = 'pg_class'::regclass AND p.objid = c.oid
            WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'S'
              AND p.deptype IN ('a', 'i') AND p.refobjsubid > 0)
       AND NOT EXISTS (SELECT FROM pg_type t
            WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND t.typtype = 'm')
     ORDER BY 1, 2"""


def hand_over(server: Server, database: str, old: str, new: str) -> int:
    """Do it in one transaction; return how many objects there were."""
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(_OWNED, [old])
        owned = cursor.fetchall()
        for kind, identity in owned:
            cursor.execute(f"ALTER {kind} {identity} OWNER TO {quoted(new, connection)}")
        cursor.execute(_OWNED, [old])
        if left := [f"{kind} {identity}" for kind, identity in cursor.fetchall()]:
            raise CatmaidError(f"giving what {old} owns in database {database} to {new}", f"left: {', '.join(left)}")
    return len(owned)
