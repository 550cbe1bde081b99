# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL), ("catmaid", "0005_add_history_tables")]
    operations = [
        migrations.CreateModel(
            "DeepLink",
            [
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("alias", models.TextField()),
                ("project", models.ForeignKey("catmaid.Project", models.CASCADE)),
                ("user", models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)),
                ("creation_time", models.DateTimeField(auto_now_add=True)),
            ],
            options={"db_table": "catmaid_deep_link"},
        ),
    ]
