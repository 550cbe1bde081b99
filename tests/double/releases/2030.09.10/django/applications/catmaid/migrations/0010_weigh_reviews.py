# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations


def fail(apps, schema_editor):
    raise RuntimeError("This release is broken on purpose: half of its migration is done")


class Migration(migrations.Migration):
    """Not atomic, like some of CATMAID's own: what it did before it fails stays, so only a backup helps."""

    atomic = False
    dependencies = [("catmaid", "0009_add_review_weight")]
    operations = [
        migrations.RunSQL("INSERT INTO catmaid_review_weight SELECT id, 1 FROM review WHERE id % 2 = 0"),
        migrations.RunSQL("DELETE FROM review WHERE id % 2 = 0"),
        migrations.RunPython(fail),
        migrations.RunSQL("ALTER TABLE review ADD COLUMN weight real"),
    ]
