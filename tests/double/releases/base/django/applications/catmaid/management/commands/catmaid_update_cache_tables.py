# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.core.management.base import BaseCommand, CommandError

from catmaid.control import node


class Command(BaseCommand):
    help = "Fill the node caches, which no other command fills in a default instance."

    def add_arguments(self, parser):
        parser.add_argument("--clean", action="store_true", help="Remove the cached data first")
        parser.add_argument("--project_id", nargs="+", type=int, help="Only these projects, grid only")
        parser.add_argument("--cache", dest="cache_type", default="section", help="grid or section")
        parser.add_argument("--from-config", action="store_true", help="Fill what NODE_PROVIDERS uses")

    def handle(self, *args, **options):
        if options["from_config"]:
            node.update_node_query_cache(self.stdout.write)
        elif options["cache_type"] == "grid":
            node.update_grid_cache(self.stdout.write, options["project_id"], options["clean"])
        elif options["cache_type"] == "section":
            node.update_section_cache(self.stdout.write)
        else:
            raise CommandError("Cache type must be one of: section, grid")
        self.stdout.write("Done")
