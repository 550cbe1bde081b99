# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Password files (.pgpass): where libpq looks for one, and why it may have passed it over without a word."""

from __future__ import annotations

import os
import pwd
import stat

from ..errors import CatmaidError

NAME = ".pgpass"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def default(user: str | None) -> str:
    """Return the file of OS user ``user``, by default of whoever runs us: libpq in a child and here must agree."""
    if user:
        return os.path.join(pwd.getpwnam(user).pw_dir, NAME)
    return os.environ.get("PGPASSFILE") or os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, NAME)


def check(path: str) -> None:
    """Refuse a file that libpq would pass over."""
    cause = problem(path)
    if cause:
        raise CatmaidError(
            f"reading the password file {path}", cause, f"Make it readable for its owner only: {_cure(path)}"
        )


def problem(path: str) -> str:
    """Return why libpq takes no password from ``path``, nothing if it reads the file."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(mode):
        return "it is no plain file"
    if mode & OTHERS:
        return f"its mode is {stat.S_IMODE(mode):04o}, and a password file that others may use is ignored"
    return "" if os.access(path, os.R_OK, effective_ids=True) else "we may not read it"


def explain(path: str, line: str) -> tuple[str, str]:
    """Return why a login had no password although there is ``path``, and what to do; ``line`` is what it lacks."""
    cause = problem(path)
    if not os.path.exists(path):
        return "", f"Give login_password, or write a line for {line} into {path} and let only its owner read that."
    if cause:
        return f"the password file {path} was not used: {cause}", f"Run {_cure(path)}"
    return f"the password file {path} has no line for it", f"It needs one for {line}, or for * in their places."


def _cure(path: str) -> str:
    return f"chmod 0600 {path}"
