# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenario's upgrade has left: the new release, the way back, and a note of it."""

from __future__ import annotations

import json


def test_the_new_release_serves_the_old_data(instances, serves):
    for instance in instances:
        serves(instance)
        # and the way back is kept
        _live, copy = sorted(instance.databases())
        assert copy.startswith("catmaid_before_upgrade_")


def test_there_is_a_verified_backup_from_before(instances):
    for instance in instances:
        manifests = instance.run("cat /var/backups/catmaid/catmaid/*_2030.01.15/manifest.json")
        assert json.loads(manifests)["verified"] is True


def test_the_history_tells(instances):
    for instance in instances:
        (line,) = instance.run("cat /var/lib/catmaid/upgrade-history.jsonl").splitlines()
        entry = json.loads(line)
        assert (entry["from"], entry["to"]) == ("2030.01.15", "2030.06.20")
        assert int(entry["migrations"]) > 0
        assert 0 < float(entry["downtime_seconds"]) < 120
