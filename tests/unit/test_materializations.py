# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tables are derived, and what is said about them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import materializations as tables
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid.rebuild import cached_providers
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid.staleness import describe
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def test_levels() -> None:
    safe, everything = set(tables.excluded("safe")), set(tables.excluded("exclude"))
    assert tables.excluded("include") == ()
    assert set(tables.GEOMETRY) < safe and not safe & set(tables.SUMMARIES)
    assert everything - safe == set(tables.SUMMARIES)
    with pytest.raises(CatmaidError, match="there is no level 'most'"):
        tables.excluded("most")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((0, 0, 0), ""),
        ((3, 0, 0), "3 rows missing"),
        ((1, 2, 3), "1 rows missing, 2 rows too many, 3 rows different"),
    ],
)
def test_describe(counts: tuple[int, int, int], said: str) -> None:
    assert describe("rows", *counts) == said


@pytest.mark.parametrize(
    ("providers", "used", "projects"),
    [
        ([], False, None),
        (["postgis3d"], False, None),
        ("cached_msgpack", True, None),
        (["cached_msgpack", "postgis3d"], True, None),
        ([("cached_json", {"enabled": False})], False, None),
        ([("cached_json", {"project_id": 3}), ["cached_msgpack", {"project_id": 4}]], True, [3, 4]),
        ([("cached_json", {"project_id": 3}), "cached_msgpack"], True, None),
        ([("cached_msgpack_grid", {"enabled": True})], False, None),
    ],
)
def test_cached_providers(providers: Any, used: bool, projects: list[int] | None) -> None:
    assert cached_providers(providers) == (used, projects)
