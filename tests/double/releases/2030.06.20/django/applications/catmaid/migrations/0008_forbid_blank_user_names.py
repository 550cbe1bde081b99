# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations


class Migration(migrations.Migration):
    """Quirk P27: this needs auth_user for itself, so whoever reads it in an open transaction holds it up for ever."""

    dependencies = [("catmaid", "0007_add_project_metadata"), ("auth", "0012_alter_user_first_name_max_length")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE auth_user ADD CONSTRAINT auth_user_username_not_blank CHECK (username <> '')",
            "ALTER TABLE auth_user DROP CONSTRAINT auth_user_username_not_blank",
        )
    ]
