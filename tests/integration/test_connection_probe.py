# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""connection_probe: tells whether the application uses its connections again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.double_fixtures import ROLE, Release
from tests.integration.support import Run, run_module

pytestmark = pytest.mark.once("bookworm")

KEEP = 'DATABASES["default"]["CONN_MAX_AGE"] = 60\n'


def probe(database: str, url: str, **more: Any) -> Run:
    port = int(url.rpartition(":")[2])
    options = {"rounds": 3, "requests": 6, "parallel": 2, **more}
    return run_module("connection_probe", login_db=database, role=ROLE, server_name="localhost", port=port, **options)


def test_one_thread_keeps_one_connection_if_it_is_told_to(
    double_release: Callable[..., Release], double_database: Callable[..., str]
) -> None:
    database = double_database()
    release = double_release(database=database, more=KEEP)
    with release.serve() as site:
        for more in ({}, {"capacity": 1}):
            found = probe(database, site.url, **more)
            assert (found.changed, found.result["good"]) == (False, True), found.result
            assert found.result["rounds"][-1] == {"sessions": 1, "new": 0, "stayed": 1}
        assert "404" in probe(database, site.url, page="/nowhere/").error
        assert "rounds is less than 2" in probe(database, site.url, rounds=1).error
    assert "Is the web server running?" in probe(database, site.url).error

    release.configure(database)
    with release.serve() as site:
        found = probe(database, site.url, page="/projects/", https=False, url_prefix="")
        assert (found.result["good"], "no connection is kept" in found.result["why"]) == (False, True)
