# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory budget: by a matrix of hosts, by what must be true of every host, and by what people got wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning.budget import plan
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning.model import (
    GB,
    MB,
    PARTS,
    TB,
    Budget,
    Demands,
    Host,
    Own,
    bytes_of,
    size_text,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning.shares import NODES, measure
from hypothesis import given, settings
from hypothesis import strategies as st

# The same examples in every run, and none kept: a test that fails, fails for everybody.
settings.register_profile("steady", derandomize=True, database=None, deadline=None)
settings.load_profile("steady")

UNLIMITED = 18446744073692774399  # what kernels allow of shared memory by themselves
SPLITS = [PARTS, ("database",), ("application", "web"), ("application",), ("web",)]
MATRIX = list(itertools.product([GB, 2 * GB, 4 * GB, 16 * GB, 64 * GB, 256 * GB, TB], [1, 2, 8, 64, 256], SPLITS))
LAB = Host(16 * GB, 8)

hosts = st.builds(
    Host,
    memory=st.integers(GB, TB),
    cores=st.integers(1, 256),
    disk=st.sampled_from(["ssd", "hdd"]),
    parts=st.lists(st.sampled_from(PARTS), min_size=1, unique=True).map(tuple),
)
demands = st.builds(
    Demands,
    workers=st.integers(0, 300),
    threads=st.integers(1, 64),
    worker_bytes=st.integers(MB, 4 * GB),
    companions=st.integers(0, 40),
    other_connections=st.integers(0, 500),
    clients=st.integers(1, 20000),
    buffers=st.integers(0, 4096),
    body_buffer_bytes=st.integers(0, 64 * MB),
)
own = st.dictionaries(
    st.sampled_from(["work_mem", "shared_buffers", "maintenance_work_mem", "autovacuum_work_mem"]),
    st.integers(MB, TB),
)


def worst(budget: Budget) -> int:
    """The bytes that may be in use when everybody takes all that the settings let them."""
    sizes, total = measure(budget.host, budget.demands), budget.share("system")
    total += budget.share("workers") + budget.share("nginx")
    if not budget.host.has("database"):
        return total
    value = {name: one.value for name, one in budget.of("database").items()}
    total += budget.share("connections") + value["shared_buffers"] + value["wal_buffers"]
    total += sizes.processes * NODES * value["work_mem"] + value["maintenance_work_mem"]
    return total + value["autovacuum_max_workers"] * value["autovacuum_work_mem"]


def names(budget: Budget, *, fatal: bool | None = None) -> list[str]:
    return [one.name for one in budget.conflicts if fatal is None or one.fatal == fatal]


@pytest.mark.parametrize(("memory", "cores", "parts"), MATRIX)
@pytest.mark.parametrize("disk", ["ssd", "hdd"])
def test_every_host_of_the_matrix_has_a_plan_without_conflicts(
    memory: int, cores: int, parts: tuple[str, ...], disk: str
) -> None:
    budget = plan(Host(memory, cores, disk, parts), present={"kernel.shmmax": UNLIMITED})
    assert budget.conflicts == []
    assert sum(share.bytes for share in budget.shares) == memory
    assert worst(budget) <= memory
    assert budget.share("page_cache") > 0
    assert all(value.reason and value.source for value in budget.values)
    assert {value.part for value in budget.values} == {*parts, "kernel"}
    if "database" in parts:
        found = budget.of("database")
        assert 1 * MB <= found["work_mem"].value <= 256 * MB
        assert memory // 16 <= found["shared_buffers"].value <= memory // 4
        assert found["effective_cache_size"].value > found["shared_buffers"].value
        assert found["random_page_cost"].value == (1.1 if disk == "ssd" else 4.0)


@settings(max_examples=300)
@given(hosts, demands)
def test_no_plan_is_larger_than_its_host(host: Host, wanted: Demands) -> None:
    budget = plan(host, wanted)
    assert sum(share.bytes for share in budget.shares) == host.memory
    assert all(share.bytes >= 0 for share in budget.shares)
    # What cannot be had within it is said, with what to do.
    assert worst(budget) <= host.memory or budget.conflicts
    assert all(one.cause and one.remedy for one in budget.conflicts)


@settings(max_examples=300)
@given(hosts, own)
def test_no_own_values_exhaust_the_memory_without_a_word(host: Host, values: dict[str, int]) -> None:
    budget = plan(host, own=values)
    assert worst(budget) <= host.memory or names(budget, fatal=True)


@settings(max_examples=200)
@given(hosts)
def test_limits_of_what_waits_to_be_written_are_in_order_on_every_host(host: Host) -> None:
    kernel = plan(host).of("kernel")
    assert ("vm.dirty_bytes" in kernel) == (host.memory // 10 > 256 * MB) == ("vm.dirty_background_bytes" in kernel)
    if "vm.dirty_bytes" in kernel:
        assert 256 * MB == kernel["vm.dirty_background_bytes"].value < kernel["vm.dirty_bytes"].value <= GB


@settings(max_examples=200)
@given(st.integers(1, 8 * TB).map(lambda size: size // 1024 * 1024))
def test_sizes_are_written_without_loss(size: int) -> None:
    assert bytes_of("x", size_text(size)) == size


def test_a_usual_host() -> None:
    budget = plan(LAB)
    assert {name: value.text for name, value in budget.of("kernel").items()} == {
        "vm.swappiness": "10",
        "fs.file-max": "65536",
        "vm.dirty_background_bytes": "256MB",
        "vm.dirty_bytes": "1GB",
        "kernel.shmmax": "4GB",
        "kernel.shmall": "1048576",
    }
    found = {name: value.text for name, value in budget.of("database").items()}
    assert found["max_connections"] == "100"
    assert found["autovacuum"] == "on"
    assert found["wal_buffers"] == "16MB"
    assert found["max_wal_size"] == "4GB"
    assert budget.value("workers").value == 17
    assert budget.value("buffers").value == 512
    assert budget.as_dict()["values"][0]["text"] == "10"


def test_a_database_alone_gets_what_others_would_have() -> None:
    shared, alone = plan(LAB), plan(Host(16 * GB, 8, parts=("database",)))
    assert alone.value("shared_buffers").value > shared.value("shared_buffers").value
    assert alone.share("workers") == alone.share("nginx") == 0


def test_more_workers_leave_less_to_sort_in() -> None:
    few, many = (plan(LAB, Demands(workers=4, threads=threads)).value("work_mem").value for threads in (1, 16))
    assert many < few


def test_the_manuals_typo_is_refused_and_explained() -> None:
    budget = plan(LAB, own={"vm.dirty_background_bytes": 268435456, "vm.dirty_bytes": 107374182})
    [conflict] = budget.conflicts
    assert conflict.fatal
    assert conflict.settings == ("vm.dirty_background_bytes", "vm.dirty_bytes")
    assert "typo: a digit is missing" in str(conflict)
    assert "before writing even begins at 256.0 MB" in str(conflict)
    assert "1073741824" in conflict.remedy


@pytest.mark.parametrize(
    ("values", "name", "fatal", "said"),
    [
        ({"vm.dirty_bytes": 268435456}, "dirty_order", True, "halves where it begins"),
        ({"vm.dirty_bytes": 12 * GB}, "dirty_large", False, "12.0 GB of 16.0 GB"),
        ({"vm.dirty_bytes": GB, "vm.dirty_ratio": 20}, "dirty_either", True, "Leave vm.dirty_ratio out"),
        ({"kernel.shmmax": 4 * GB}, "lowered", False, "would lower what the kernel allows already"),
        ({"work_mem": "1GB"}, "work_mem", True, "the kernel ends the database"),
        ({"shared_buffers": "4608MB"}, "shared_buffers", False, "a quarter"),
        ({"shared_buffers": "16GB"}, "shared_buffers", True, "leave too little"),
        ({"maintenance_work_mem": "12GB"}, "maintenance", True, "maintenance may take"),
        ({"autovacuum_work_mem": "4GB"}, "maintenance", True, "more than the"),
        ({"effective_cache_size": "64GB"}, "cache_size", False, "more memory than the host has"),
        ({"max_connections": 20}, "connections", True, "Use max_connections = 30 or more"),
        ({"workers": 200}, "workers", True, "a larger host"),
        ({"vm.nr_hugepages": 6000}, "huge_pages", True, "lost for everything else"),
        ({"vm.overcommit_memory": 2}, "overcommit", True, "vm.overcommit_ratio ="),
        ({"body": "1MB"}, "uploads", False, "nginx refuses requests of more than 1.0 MB"),
        ({"body": "200MB"}, "uploads", False, "Let both be the same"),
        ({"body_buffer": "100MB"}, "body_buffer", False, "larger than any request"),
    ],
)
def test_what_contradicts_is_found(values: Own, name: str, fatal: bool, said: str) -> None:
    found = {one.name: one for one in plan(LAB, own=values, present={"kernel.shmmax": UNLIMITED}).conflicts}
    assert found[name].fatal is fatal
    assert said in str(found[name])


@pytest.mark.parametrize(
    ("wanted", "name", "said"),
    [
        (Demands(clients=5000), "clients", "visitors at once"),
        (Demands(clients=900, buffers=64, worker_connections=100), "worker_connections", "to 225 or more"),
        (Demands(workers=8, threads=64), "connections_memory", "pgbouncer"),
    ],
)
def test_what_is_too_much_is_found(wanted: Demands, name: str, said: str) -> None:
    found = {one.name: one for one in plan(LAB, wanted).conflicts}
    assert said in str(found[name])


def test_what_pays_only_sometimes_is_for_those_who_want_it() -> None:
    assert "vm.nr_hugepages" not in plan(LAB).of("kernel")
    budget = plan(Host(64 * GB, 16, parts=("database",)), options=["huge_pages", "overcommit"])
    kernel = budget.of("kernel")
    shared = budget.value("shared_buffers").value
    assert shared < kernel["vm.nr_hugepages"].value * 2 * MB < shared * 1.1
    assert kernel["vm.overcommit_memory"].value == 2
    assert 90 <= kernel["vm.overcommit_ratio"].value <= 95
    assert budget.conflicts == []


def test_own_values_keep_what_was_advised() -> None:
    budget = plan(LAB, own={"work_mem": "8MB", "log_temp_files": "0", "net.core.somaxconn": 4096})
    value = budget.value("work_mem")
    assert (value.value, value.text, value.own) == (8 * MB, "8MB", True)
    assert "was advised" in value.reason
    assert budget.of("database")["log_temp_files"].value == "0"
    assert budget.of("kernel")["net.core.somaxconn"].own


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Host(0, 1),
        lambda: Host(GB, 1, disk="tape"),
        lambda: Host(GB, 1, parts=("mail",)),
        lambda: plan(LAB, own={"work_mem": "much"}),
        lambda: plan(LAB, own={"max_connections": "many"}),
        lambda: plan(LAB, Demands(threads=0)),
    ],
)
def test_what_is_no_host_or_value_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(CatmaidError):
        wrong()
