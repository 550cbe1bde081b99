# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations

# 3 seconds, unless told otherwise: ALTER DATABASE ... SET catmaid.slow_seconds = 0
CREATE = """
CREATE TABLE catmaid_sampler (
    id bigserial PRIMARY KEY,
    skeleton_id bigint NOT NULL REFERENCES class_instance ON DELETE CASCADE
);
SELECT pg_sleep(coalesce(nullif(current_setting('catmaid.slow_seconds', true), ''), '3')::float8);
"""


class Migration(migrations.Migration):
    dependencies = [("catmaid", "0008_forbid_blank_user_names")]
    operations = [migrations.RunSQL(CREATE, "DROP TABLE catmaid_sampler")]
