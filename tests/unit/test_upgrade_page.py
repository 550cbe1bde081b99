# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The maintenance page, and when it says to ask again."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import page

SITE = Path(__file__).parents[2] / "roles/nginx_ssl/templates/site.conf.j2"


@pytest.mark.parametrize(
    ("seconds", "again"), [(0, 60), (0.5, 10), (10, 10), (11, 30), (60, 60), (61, 300), (1e6, 900)]
)
def test_asked_again_when_it_may_be_over(seconds: float, again: int) -> None:
    assert page.again(seconds) == again


def test_the_page_and_what_is_beside_it_come_and_go(tmp_path: Path) -> None:
    page.show(str(tmp_path), "back soon", 200)
    page.show(str(tmp_path), "another", 5)  # it is there already
    assert (tmp_path / "maintenance.html").read_text() == "back soon"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maintenance.html", "retry-after-300"]
    page.remove(str(tmp_path))
    page.remove(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_web_site_knows_all_that_is_said() -> None:
    assert str([step for step in page.STEPS if step != page.DEFAULT]) in SITE.read_text()
