# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-builder takes execution-environment.yml, and what it would install is this collection."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.unit.contracts.house import CHECKOUT

NAME = "execution-environment.yml"


def run(*argv: str, folder: Path) -> str:
    """Return what a command prints that must succeed."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_image_gets_this_collection(tmp_path):
    """As far as it goes without building it: the context, and the collection as it is installed there."""
    shutil.copy(CHECKOUT / NAME, tmp_path)
    run("ansible-galaxy", "collection", "build", "--output-path", str(tmp_path), folder=CHECKOUT)
    run("ansible-builder", "create", "--file", NAME, "--context", "context", folder=tmp_path)
    assert "ansible-runner" in (tmp_path / "context/Containerfile").read_text(encoding="utf-8")
    built = tmp_path / "context/_build"
    there = ["--collections-path", str(tmp_path / "there"), "--no-deps", "--offline", "--force"]
    run("ansible-galaxy", "collection", "install", "--requirements-file", "requirements.yml", *there, folder=built)
    installed = tmp_path / "there/ansible_collections/catmaid/admin"
    # Also what somebody copies to set AWX up.
    assert (installed / "awx/configure.yml").exists()
