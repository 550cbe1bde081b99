# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tuned kernel: it has the values, keeps them, is watched, and gets back what it had.

The host's vm.* are the machine's: tests/hosts/kernel has noted them, and brings them back.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

HOST = "catmaid-trixie"
SET = "catmaid.admin.sysctl_tuning : Set the kernel"
TILED = "catmaid.admin.tile_storage : Let reading tiles write nothing"
COMPARED = "catmaid.admin.tile_storage : Verify | Compare folders of tiles"
SSSD = "catmaid.admin.ldap_cache : Sssd | Let it keep answers and passwords"
NSCD = "catmaid.admin.ldap_cache : Nscd keeps | It keeps users and groups"
KEPT = "catmaid.admin.ldap_cache : Verify | Compare what sssd is told"
TILES = "/srv/disk-of-tiles"
OURS, LATER = "/etc/sysctl.d/60-catmaid.conf", "/etc/sysctl.d/99-lab.conf"
MACHINE = Path.home() / ".cache/catmaid.admin/hosts" / os.environ["CATMAID_HOSTS"] / "kernel"
WANTED = {"vm.swappiness": "10", "vm.dirty_background_bytes": "268435456", "vm.dirty_bytes": "1073741824"}


@pytest.fixture(scope="module")
def host(instances):
    return instances[1]


def asked_by(host, source: str) -> None:
    """Let users of a host be looked up in the directory, by nslcd (ldap) or by sssd (sss)."""
    host.run(f"sed -i -E 's/^(passwd|group):.*/\\1: files {source}/' /etc/nsswitch.conf")


@pytest.fixture
def sealed(instances):
    """The other host, which cannot change the kernel."""
    instances[0].run("mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys")
    yield instances[0]
    instances[0].run("umount /proc/sys")


@pytest.fixture(scope="module")
def tune(play):
    """Run the playbook on the host that is tuned."""
    return lambda *arguments, on=HOST, **variables: play("tune", *arguments, catmaid_hosts=on, **variables)


def live(host, *names: str) -> dict[str, str]:
    return dict(zip(names, host.run(f"sysctl -n {' '.join(names)}").splitlines(), strict=True))


def test_the_kernel_has_what_the_file_says(host):
    assert live(host, *WANTED) == WANTED
    assert live(host, "vm.dirty_ratio", "vm.dirty_background_ratio") == {
        "vm.dirty_ratio": "0",
        "vm.dirty_background_ratio": "0",
    }
    lines = host.run(f"cat {OURS}").splitlines()
    # Limits of shared memory and files are high in kernels of today, and never lowered.
    assert [line for line in lines if not line.startswith("#")] == [
        f"{name} = {WANTED[name]}" for name in sorted(WANTED)
    ]


def test_a_boot_brings_it_again(host, tune):
    host.run("sysctl -q -w vm.swappiness=60 vm.dirty_ratio=20 vm.dirty_background_ratio=10")  # as the kernel begins
    host.crash()
    assert live(host, *WANTED) == WANTED


def test_drift_is_found_and_mended(host, tune):
    host.run(f"sysctl -q -w vm.swappiness=33 && sed -i s/1073741824/1073741825/ {OURS}")
    found = tune("--tags", "verify")
    assert found.rc != 0
    assert "The kernel has {'vm.swappiness': '33'} instead of {'vm.swappiness': '10'}" in found.messages(HOST)
    assert f"{OURS} is not as the role writes it" in found.messages(HOST)
    assert live(host, "vm.swappiness") == {"vm.swappiness": "33"}
    assert tune().changed(HOST) == [SET]
    assert tune("--tags", "verify").rc == 0


def test_the_manuals_typo_is_refused(host, tune):
    before = host.run(f"cat {OURS}")
    refused = tune(catmaid_sysctl_tuning_settings={"vm.dirty_bytes": 107374182})
    assert refused.rc != 0
    assert "typo: a digit is missing" in refused.messages(HOST)
    assert host.run(f"cat {OURS}") == before
    assert live(host, *WANTED) == WANTED


def test_a_file_that_is_read_later_is_told(host, tune):
    host.run(f"echo vm.swappiness=60 > {LATER}")
    told = tune()
    assert told.rc != 0
    assert f"{LATER} sets vm.swappiness to 60 after us" in told.messages(HOST)
    host.run(f"rm {LATER}")


def test_a_check_writes_the_advice(host, tune, tmp_path):
    """With what pays only sometimes: huge pages would be taken from the machine."""
    done = tune(
        "--check",
        catmaid_tuning_report=str(tmp_path),
        catmaid_tuning_parts=["database"],
        catmaid_tuning_host={"memory": "16GB", "cores": 4, "disk": "hdd"},
        catmaid_tuning_demands={"threads": 3},
        catmaid_sysctl_tuning_huge_pages=True,
        catmaid_sysctl_tuning_overcommit=True,
        catmaid_sysctl_tuning_file="/etc/sysctl.d/61-lab.conf",
        catmaid_sysctl_tuning_settings={"net.core.somaxconn": 8192, "vm.swappiness": 1},
    )
    [after] = [result["after"] for name, result in done.tasks(HOST) if name == SET]
    assert int(after["vm.nr_hugepages"]) > 1000
    assert (after["vm.swappiness"], after["net.core.somaxconn"], after["vm.overcommit_memory"]) == ("1", "8192", "2")
    assert live(host, "vm.overcommit_memory", "vm.swappiness") == {"vm.overcommit_memory": "0", "vm.swappiness": "10"}
    assert not host.host.file("/etc/sysctl.d/61-lab.conf").exists

    told = json.loads((tmp_path / f"{HOST}.json").read_text())
    assert told["host"] == {"memory": 16 * 1024**3, "cores": 4, "disk": "hdd", "parts": ["database"]}
    rows = {value["name"]: value for value in told["values"]}
    assert rows["vm.swappiness"]["now"] == "10"
    assert rows["shared_buffers"]["now"].endswith("MB")
    assert "16 connections" in {share["name"]: share["reason"] for share in told["shares"]}["connections"]
    assert "| `vm.dirty_bytes` | 1073741824 | 1GB |" in (tmp_path / f"{HOST}.md").read_text()
    assert '<div class="bar"' in (tmp_path / f"{HOST}.html").read_text()


def test_other_roles_do_theirs_where_the_kernel_is_not_the_hosts_own(sealed, tune):
    before = sealed.run("cat /etc/fstab")
    wanted = {"vm.swappiness": 11}
    possible = {
        "catmaid_sysctl_tuning_settings": wanted,
        "catmaid_sysctl_tuning_where_possible": True,
        "catmaid_tile_storage_paths": [{"path": TILES}],
        "catmaid_ldap_cache_enabled": True,
    }
    asked_by(sealed, "ldap")
    assert TILED in tune(on=sealed.name, **possible).changed(sealed.name)
    assert "vm.swappiness" not in sealed.run(f"cat {OURS} || true")
    assert "noatime" in sealed.run(f"findmnt -no OPTIONS {TILES}")
    compared = dict(tune("--tags", "verify", on=sealed.name, **possible).tasks(sealed.name))
    assert not compared[NSCD].get("failed")
    sealed.run("getent passwd ann && systemctl stop slapd && getent passwd ann")  # nscd has kept it
    asked_by(sealed, "sss")
    possible["catmaid_ldap_cache_seconds"] = 7200
    again = tune(on=sealed.name, **possible)
    assert again.rc == 0
    assert SSSD in again.changed(sealed.name)
    assert "[domain/lab]\ncache_credentials = true\nentry_cache_timeout = 7200" in sealed.run("cat /etc/sssd/conf.d/*")
    sealed.run(f"mount -o remount,strictatime {TILES}")
    for wanted_of, failed in ({"catmaid_ldap_cache_seconds": 60}, KEPT), ({}, COMPARED):
        found = tune("--tags", "verify", on=sealed.name, **possible | wanted_of)
        assert found.rc != 0
        assert [name for name, result in found.tasks(sealed.name) if result.get("failed")] == [failed]
    assert tune(on=sealed.name, **possible, catmaid_tuning_state="absent").rc == 0
    assert sealed.run("cat /etc/fstab") == before
    assert "noatime" not in sealed.run(f"findmnt -no OPTIONS {TILES}")
    assert not sealed.host.file(OURS).exists
    assert (
        sealed.run("ls /etc/sssd/conf.d /usr/sbin/nscd /etc/nscd.conf 2>/dev/null || true").strip()
        == "/etc/sssd/conf.d:"
    )


def test_all_comes_back(host, tune):
    before = dict(line.split() for line in MACHINE.read_text().splitlines())
    assert SET in tune(catmaid_tuning_state="absent", catmaid_postgres_tuning_restart=True).changed(HOST)
    assert live(host, *before) == before
    assert not host.host.file(OURS).exists
    assert not host.host.file("/var/lib/catmaid/tuning").exists
    assert tune("--tags", "verify", catmaid_tuning_state="absent").rc == 0
