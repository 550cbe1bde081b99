# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a command of manage.py, on the far side of the shim: the same rules hold as for child.py."""

# ruff: noqa: UP006, UP035
# mypy: disable-error-code="import-not-found, import-untyped"

from typing import Any, Dict


def run(config: Dict[str, Any]) -> Dict[str, Any]:
    """Run what is asked for."""
    if config["operation"] == "superuser":
        # Through the model, so that the project's own signals see it; createsuperuser would ask.
        from django.contrib.auth import get_user_model

        get_user_model().objects.create_superuser(config["username"], config["email"], config["password"])
    else:
        run_command(config)
    return {}


def run_command(config: Dict[str, Any]) -> None:
    """Run the first of the named commands that the release has; in one transaction when told so, so that a kill
    leaves what was there before."""
    from django.core.management import call_command, get_commands
    from django.db import transaction

    there = [name for name in config["names"] if name in get_commands()]
    if not there:
        raise LookupError("this release has no command " + " or ".join(config["names"]))
    if config["atomic"]:
        with transaction.atomic():
            call_command(there[0], *config["args"], **config["options"])
    else:
        call_command(there[0], *config["args"], **config["options"])
