# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catmaid", "0006_add_deep_link_model")]
    operations = [migrations.AddField("Project", "metadata", models.JSONField(null=True, blank=True))]
