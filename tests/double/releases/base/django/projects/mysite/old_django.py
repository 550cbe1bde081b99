# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This release pretends that its Django is from before 3.0: what that lacked is refused here as well."""

import os

from django.core.management.base import CommandParser

# Option -> the name its value has in Django's own code
UNKNOWN = {"--skip-checks": "skip_checks", "--check": "check_unapplied"}


def pretend() -> None:
    add_argument = CommandParser.add_argument

    def add_known_argument(self, *names, **details):
        if names[0] in UNKNOWN and details.get("dest") in (None, UNKNOWN[names[0]]):
            return self.set_defaults(**{UNKNOWN[names[0]]: False})
        return add_argument(self, *names, **details)

    CommandParser.add_argument = add_known_argument
    for name in [name for name in os.environ if name.startswith("DJANGO_SUPERUSER_")]:
        del os.environ[name]
