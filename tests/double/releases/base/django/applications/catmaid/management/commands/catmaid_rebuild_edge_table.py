# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.core.management.base import BaseCommand
from django.db import transaction

from catmaid.control.edge import rebuild_edge_tables


class Command(BaseCommand):
    help = "Rebuild the three edge tables, after a question."

    def add_arguments(self, parser):
        parser.add_argument("--dryrun", action="store_true", help="Change nothing in the end")
        parser.add_argument("--project_id", nargs="+", help="Only these projects")

    def handle(self, *args, **options):
        if not options["project_id"]:
            self.stdout.write("Since no project IDs were given, all projects will be updated")
        self.stdout.write("DRY RUN - no changes will be made" if options["dryrun"] else "This changes the database")
        # Quirk P9: there is no way around the question, and "no" is a success.
        if input("Continue? [y/N]: ") not in ("y", "Y"):
            self.stdout.write("Canceled on user request")
            return
        with transaction.atomic():
            rebuild_edge_tables(options["project_id"], self.stdout.write)
            transaction.set_rollback(options["dryrun"])
        self.stdout.write("Dry run completed" if options["dryrun"] else "Successfully rebuilt edge tables")
