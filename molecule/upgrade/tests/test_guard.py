# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who works as CATMAID is to be stopped is named, and may go on."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.once("trixie")

NEXT = "2030.12.21"
NEWEST = "(SELECT max(id) FROM ONLY treenode)"
WORKER = f"SELECT username FROM auth_user JOIN treenode t ON t.editor_id = auth_user.id WHERE t.id = {NEWEST}"
TRACE = f"UPDATE treenode SET edition_time = now() WHERE id = {NEWEST}"
STARTED = "systemctl show --value --property ActiveEnterTimestampMonotonic catmaid.service"


def test_who_traces_is_named_and_goes_on(instances, play):
    before = [(instance.run(STARTED), instance.databases()) for instance in instances]
    options = {"catmaid_version": NEXT, "catmaid_upgrade_backup": False, "catmaid_upgrade_guard_idle": 60}
    for guard in ("abort", "wait"):
        for instance in instances:
            instance.sql(TRACE)
        result = play("upgrade", **options, catmaid_upgrade_guard=guard, catmaid_upgrade_guard_wait=0)
        assert result.rc != 0
        for instance, (since, databases) in zip(instances, before):
            who = instance.sql(WORKER)
            assert f"People work with CATMAID: {who} made" in result.messages(instance.name)
            assert "Nothing was stopped" in result.messages(instance.name)
            assert instance.version() == "2030.06.20" and instance.run(STARTED) == since
            assert instance.databases() == databases


def test_uwsgi_is_asked_where_it_is_said_to_be(instances, play):
    result = play(
        "upgrade",
        catmaid_version=NEXT,
        catmaid_upgrade_backup=False,
        catmaid_upgrade_guard="abort",
        catmaid_upgrade_guard_stats_socket="/run/nowhere.sock",
    )
    assert result.rc != 0
    for instance in instances:
        assert "stats socket /run/nowhere.sock" in result.messages(instance.name)
        assert instance.version() == "2030.06.20"
