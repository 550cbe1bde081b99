# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module collectstatic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.double_fixtures import Release, run
from tests.integration.instances import finish, start

pytestmark = pytest.mark.once("trixie")

MODULE = "collectstatic"


def collect(release: Release, check: bool = False, **more: str) -> dict[str, object]:
    parameters = {"project_path": str(release.source), "virtualenv": str(release.env), "_ansible_check_mode": check}
    return finish(start(MODULE, **parameters, **more))


def listing(folder: Path) -> str:
    return run(["find", str(folder), "-printf", "%P %l %s\\n"]).stdout if folder.exists() else ""


def test_it_collects_once_for_a_revision(
    double_release: Callable[..., Release], double_database: Callable[..., str]
) -> None:
    release = double_release("2030.06.20", double_database("2030.06.20", 1000))
    before = listing(release.static)
    assert collect(release, check=True, revision="a")["changed"]
    assert listing(release.static) == before

    said = collect(release, revision="a")
    assert said["changed"] and said["files"] > 4
    assert said["static_root"] == str(release.static)
    assert list(release.static.glob("css/catmaid.*.css"))

    assert not collect(release, revision="a")["changed"]
    assert not collect(release, check=True, revision="a")["changed"]
    assert collect(release, revision="b")["changed"]


def test_what_somebody_removed_is_collected_again(
    double_release: Callable[..., Release], double_database: Callable[..., str]
) -> None:
    release = double_release("2030.06.20", double_database("2030.06.20", 1000))
    collect(release)
    (lost,) = release.static.glob("css/catmaid.*.css")
    lost.unlink()
    assert collect(release, check=True)["changed"]
    assert not lost.exists()
    assert collect(release)["changed"]
    assert lost.exists()


def test_a_release_that_cannot_is_explained(
    double_release: Callable[..., Release], double_database: Callable[..., str]
) -> None:
    release = double_release("2030.06.20", double_database("2030.06.20", 1000), more="\nimport nowhere\n")
    assert "No module named 'nowhere'" in str(collect(release)["msg"])
