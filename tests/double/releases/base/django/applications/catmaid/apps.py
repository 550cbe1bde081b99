# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import logging

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import register
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate

logger = logging.getLogger(__name__)

TYPES = {"STATIC_EXTENSION_FILES": list, "NODE_LIST_MAXIMUM_COUNT": (int, type(None)), "CATMAID_URL": str}


def make_anonymous_user(sender, using, **details):
    """Quirk P19: this row takes id 1, so the first superuser gets id 2."""
    from django.contrib.auth.models import User

    User.objects.using(using).get_or_create(username="AnonymousUser", defaults={"password": "!"})


class CATMAIDConfig(AppConfig):
    name = "catmaid"
    verbose_name = "CATMAID"

    def ready(self):
        from catmaid import checks

        logger.info("CATMAID version %s", settings.VERSION)
        logger.warning("An optional package is missing: volumes can not be checked")
        for setting, types in TYPES.items():
            if not isinstance(getattr(settings, setting), types):
                raise ImproperlyConfigured(f"The setting {setting} must be of type {types}")
        register(checks.check_history_setup)
        register(checks.check_spatial_update_setup)
        register(checks.check_media_path)
        post_migrate.connect(make_anonymous_user, sender=self)
