# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What serves after an upgrade, or after one that was undone."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def serves():
    """See that a release serves the data of before, the old one unless told otherwise."""

    def look(instance, version: str = "2030.06.20") -> None:
        assert not instance.is_in_maintenance()
        assert instance.version() == version
        assert instance.treenodes() == 10000
        assert instance.get("/")[0] == 200
        assert instance.has_its_style()
        assert instance.host.service("catmaid").is_running

    return look
