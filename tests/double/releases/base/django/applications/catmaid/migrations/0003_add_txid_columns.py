# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from django.db import migrations

# Quirk P14: added to the parents, so these columns are the last ones of the children until a dump is restored.
ADD = """
ALTER TABLE concept ADD COLUMN txid bigint NOT NULL DEFAULT txid_current();
ALTER TABLE location ADD COLUMN txid bigint NOT NULL DEFAULT txid_current();
ALTER TABLE review ADD COLUMN txid bigint NOT NULL DEFAULT txid_current();
"""


class Migration(migrations.Migration):
    dependencies = [("catmaid", "0002_add_derived_tables")]
    operations = [migrations.RunSQL(ADD)]
