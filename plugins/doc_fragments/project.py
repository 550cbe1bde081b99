# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Where the Django project is and how to run it."""

    DOCUMENTATION = r"""
options:
  project_path:
    description: Folder of CATMAID's source code, the one that holds C(django/projects/manage.py).
    type: path
    required: true
  virtualenv:
    description: Python virtual environment of that source code.
    type: path
    required: true
  project_user:
    description:
      - OS user that runs C(manage.py). Only root can act as another user.
      - Without it, the owner of O(project_path) when the module runs as root, else the module's own user.
    type: str
  settings:
    description: Django settings module.
    type: str
    default: mysite.settings
  follow_login:
    description:
      - For an instance that moves to another server. Where the settings lead to another server than the login options
        do, C(manage.py) uses the user and password of the settings on that of the login options.
    type: bool
    default: false
"""
