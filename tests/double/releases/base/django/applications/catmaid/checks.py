# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quirk P10: these system checks write, whoever asks for them and whatever the state is."""

import logging
import os

from django.conf import settings
from django.core.checks import Warning as CheckWarning
from django.db import connection

logger = logging.getLogger(__name__)


def switch(feature, enabled):
    """Call one of the enable_ and disable_ functions, if the database has it already."""
    function = f"{'enable' if enabled else 'disable'}_{feature}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_proc WHERE proname = %s)", [function])
        in_recovery, known = cursor.fetchone()
        if in_recovery:
            return [CheckWarning(f"Read only mode: did not check {feature}")]
        if not known:
            return [CheckWarning(f"Couldn't check {feature}, missing database functions", hint="Migrate CATMAID")]
        cursor.execute(f"SELECT {function}()")
    logger.info("%s called", function)
    return []


def check_history_setup(app_configs, **options):
    return switch("history_tracking", settings.HISTORY_TRACKING)


def check_spatial_update_setup(app_configs, **options):
    return switch("spatial_update_events", settings.SPATIAL_UPDATE_NOTIFICATIONS)


def check_media_path(app_configs, **options):
    if not os.access(settings.MEDIA_ROOT, os.W_OK):
        return [CheckWarning(f"The output folder {settings.MEDIA_ROOT} is not writable")]
    for name in settings.MEDIA_SUBDIRECTORIES:
        os.makedirs(os.path.join(settings.MEDIA_ROOT, name), exist_ok=True)
    return []
