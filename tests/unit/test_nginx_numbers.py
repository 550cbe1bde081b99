# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of nginx.conf are edited where they stand, whatever the file looks like, and there is a way back."""

from __future__ import annotations

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.web import server

WANTED = {
    "worker_processes": "auto",
    "worker_rlimit_nofile": "9000",
    "worker_connections": "4096",
    "multi_accept": "on",
}
USUAL = """user www-data;
worker_processes 2;  # as many as we have
events {
\tworker_connections  768;
\t# multi_accept on;
}
http {
\tmap $http_a $b { default "worker_connections 5; }"; }
\tlog_format x '${a}{';
}
"""


def directives(text: str) -> dict[str, str]:
    """Return each directive by its place, with its value."""
    found = {}
    for one in server.statements(text):
        found[f"{one.block}/{one.name}"] = " ".join(text[one.start : one.end].split()[1:]).rstrip(";")
    return found


def test_numbers_are_set_where_they_stand_and_nothing_else() -> None:
    edited = server.with_numbers(USUAL, WANTED)
    assert directives(edited) == {
        **directives(USUAL),
        "/worker_processes": "auto",
        "/worker_rlimit_nofile": "9000",
        "events/worker_connections": "4096",
        "events/multi_accept": "on",
    }
    untouched = [line for line in USUAL.splitlines() if "worker_" not in line or "map" in line]
    assert [line for line in edited.splitlines() if line in untouched] == untouched
    assert server.with_numbers(edited, WANTED) == edited
    assert server.without_numbers(edited) == USUAL
    other = server.with_numbers(edited, {**WANTED, "worker_connections": "5000"})
    assert directives(other)["events/worker_connections"] == "5000"
    # What somebody has changed meanwhile stays.
    assert server.without_numbers(other.replace("www-data", "nginx")) == USUAL.replace("www-data", "nginx")


def test_numbers_that_are_right_are_nobodys() -> None:
    text = USUAL.replace("worker_processes 2;", "worker_processes\tauto;")
    assert "worker_processes\tauto;  # as many as we have\n" in server.with_numbers(text, WANTED)


@pytest.mark.parametrize(
    "text",
    [
        "events {} http { include a; }",
        "events { worker_connections 768; multi_accept off; } http {}\n",
        "worker_processes\n  3; events {\n}\n",
        "events { # few\n}",
    ],
)
def test_odd_files_keep_their_sense(text: str) -> None:
    edited = server.with_numbers(text, WANTED)
    found = directives(edited)
    assert (found["/worker_rlimit_nofile"], found["events/worker_connections"]) == ("9000", "4096")
    assert found["events/multi_accept"] == "on"
    assert server.with_numbers(edited, WANTED) == edited
    assert directives(server.without_numbers(edited)) == directives(text)


def test_a_file_without_events_is_refused() -> None:
    with pytest.raises(CatmaidError, match="no block events"):
        server.with_numbers("include all.conf;", WANTED)
