# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which notes belong to the way between two versions, with the habits of CATMAID's own files."""

from __future__ import annotations

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid.commits import Position
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import notes

OF_2019 = """\
Told in order.

## Under development

- New virtualenv.

- Delete
  compiled files:

  rm *.pyc

## 2018.02.16

- Install GDAL.

## Notes

- Set too high.
"""
OF_2020 = OF_2019.replace("## Under development", "## Under development\n\n- New virtualenv.\n\n## 2019.06.20")
OF_DEV = OF_2020.replace("## Under development", "## Under development\n\n- Python 3.8.\n\n## 2020.02.15")
LATER_DEV = OF_DEV.replace("- Python 3.8.", "- Python 3.8.\n\n- PostGIS 3.1.\n  See there.")


def at(release: str, ahead: int = 0) -> Position:
    return Position("c0ffee", f"{release}-{ahead}", release, ahead)


def told(before: str, now: str, old: Position, new: Position, file: str = "UPDATE.md") -> list[tuple[str, str]]:
    return [(found.release, found.text) for found in notes.between({file: (before, now)}, old, new)]


def test_at_its_tag_a_release_calls_itself_under_development() -> None:
    assert told(OF_2019, OF_2020, at("2019.06.20"), at("2020.02.15")) == [("2020.02.15", "- New virtualenv.")]


def test_all_versions_between_are_told_the_oldest_first() -> None:
    old = "## 2018.02.16\n\n- Install GDAL.\n"
    found = told(old, OF_DEV, at("2018.02.16"), at("2020.02.15", 305))
    assert [release for release, _text in found] == ["2019.06.20", "2020.02.15", "Under development"]
    assert found[0][1] == "- New virtualenv.\n\n- Delete\n  compiled files:\n\n  rm *.pyc"


def test_on_a_branch_only_what_is_new_is_told() -> None:
    found = told(OF_DEV, LATER_DEV, at("2020.02.15", 200), at("2020.02.15", 305))
    assert found == [("Under development", "- PostGIS 3.1.\n  See there.")]
    # and what has become a release since then
    released = LATER_DEV.replace("## Under development", "## Under development\n\n- Next.\n\n## 2021.12.21")
    found = told(OF_DEV, released, at("2020.02.15", 200), at("2021.12.21", 20))
    assert found == [("2021.12.21", "- PostGIS 3.1.\n  See there."), ("Under development", "- Next.")]


def test_a_maintenance_branch_from_before_the_renaming_tells_nothing_twice() -> None:
    assert told(OF_2019, OF_2019, at("2019.06.20"), at("2019.06.20", 2)) == []


def test_nothing_is_told_on_the_way_back() -> None:
    assert told(OF_DEV, OF_2020, at("2020.02.15", 305), at("2020.02.15")) == []
    assert told(OF_2020, OF_2019, at("2020.02.15"), at("2019.06.20")) == []


def test_a_heading_that_is_no_version_belongs_to_the_version_above() -> None:
    found = told("", OF_2019, at("2017.12.07"), at("2019.06.20"))
    assert found[0] == ("2018.02.16", "- Install GDAL.\n\n### Notes\n\n- Set too high.")


def test_of_a_changelog_the_notes_are_for_administrators() -> None:
    text = "## 2020.02.15\n\nContributors: us\n\n### Notes\n\n- PG 11.\n\n### Features\n\n- A button.\n"
    (section,) = notes.between({"CHANGELOG.md": ("", text)}, at("2019.06.20"), at("2020.02.15"))
    assert section.notes == "- PG 11."
    assert "A button" in section.text and "Contributors" in section.text
    assert notes.to_do([section]) == []


@pytest.mark.parametrize(("text", "coming"), [(OF_DEV, True), ("## Maintenance updates\n\n- x\n", False), ("", False)])
def test_a_development_branch_says_so(text: str, coming: bool) -> None:
    assert notes.is_coming(text) is coming
