# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("catmaid", "0008_forbid_blank_user_names")]
    operations = [
        migrations.RunSQL(
            "CREATE TABLE catmaid_review_weight (review_id bigint PRIMARY KEY, weight real NOT NULL)",
            "DROP TABLE catmaid_review_weight",
        )
    ]
