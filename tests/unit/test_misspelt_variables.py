# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable that is nearly one of ours is told apart from ours and from a site's own."""

from __future__ import annotations

import pytest
from ansible_collections.catmaid.admin.plugins.filter import misspelt_variables as spelling


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("catmaid_bakup_dir", "catmaid_backup_dir"),
        ("catmaid_verison", "catmaid_version"),
        ("catmaid_restore_confirmed", "catmaid_restore_confirm"),
        ("catmaid_upgrade_max_down_time", "catmaid_upgrade_max_downtime"),
    ],
)
def test_names_what_was_meant(name: str, meant: str) -> None:
    assert spelling.misspelt_variables([name, meant]) == [f"{name} ({meant}?)"]


def test_leaves_the_own_ones_of_a_site(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(spelling.Display, "warning", lambda _self, text: warnings.append(text))
    assert spelling.misspelt_variables(["catmaid_lab_room", "catmaid_version"]) == []
    assert warnings == ["Nothing in catmaid.admin reads the variable catmaid_lab_room."]
