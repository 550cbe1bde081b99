# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project that connects to its message broker while it is imported, as CATMAID of 2024 does, gets one in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django import shim, static
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.project import Project

PACKAGE = """import importlib
settings = importlib.import_module("mysite.settings")
if not settings.CELERY_BROKER_URL.startswith("memory:"):
    raise SystemExit("waiting for " + settings.CELERY_BROKER_URL)
"""
SETTINGS = """DATABASES = {"default": {}}
STATIC_ROOT, CELERY_BROKER_URL, CELERY_RESULT_BACKEND = "static", "redis://nobody", "redis://nobody"
"""
MANAGER = """import pathlib, sys
import mysite.settings as settings
told = [*sys.argv, settings.CELERY_BROKER_URL, settings.CELERY_RESULT_BACKEND, settings.__file__]
pathlib.Path("static").mkdir()
pathlib.Path("static/told").write_text("\\n".join(told))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "django/projects"
    (folder / "mysite").mkdir(parents=True)
    (folder / "mysite/__init__.py").write_text(PACKAGE)
    (folder / "mysite/settings.py").write_text(SETTINGS)
    (folder / "manage.py").write_text(MANAGER)
    (folder / "django").mkdir()
    (folder / "django/__init__.py").write_text("def get_version(): return 3")
    (folder / "django/conf.py").write_text("from mysite import settings")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    return Project(str(tmp_path), str(tmp_path))


def test_it_would_wait(project: Project) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py"], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "waiting for redis://nobody"


def test_static_files_are_collected_without_one(project: Project) -> None:
    static.collect(project, os.path.join(project.folder, "static"), "1", link=True)
    told = Path(project.folder, "static/told").read_text().split("\n")
    assert told[:5] == ["manage.py", "collectstatic", "--noinput", "--link", "memory://"]
    assert told[5] == "cache+memory://"
    assert told[6].endswith("mysite/settings.py")


def test_questions_are_answered_without_one(project: Project) -> None:
    assert static.root(project) == "static"


def test_settings_that_are_only_tried_are_told_as_they_are(project: Project) -> None:
    asked = {
        "settings": "mysite.settings",
        "candidate": SETTINGS,
        "path": "new.py",
        "names": ["CELERY_BROKER_URL"],
        "keys": [],
    }
    look = "import sys, mysite.settings as s; print(s.__spec__.loader.found, s.CELERY_BROKER_URL)"
    done = subprocess.run(
        [sys.executable, "-c", shim.source(shim.CANDIDATE) + shim.source(shim.QUIET) + look],
        cwd=project.folder,
        env={**os.environ, "CATMAID_ADMIN_SHIM": json.dumps(asked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == '{"values": {"CELERY_BROKER_URL": "redis://nobody"}, "database": {}} memory://'
