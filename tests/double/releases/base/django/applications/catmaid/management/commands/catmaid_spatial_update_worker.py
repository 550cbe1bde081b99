# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.core.management.base import BaseCommand
from django.db import connection

from catmaid.control.events import listen


class Command(BaseCommand):
    help = "Mark the grid cells that people changed."

    def handle(self, *args, **options):
        listen("catmaid.spatial-update", self.mark)

    def mark(self, event):
        with connection.cursor() as cursor:
            cursor.execute(
                """INSERT INTO dirty_node_grid_cache_cell (grid_id, x_index, y_index, z_index)
                   SELECT id, floor(%(x)s / cell_width), floor(%(y)s / cell_height), floor(%(z)s / cell_depth)
                   FROM node_grid_cache WHERE project_id = %(project_id)s
                   ON CONFLICT (grid_id, x_index, y_index, z_index) DO UPDATE SET invalidation_time = now()""",
                event,
            )
