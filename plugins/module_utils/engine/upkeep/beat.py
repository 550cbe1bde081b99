# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Celery beat runs for an instance: CATMAID's own schedule then refreshes the statistics each night."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence

from ..django.project import Project
from ..upgrades import programs

EMBEDDED = ("-B", "--beat")
TITLE = "[celery beat]"  # what it calls itself where setproctitle is installed


def runs(project: Project, proc: str = "/proc") -> bool:
    """Tell whether a process of the instance's user, or by its virtual environment, is Celery beat."""
    user = project.os_user
    uid = pwd.getpwnam(user).pw_uid if user else os.geteuid()
    folders = {os.path.join(path, "") for path in (project.virtualenv, os.path.realpath(project.virtualenv))}
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            owner = os.stat(f"{proc}/{name}").st_uid
            with open(f"{proc}/{name}/cmdline", "rb") as file:
                words = file.read().decode("utf-8", "replace").split("\0")
        except OSError:
            continue  # it has ended
        if is_beat(words) and (owner == uid or any(word.startswith(tuple(folders)) for word in words)):
            return True
    return False


def is_beat(words: Sequence[str]) -> bool:
    """Tell whether a command line is Celery beat's, or that of a worker that is beat as well."""
    if words and words[0].startswith(TITLE):
        return True
    program = programs.parse([word for word in words if word])
    embedded = program.kind == programs.WORKER and any(word in EMBEDDED for word in program.arguments)
    return program.kind == programs.BEAT or embedded
