# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.core.management.base import BaseCommand

from catmaid.control import stats


class Command(BaseCommand):
    help = "Bring the statistics up to date, or with --clean make them anew."

    def add_arguments(self, parser):
        parser.add_argument("--clean", action="store_true", help="Remove all existing statistics first")
        parser.add_argument("--project_id", nargs="+", help="Only these projects")

    def handle(self, *args, **options):
        stats.refresh(options["project_id"], options["clean"], self.stdout.write)
