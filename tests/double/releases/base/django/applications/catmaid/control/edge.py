# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.core.management.base import CommandError
from django.db import connection, transaction

from catmaid.models import Project

TABLES = ("treenode_edge", "treenode_connector_edge", "connector_geom")

FILL = """
    INSERT INTO treenode_edge (id, parent_id, project_id, edge)
    SELECT t.id, t.parent_id, t.project_id, location_line(t, p)
    FROM treenode t JOIN treenode p ON p.id = coalesce(t.parent_id, t.id) WHERE {which};

    INSERT INTO treenode_connector_edge (id, project_id, edge)
    SELECT t.id, t.project_id, location_line(n, c)
    FROM treenode_connector t JOIN treenode n ON n.id = t.treenode_id JOIN connector c ON c.id = t.connector_id
    WHERE {which};

    INSERT INTO connector_geom (id, project_id, geom)
    SELECT t.id, t.project_id, ST_MakePoint(t.location_x, t.location_y, t.location_z) FROM connector t WHERE {which};
"""


def rebuild_edge_tables(project_ids, log):
    """Empty the three edge tables and fill them again, for some projects or for all."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not project_ids:
            rebuild(cursor, "all projects", "true", log)
        for project_id in map(int, project_ids or []):
            if not Project.objects.filter(id=project_id).exists():
                raise CommandError(f'Project "{project_id}" does not exist')
            rebuild(cursor, f'project "{project_id}"', f"t.project_id = {project_id}", log)


def rebuild(cursor, what, which, log):
    log(f"Deleted edge information for {what}: {counts(cursor, which)}")
    for table in TABLES:
        # TRUNCATE is fast, but it locks out every reader until the end.
        cursor.execute(f"TRUNCATE {table}" if which == "true" else f"DELETE FROM {table} t WHERE {which}")
    cursor.execute(FILL.format(which=which))
    log(f"Created edge information for {what}: {counts(cursor, which)}")


def counts(cursor, which):
    found = []
    for table, unit in zip(TABLES, ("treenode edges", "connector edges", "connectors")):
        cursor.execute(f"SELECT count(*) FROM {table} t WHERE {which}")
        found.append(f"{cursor.fetchone()[0]} {unit}")
    return ", ".join(found)
