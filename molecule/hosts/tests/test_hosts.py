# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test hosts are what the other scenarios take them for."""

from __future__ import annotations

import time

import pytest

HOSTS = ("catmaid-bookworm", "catmaid-trixie")
POSTGRESQL = {"catmaid-bookworm": 15, "catmaid-trixie": 17}


def sql(host, *commands):
    """Run SQL as PostgreSQL's administrator and return what it prints."""
    options = " ".join(f"-c '{command}'" for command in commands)
    return host.check_output(f"cd / && runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d template1 {options}")


def test_systemd_runs_and_nothing_failed(host):
    assert host.check_output("cat /proc/1/comm") == "systemd"
    assert host.check_output("systemctl is-system-running") == "running"


def test_postgresql_is_of_the_expected_version_and_in_utf8(host):
    version = sql(host, "show server_version_num")
    assert int(version) // 10000 == POSTGRESQL[host.check_output("hostname")]
    assert sql(host, "show server_encoding") == "UTF8"


def test_postgis_can_be_made_and_used(host):
    commands = ("begin", "create extension postgis", "select st_length(st_makeline(st_point(0, 0), st_point(3, 4)))")
    assert sql(host, *commands, "rollback") == "5"


@pytest.mark.parametrize("other", HOSTS)
def test_every_host_sees_every_other_ones_page_by_name(host, other):
    assert host.check_output(f"curl --silent --fail http://{other}/") == other


def test_timer_fires(host):
    deadline = time.monotonic() + 15
    while not host.file("/var/lib/tick/last").exists and time.monotonic() < deadline:
        time.sleep(0.5)
    assert host.file("/var/lib/tick/last").exists


def test_unit_sandboxing_is_really_applied(host):
    probe = "systemd-run --quiet --collect --pipe --wait --property=ProtectSystem=strict touch /usr/probe"
    assert host.run(probe).rc != 0
    assert not host.file("/usr/probe").exists


def test_service_users_share_the_pip_cache(host):
    for user in ("root", "www-data", "nobody"):
        folder = f"/var/cache/pip/probe-{host.check_output('hostname')}"
        host.check_output(f"runuser -u {user} -- mkdir -p {folder}/a && runuser -u {user} -- touch {folder}/a/{user}")
    host.check_output(f"rm -r {folder}")
