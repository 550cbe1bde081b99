# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The READMEs of roles are what ``make docs`` writes, so they cannot differ from the argument specs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .contracts.house import CHECKOUT, ROLES


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_is_generated(role, tmp_path):
    shutil.copy(CHECKOUT / "galaxy.yml", tmp_path)
    shutil.copy(CHECKOUT / ".aar_doc.yml", tmp_path)
    copy = tmp_path / "roles" / role
    shutil.copytree(CHECKOUT / "roles" / role, copy)
    program = Path(sys.executable).parent / "aar-doc"
    subprocess.run([program, str(copy), "markdown"], cwd=tmp_path, check=True)
    assert (copy / "README.md").read_text() == (CHECKOUT / "roles" / role / "README.md").read_text(), "run make docs"
