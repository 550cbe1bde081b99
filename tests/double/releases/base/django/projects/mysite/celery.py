# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
app = Celery("mysite")
app.config_from_object("mysite.settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "statistics": {
        "task": "catmaid.tasks.update_project_statistics_from_scratch",
        "schedule": crontab(hour=23, minute=45),
    }
}
