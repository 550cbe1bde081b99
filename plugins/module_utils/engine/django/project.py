# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Django project on disk: where its manage.py is, with which Python and as which OS user it runs."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from ..command import PATH
from ..errors import CatmaidError

MANAGE = os.path.join("django", "projects", "manage.py")


@dataclass(frozen=True)
class Project:
    """Source code at ``path`` with its virtual environment. Nothing is looked at before :meth:`validate`.

    ``follows_login`` is for one that moves: the role of the settings is used on the server that our own login leads to.
    """

    path: str
    virtualenv: str
    user: str | None = None
    settings: str = "mysite.settings"
    follows_login: bool = False

    @property
    def folder(self) -> str:
        """The folder of manage.py, which is also where CATMAID expects to be started."""
        return os.path.join(self.path, os.path.dirname(MANAGE))

    @property
    def python(self) -> str:
        """The interpreter of the virtual environment."""
        return os.path.join(self.virtualenv, "bin", "python")

    @property
    def os_user(self) -> str | None:
        """The OS user to run as: the named one, else the owner of the source code; None is ourselves."""
        if self.user:
            return self.user
        if os.geteuid() != 0:
            return None
        owner = os.stat(self.path).st_uid
        try:
            return pwd.getpwuid(owner).pw_name if owner else None
        except KeyError as error:
            raise CatmaidError(
                f"looking at the project {self.path}", f"its owner, uid {owner}, has no account", "Name project_user."
            ) from error

    def validate(self) -> None:
        """Raise :class:`CatmaidError` unless everything that a manage.py call needs is there."""
        doing = f"looking at the project {self.path}"
        manage = os.path.join(self.path, MANAGE)
        if not os.path.isfile(manage):
            raise CatmaidError(doing, f"there is no {manage}", "project_path is the folder that holds django/projects.")
        if not os.access(self.python, os.X_OK):
            raise CatmaidError(
                doing, f"{self.python} cannot be run", "virtualenv is the folder of a Python virtual environment."
            )
        settings = os.path.join(self.folder, *self.settings.split("."))
        if not os.path.exists(f"{settings}.py") and not os.path.isdir(settings):
            raise CatmaidError(
                doing,
                f"there are no settings {settings}.py",
                "The instance is not configured yet, or settings is wrong.",
            )
        if self.user:
            try:
                pwd.getpwnam(self.user)
            except KeyError as error:
                raise CatmaidError(
                    doing, f"there is no OS user {self.user}", "Create it or correct project_user."
                ) from error

    def environment(self) -> dict[str, str]:
        """Return what an activated virtual environment sets: CATMAID starts programs that live in its bin folder."""
        return {
            "PATH": f"{os.path.join(self.virtualenv, 'bin')}:{PATH}",
            "VIRTUAL_ENV": self.virtualenv,
            "DJANGO_SETTINGS_MODULE": self.settings,
            "PYTHONUNBUFFERED": "1",
        }
