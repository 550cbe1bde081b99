# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Celery beat is known by its command line, however it was started."""

from __future__ import annotations

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upkeep.beat import is_beat


@pytest.mark.parametrize(
    ("line", "beat"),
    [
        ("/env/bin/python /env/bin/celery -A mysite beat -l info", True),
        ("/env/bin/python -m celery -A mysite beat", True),
        ("/env/bin/celery -A mysite worker -B", True),
        ("/env/bin/celery -A mysite worker --beat -l info", True),
        ("/env/bin/celery -A mysite worker -l info", False),
        ("/usr/bin/vi beat", False),
        ("", False),
    ],
)
def test_command_lines(line: str, beat: bool) -> None:
    assert is_beat([*line.split(), ""]) is beat


def test_the_title_that_it_gives_itself() -> None:
    assert is_beat(["[celery beat] -A mysite beat", ""])
