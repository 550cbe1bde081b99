# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of an instance make of what they have read."""

from __future__ import annotations

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.checks.host import is_refusal
from ansible_collections.catmaid.admin.plugins.module_utils.engine.checks.web import is_password

# As Django 3.2 keeps "admin"
KEPT = "pbkdf2_sha256$1000$salt$%s"


@pytest.mark.parametrize(
    ("last", "refusal"),
    [
        ("django.core.exceptions.DisallowedHost: Invalid HTTP_HOST header: 'evil'.", True),
        ("django.db.utils.OperationalError: no DisallowedHost here", False),
    ],
)
def test_a_refused_host_is_no_fault(last: str, refusal: bool) -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in <module>',
        "    ^^^^",
        "",
        last,
        "[1] [INFO]",
    ]
    assert is_refusal(lines) is refusal


def test_usual_passwords_are_known_by_what_django_keeps() -> None:
    import base64
    import hashlib

    digest = hashlib.pbkdf2_hmac("sha256", b"admin", b"salt", 1000)
    kept = KEPT % base64.b64encode(digest).decode()
    assert (is_password("admin", kept), is_password("other", kept)) == (True, False)
    assert not any(is_password("admin", kept) for kept in ("!", "", "argon2$x", "pbkdf2_sha256$x$salt$y"))
