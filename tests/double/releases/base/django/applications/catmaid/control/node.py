# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two caches of nodes: whole sections, and cells of a grid."""

from django.conf import settings
from django.db import connection

SECTION_PROVIDERS = ("cached_json", "cached_json_text", "cached_msgpack")
GRID_PROVIDERS = ("cached_json_grid", "cached_json_text_grid", "cached_msgpack_grid")
CELL = 10000

FILL_CELLS = """
    INSERT INTO node_grid_cache_cell (grid_id, x_index, y_index, z_index, json_data)
    SELECT g.id, floor(location_x / cell_width), floor(location_y / cell_height), floor(location_z / cell_depth),
           ARRAY[jsonb_agg(jsonb_build_array(t.id, t.parent_id, location_x, location_y, location_z) ORDER BY t.id)]
    FROM node_grid_cache g JOIN treenode t USING (project_id) WHERE g.id = ANY(%s)
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (grid_id, x_index, y_index, z_index)
    DO UPDATE SET json_data = excluded.json_data, update_time = now()
"""


def providers():
    """Names of the configured node providers: a setting names each one, with or without options."""
    return [entry if isinstance(entry, str) else entry[0] for entry in settings.NODE_PROVIDERS]


def update_node_query_cache(log):
    for provider in providers():
        log(f"Checking node provider {provider}")
        if provider in GRID_PROVIDERS:
            update_grid_cache(log=log)
        elif provider in SECTION_PROVIDERS:
            update_section_cache(log)
        else:
            log(f"Skipping non-caching node provider: {provider}")


def update_section_cache(log):
    with connection.cursor() as cursor:
        cursor.execute("""
            INSERT INTO node_query_cache (project_id, orientation, depth, json_data)
            SELECT project_id, 0, location_z, jsonb_agg(id ORDER BY id) FROM treenode GROUP BY 1, 3
            ON CONFLICT (project_id, orientation, depth)
            DO UPDATE SET json_data = excluded.json_data, update_time = now()
        """)
        log(f"Updated {cursor.rowcount} sections")


def update_grid_cache(log, project_ids=None, clean=False):
    with connection.cursor() as cursor:
        if clean:
            cursor.execute("DELETE FROM node_grid_cache")
        cursor.execute(
            """INSERT INTO node_grid_cache (project_id, cell_width, cell_height, cell_depth)
               SELECT id, %s, %s, %s FROM project p
               WHERE (%s::int[] IS NULL OR id = ANY(%s))
                 AND NOT EXISTS (SELECT FROM node_grid_cache g WHERE g.project_id = p.id)""",
            [CELL, CELL, CELL, project_ids, project_ids],
        )
        cursor.execute("SELECT array_agg(id) FROM node_grid_cache")
        cursor.execute(FILL_CELLS, cursor.fetchone())
        log(f"Updated {cursor.rowcount} grid cells")
        cursor.execute("DELETE FROM dirty_node_grid_cache_cell")
