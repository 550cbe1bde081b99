# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.core.management.base import BaseCommand

from catmaid.control.events import listen
from catmaid.control.node import update_grid_cache


class Command(BaseCommand):
    help = "Refresh the grid cells that were marked."

    def handle(self, *args, **options):
        listen("catmaid.dirty-cache", lambda event: update_grid_cache(self.stdout.write))
