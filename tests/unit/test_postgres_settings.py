# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What settings mean, how they are written, and what is advised to servers of all versions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import dropin, rehearsal, settings
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.dropin import Wanted
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.settings import Setting
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning import database
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning.database import Present

PLAIN = Setting("x", "", "", "", "string", "sighup", "default", "", 0)
PAGES = replace(PLAIN, kind="integer", unit="8kB")
DEBIAN = "/etc/postgresql/14/lab one/postgresql.conf"


@pytest.mark.parametrize(
    ("setting", "one", "other", "same"),
    [
        (PAGES, "128MB", "16384", True),
        (PAGES, "0.125GB", "131072 kB", True),
        (PAGES, "128MB", "16385", False),
        (replace(PAGES, unit="ms"), "15min", "900000", True),
        (replace(PAGES, unit="s"), "900s", "15min", True),
        (replace(PAGES, unit="min"), "1d", "1440", True),
        (replace(PAGES, unit="B"), "1kB", "1024", True),
        (replace(PLAIN, kind="real"), "1e6", "1000000", True),
        (replace(PLAIN, kind="real"), "1.1", "1.10", True),
        (replace(PLAIN, kind="bool"), "yes", "on", True),
        (replace(PLAIN, kind="bool"), "off", "TRUE", False),
        (replace(PLAIN, kind="enum"), "LZ4", "lz4", True),
        (PLAIN, "UTC", "utc", False),
        (PAGES, "many", "16384", False),
    ],
)
def test_values_are_compared_by_what_they_mean(setting, one, other, same):
    assert settings.same(setting, one, other) is same


def test_a_line_survives_what_is_in_it():
    assert settings.line_of("a.b", "it's \\ a\nlist") == "a.b = 'it''s \\\\ a\\nlist'"
    text = dropin.render([Wanted("a.b", "1", "Two\nlines"), Wanted("c", "2")])
    assert text.startswith(dropin.MARK)
    assert text.splitlines()[2:] == ["# Two lines", "a.b = '1'", "c = '2'"]
    assert dropin.LINE.findall(text) == ["a.b", "c"]
    for name in ("a b", "", "a;", "1a", "a.", "ü"):
        with pytest.raises(CatmaidError):
            dropin.render([Wanted(name, "1")])


def test_complaints_are_told_by_the_real_paths():
    said = (
        'x [1] LOG:  invalid value for parameter "work_mem": "1 banana"\n'
        'x [1] HINT:  Valid units are\nx [1] FATAL:  configuration file "/run/c/conf/conf.d/a.conf" contains errors'
    )
    assert rehearsal.complaint(said, "/run/c/conf/p.conf", "/etc/p/p.conf") == (
        'invalid value for parameter "work_mem": "1 banana"'
    )
    said = 'x FATAL:  could not open "/run/c/conf/elsewhere/srv/x.conf" for "/run/c/conf/conf.d/a.conf"'
    assert rehearsal.complaint(said, "/run/c/conf/p.conf", "/etc/p/p.conf") == (
        'could not open "/srv/x.conf" for "/etc/p/conf.d/a.conf"'
    )


def names(wanted) -> dict[str, str]:
    return {one.name: one.value for one in wanted}


@pytest.mark.parametrize("major", [13, 14, 15, 16, 17])
def test_statistics_go_to_memory_where_a_server_writes_them(major):
    found = names(database.advise([], Present(major, {}, {}, DEBIAN)))
    assert found.get("stats_temp_directory") == (None if major > 14 else "/run/postgresql/14-lab one.pg_stat_tmp")
    there = {"stats_temp_directory": "/var/run/postgresql/14-main.pg_stat_tmp"}
    assert "stats_temp_directory" not in names(database.advise([], Present(major, {}, there, DEBIAN)))
    assert "stats_temp_directory" not in names(database.advise([], Present(major, {}, {}, "/srv/data/postgresql.conf")))


def test_what_a_server_was_built_with_and_has_counts():
    compression = replace(PLAIN, name="wal_compression", kind="enum", choices=("pglz", "lz4"))
    for choices, value in ((("pglz", "lz4"), "lz4"), ((), "on")):
        present = Present(15, {"wal_compression": replace(compression, choices=choices)}, {})
        assert names(database.advise([], present))["wal_compression"] == value
    more = Present(15, {}, {"max_connections": "300", "shared_preload_libraries": "timescaledb, 'x'"})
    plan = [Wanted("max_connections", "100"), Wanted("max_worker_processes", "8"), Wanted("checkpoint_timeout", "1h")]
    found = names(database.advise(plan, more))
    assert "max_connections" not in found
    assert (found["max_worker_processes"], found["checkpoint_timeout"]) == ("8", "1h")
    assert all(one.reason for one in database.advise([], more))
    for _again in range(2):
        loaded = database.with_statements([], more)
        assert names(loaded) == {"shared_preload_libraries": "timescaledb,x,pg_stat_statements"}
