# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations


class Migration(migrations.Migration):
    """There is no way back: nobody knows which names had blanks at their ends."""

    dependencies = [("catmaid", "0009_add_samplers")]
    operations = [migrations.RunSQL("UPDATE class_instance SET name = trim(name) WHERE name <> trim(name)")]
