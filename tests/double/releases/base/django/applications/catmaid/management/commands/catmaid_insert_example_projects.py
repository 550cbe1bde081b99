# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from catmaid.models import Project

TITLES = ("Default Project", "Evaluation data set", "Focussed Ion Beam (FIB)")


class Command(BaseCommand):
    help = "Make three example projects, unless they exist."

    def add_arguments(self, parser):
        parser.add_argument("--user", dest="user_id", required=True, help="ID of their owner")

    def handle(self, *args, **options):
        if not User.objects.filter(id=options["user_id"]).exists():
            raise CommandError(f"There is no user {options['user_id']}")
        if not User.objects.filter(is_superuser=True).exists():
            raise ImproperlyConfigured("Couldn't find any super user, please make sure you have one")
        for title in TITLES:
            Project.objects.get_or_create(title=title)
        dummy = {"title": "Classification dummy project"}
        Project.objects.get_or_create(id=settings.ONTOLOGY_DUMMY_PROJECT_ID, defaults=dummy)
        self.stdout.write("The example projects are there")
