# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tuning_plan: what this host should have, beside what it has, and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import run_module, value

GB = 1024**3
pytestmark = pytest.mark.once("bookworm")


def plan(**args: Any) -> dict[str, Any]:
    done = run_module("tuning_plan", **args)
    assert not done.changed
    return done.result


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {value["name"]: value for value in found["values"]}


def test_this_host_is_read() -> None:
    found = plan()
    assert found["host"]["memory"] <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found["host"]["cores"] == len(os.sched_getaffinity(0))
    assert sum(share["bytes"] for share in found["shares"]) == found["host"]["memory"]
    assert by_name(found)["vm.swappiness"]["now"] == Path("/proc/sys/vm/swappiness").read_text().strip()
    assert by_name(found)["shared_buffers"]["now"] is None


def test_postgresql_is_asked_for_what_it_has() -> None:
    found = plan(login_db="postgres", memory="16GB", cores=8, disk="hdd", title="lab & <co>")
    buffers = by_name(found)["shared_buffers"]
    assert buffers["now"] == value("postgres", "SHOW shared_buffers")
    assert found["host"] == {"memory": 16 * GB, "cores": 8, "disk": "hdd", "parts": ["database", "application", "web"]}
    row = f"| `shared_buffers` | {buffers['now']} | {buffers['text']} | {buffers['reason']} | {buffers['source']} |"
    assert row in found["markdown"]
    assert any(line.startswith(f"shared_buffers: {buffers['now']} -> {buffers['text']}, ") for line in found["summary"])
    page = found["html"]
    assert "lab &amp; &lt;co&gt;" in page and "<co>" not in page
    assert f"<td>{buffers['now']}</td><td>{buffers['text']}</td>" in page
    assert page.count('<div style="width:') == len(found["shares"])
    assert "prefers-color-scheme: dark" in page
    assert "http" not in page  # it needs nothing from elsewhere


def test_a_server_that_is_away_is_said_to_be() -> None:
    away = run_module("tuning_plan", login_db="postgres", login_port=1)
    assert "What PostgreSQL has now is not in the plan" in str(away.result["warnings"])
    assert by_name(away.result)["shared_buffers"]["text"]


def test_what_is_asked_of_the_host_counts() -> None:
    asked = {"workers": 4, "threads": 2, "worker_mb": 512, "companions": 1, "other_connections": 5}
    asked |= {
        "clients": 50,
        "buffers": 100,
        "body_buffer_kb": 256,
        "worker_connections": 2,
        "body_mb": 10,
        "upload_mb": 20,
    }
    found = plan(memory="16GB", cores=8, parts=["application", "web"], demands=asked)
    shares = {share["name"]: share["bytes"] for share in found["shares"]}
    assert shares["workers"] == 5 * 512 * 1024**2
    assert shares["nginx"] == 50 * (64 + 256 + 400) * 1024
    assert set(shares) == {"system", "workers", "nginx", "page_cache"}
    told = " ".join(found["conflicts"])
    assert "Raise worker_connections to 13" in told and "Let nginx take 20 MB" in told
    assert found["fatal"] == []
    connections = by_name(
        plan(
            memory="16GB",
            cores=8,
            demands={"workers": 90, "threads": 2, "worker_mb": 32, "companions": 3, "other_connections": 7},
        )
    )
    assert connections["max_connections"]["value"] == 90 * 2 + 3 + 7 + 10


def test_the_manuals_typo_is_explained() -> None:
    found = plan(memory="16GB", settings={"vm.dirty_bytes": 107374182, "vm.swappiness": "1"})
    assert len(found["fatal"]) == 1 and "typo: a digit is missing" in found["fatal"][0]
    assert found["fatal"][0] in found["html"].replace("&#x27;", "'")
    assert f"CONFLICT: {found['fatal'][0]}" in found["markdown"]
    assert {"name": "vm.swappiness", "value": "1", "at_least": False, "reason": "as wanted; 10 was advised"} in found[
        "kernel"
    ]


def test_what_pays_only_sometimes_is_asked_for() -> None:
    found = plan(
        memory="64GB", cores=16, parts=["database"], huge_pages=True, overcommit=True, disk_path="/nowhere/yet"
    )
    names = {one["name"] for one in found["kernel"]}
    assert {"vm.nr_hugepages", "vm.overcommit_memory", "vm.overcommit_ratio"} <= names
    assert "vm.nr_hugepages" not in {one["name"] for one in plan()["kernel"]}


def test_nonsense_is_refused() -> None:
    assert "is no size" in run_module("tuning_plan", memory="lots").error
    assert "are no host for CATMAID" in run_module("tuning_plan", memory="1MB").error
