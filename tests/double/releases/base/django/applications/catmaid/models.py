# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import models


class Project(models.Model):
    """The one table that is managed by Django; everything else comes from SQL."""

    title = models.TextField()
    comment = models.TextField(null=True, blank=True)

    class Meta:
        db_table = "project"
