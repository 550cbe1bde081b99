# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.core.management.base import BaseCommand
from django.db import connection

from catmaid.control import edge, node, stats


class Command(BaseCommand):
    help = "Recreate the six tables that can be derived from others."

    def handle(self, *args, **options):
        say = self.stdout.write
        say("Recreating treenode_edge, treenode_connector_edge, connector_geom")
        edge.rebuild_edge_tables([], say)
        say("Recreating catmaid_stats_summary")
        stats.refresh([], clean=True)
        say("Recreating catmaid_skeleton_summary")
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE catmaid_skeleton_summary; SELECT refresh_skeleton_summary_table()")
        say("Recreating node_query_cache")
        node.update_node_query_cache(say)
        say("Done")
