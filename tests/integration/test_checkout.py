# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module checkout."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.double_fixtures import run
from tests.integration.instances import finish, start

pytestmark = pytest.mark.once("trixie")

SETTINGS = "django/projects/mysite/settings.py"
Do = Callable[..., dict[str, Any]]


@pytest.fixture
def root(tmp_path: Path, double_accounts: None) -> Iterator[Path]:
    """A folder that the service user owns."""
    folder = Path("/opt/checkout test")
    folder.mkdir()
    shutil.chown(folder, "catmaid", "catmaid")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def checkout(root: Path, double_repo: Path) -> Do:
    """Run the module on the double's repository, which belongs to another user."""

    def do(version: str, check: bool = False, **more: Any) -> dict[str, Any]:
        parameters = {"repository": str(double_repo), "root": str(root), "user": "catmaid", "version": version}
        return finish(start("checkout", **{**parameters, "_ansible_check_mode": check, **more}))

    return do


def git(where: str, *arguments: str) -> str:
    return run(["runuser", "-u", "catmaid", "--", "git", "-C", where, *arguments]).stdout.strip()


def test_releases_live_side_by_side(checkout: Do, root: Path) -> None:
    predicted = checkout("2030.01.15", check=True)
    assert predicted["changed"] and not predicted["prepared"]
    assert list(root.iterdir()) == []

    old = checkout("2030.01.15")
    assert old["changed"] and old["prepared"]
    assert {key: predicted[key] for key in ("commit", "describe", "path")} == {
        key: old[key] for key in ("commit", "describe", "path")
    }
    assert git(old["source"], "describe") == "2030.01.15"
    assert Path(old["source"]).owner() == "catmaid"
    assert not checkout("2030.01.15")["changed"]

    new = checkout("2030.06.20")
    assert new["path"] != old["path"]
    assert git(old["source"], "describe") == "2030.01.15"
    assert git(new["source"], "describe") == "2030.06.20"


@pytest.mark.parametrize(
    ("version", "describe"),
    [
        ("latest_release", "2030.12.21"),
        ("stable", "2030.12.21"),
        ("dev", "2030.12.21-2-g"),
        ("maintenance/2030.01.15", "2030.01.15-2-g"),
    ],
)
def test_versions_have_many_names(checkout: Do, version: str, describe: str) -> None:
    said = checkout(version)
    assert said["describe"].startswith(describe)
    assert checkout(said["commit"])["path"] == said["path"]
    assert checkout(said["commit"][:10])["path"] == said["path"]


def test_an_unknown_version_names_those_like_it(checkout: Do, root: Path) -> None:
    assert "2030.06.20" in checkout("2030.06.21")["msg"]
    assert list(root.iterdir()) == []


def test_untracked_files_are_carried_over(checkout: Do) -> None:
    old = checkout("2030.01.15")
    settings = Path(old["source"], SETTINGS)
    settings.write_text("SECRET = 1\n", encoding="utf-8")
    shutil.chown(settings, "root", "catmaid")
    settings.chmod(0o640)
    new = checkout("2030.06.20", carry_from=old["source"])
    assert new["carried"] == [SETTINGS]
    copy = Path(new["source"], SETTINGS)
    assert copy.read_text(encoding="utf-8") == "SECRET = 1\n"
    assert (copy.owner(), copy.group(), copy.stat().st_mode & 0o777) == ("root", "catmaid", 0o640)
    # what is there is never replaced
    copy.write_text("SECRET = 2\n", encoding="utf-8")
    assert not checkout("2030.06.20", carry_from=old["source"])["changed"]
    assert copy.read_text(encoding="utf-8") == "SECRET = 2\n"


def test_a_run_that_was_cut_short_is_begun_anew(checkout: Do, root: Path) -> None:
    said = checkout("2030.01.15")
    os.unlink(Path(said["path"], "release.json"))
    os.unlink(Path(said["source"], "UPDATE.md"))
    (root / ".repository-partial").mkdir()
    assert checkout("2030.01.15", check=True)["changed"]
    assert checkout("2030.01.15")["changed"]
    assert git(said["source"], "status", "--porcelain") == ""


def test_edited_code_is_refused(checkout: Do) -> None:
    said = checkout("2030.01.15")
    manage = Path(said["source"], "django/projects/manage.py")
    manage.write_text("# ours\n", encoding="utf-8")
    assert "django/projects/manage.py" in checkout("2030.01.15")["msg"]
    assert manage.read_text(encoding="utf-8") == "# ours\n"


def test_a_repository_that_is_not_there_is_explained(checkout: Do, root: Path) -> None:
    assert "Check catmaid_repository" in checkout("2030.01.15", repository="/srv/nowhere.git")["msg"]
    assert list(root.iterdir()) == []
