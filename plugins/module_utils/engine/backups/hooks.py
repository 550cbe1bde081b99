# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the administrator's own that are run after a job: a mail, a message, a switch somewhere else."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from .. import command
from ..errors import CatmaidError

OUTPUT_LIMIT = 500
MESSAGE_LIMIT = 2000  # the kernel starts no program with a variable of 128 kB; the report holds the whole message


def run(commands: Sequence[Sequence[str]], report: Mapping[str, Any], timeout: float) -> list[str]:
    """Run the commands one after the other, each with the report on its standard input; return what went wrong.

    One that fails does not keep the others from being run.
    """
    problems = []
    for argv in commands:
        try:
            command.run(
                argv,
                doing=f"running the hook {argv[0]}",
                env=variables(report),
                stdin=json.dumps(report),
                timeout=timeout,
            )
        except CatmaidError as error:
            problems.append(f"{error.doing}: {error.cause[:OUTPUT_LIMIT]}")
    return problems


def variables(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what a hook finds in its environment, enough for one line of shell."""
    return {
        "CATMAID_HOST": socket.gethostname(),
        "CATMAID_INSTANCE": str(report["instance"]),
        "CATMAID_JOB": str(report["job"]),
        "CATMAID_WHAT": str(report["what"]),
        "CATMAID_RESULT": "ok" if report["ok"] else "failed",
        "CATMAID_MESSAGE": str(report["message"]).replace("\0", "")[:MESSAGE_LIMIT],
        "CATMAID_DATABASES": json.dumps(list(report["databases"])),  # any character may be in a name
    }
