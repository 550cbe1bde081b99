# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from celery import shared_task

from catmaid.control import stats


@shared_task
def update_project_statistics_from_scratch():
    stats.refresh(None, clean=True)
