# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catmaid", "0010_tidy_names")]
    operations = [
        migrations.AddField("DeepLink", "is_public", models.BooleanField(default=False, db_default=False)),
    ]
