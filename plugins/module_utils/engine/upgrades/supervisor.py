# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that supervisor runs, as CATMAID's own manual has it: a service by the name of supervisor:group:program."""

from __future__ import annotations

import os

from .. import configs

PREFIX = "supervisor:"
CONFIGURED = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf")


def is_named(name: str) -> bool:
    """Tell whether a service is one of supervisor's."""
    return name.startswith(PREFIX)


def texts() -> dict[str, str]:
    """Return the files of supervisor that are in use, those that it includes as well."""
    found = configs.read(*CONFIGURED[:1]) or configs.read(*CONFIGURED)
    for path, text in list(found.items()):
        for section in configs.supervisor(text):
            for pattern in section.last("files").split() if section.name == "include" else ():
                found.update(configs.read(os.path.join(os.path.dirname(path), pattern)))
    return found
