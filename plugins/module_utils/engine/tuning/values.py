# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that keep to the shares of a plan, each with its reason and where the rule comes from."""

from __future__ import annotations

from .model import APPLICATION, DATABASE, GB, KERNEL, MB, WEB, Demands, Host, Value, about, clamp, whole
from .shares import BUFFER, NODES, Sizes

PAGE = 4096
HUGE_PAGE = 2 * MB
BACKGROUND = 256 * MB
DIRTY = 1 * GB
RESERVED_CONNECTIONS = 10  # for who administers, and what is being replaced
MANUAL = "CATMAID's manual, Performance tuning"
POSTGRES = "PostgreSQL's manual"
OURS = "the memory budget"


def database(host: Host, sizes: Sizes) -> list[Value]:
    """Return PostgreSQL's settings."""
    size, ssd = sizes, host.disk == "ssd"
    per_gather = min(4, size.parallel // 2)
    cached = min(size.rest * 3 // 4, size.rest - size.backends - size.maintenance)
    rows: list[tuple[str, int | float | bool | str, str, str, str]] = [
        ("shared_buffers", size.shared_buffers, "bytes", "a quarter of what the database may have", MANUAL),
        (
            "effective_cache_size",
            whole(cached),
            "bytes",
            "shared buffers and page cache, where tables are found in usual times; nothing is allocated",
            POSTGRES,
        ),
        (
            "work_mem",
            size.work_mem,
            "bytes",
            f"{about(size.queries)} for {size.processes} processes with {NODES} sorts and hashes each",
            OURS,
        ),
        ("maintenance_work_mem", size.maintenance_work_mem, "bytes", "a sixteenth, at most 2 GB", POSTGRES),
        ("autovacuum", True, "", "statistics and dead rows are taken care of all the time", MANUAL),
        ("autovacuum_max_workers", size.autovacuum_workers, "", "three, and more on hosts of 16 cores and more", OURS),
        (
            "autovacuum_work_mem",
            size.autovacuum_work_mem,
            "bytes",
            "each of autovacuum's workers would take maintenance_work_mem otherwise",
            POSTGRES,
        ),
        ("wal_buffers", size.wal_buffers, "bytes", "one segment is enough; less where memory is short", POSTGRES),
        (
            "max_wal_size",
            clamp(host.memory // 4 // GB, 1, 16) * GB,
            "bytes",
            "fewer checkpoints while skeletons are imported; as much disk space, and a longer recovery",
            POSTGRES,
        ),
        (
            "min_wal_size",
            clamp(host.memory // 16 // GB, 1, 4) * GB // 4,
            "bytes",
            "files that are used again",
            POSTGRES,
        ),
        ("checkpoint_completion_target", 0.9, "", "a checkpoint's writing is spread", POSTGRES),
        (
            "max_connections",
            max(100, size.connections + RESERVED_CONNECTIONS),
            "",
            f"{size.connections} are needed, and {RESERVED_CONNECTIONS} for who administers",
            OURS,
        ),
        ("max_worker_processes", max(8, size.parallel), "", "as many as may help at once", POSTGRES),
        ("max_parallel_workers", size.parallel, "", "one a core, at most eight: they share work_mem's budget", OURS),
        ("max_parallel_workers_per_gather", per_gather, "", "half of these at most help one query", POSTGRES),
        ("max_parallel_maintenance_workers", per_gather, "", "the same for CREATE INDEX", POSTGRES),
        (
            "random_page_cost",
            1.1 if ssd else 4.0,
            "",
            f"what it costs to jump about on an {host.disk.upper()}",
            POSTGRES,
        ),
        (
            "effective_io_concurrency",
            200 if ssd else 2,
            "",
            f"reads that an {host.disk.upper()} does at once",
            POSTGRES,
        ),
        ("jit_above_cost", 1000000.0, "", "compiling CATMAID's spatial queries takes longer than running them", MANUAL),
        ("huge_pages", "try", "", "used when the kernel has some (vm.nr_hugepages)", POSTGRES),
    ]
    return [Value(name, value, DATABASE, reason, source, unit) for name, value, unit, reason, source in rows]


def kernel(host: Host, sizes: Sizes) -> list[Value]:
    """Return the kernel's settings; what is smaller hosts' own is not in it."""
    values = [
        Value("vm.swappiness", 10, KERNEL, "data in memory is not swapped out for the page cache", MANUAL),
        Value("fs.file-max", 65536, KERNEL, "files of all processes together", MANUAL, at_least=True),
    ]
    if large_enough(host):
        dirty = min(DIRTY, host.memory // 5) // PAGE * PAGE
        values += [
            Value(
                "vm.dirty_background_bytes",
                BACKGROUND,
                KERNEL,
                f"writing begins at {about(BACKGROUND)}, not at a tenth of {about(host.memory)}: no spikes",
                MANUAL,
                "bytes",
            ),
            Value(
                "vm.dirty_bytes",
                dirty,
                KERNEL,
                f"who writes waits at {about(dirty)}, not at a fifth of the memory (the manual's 107374182 is a typo)",
                MANUAL,
                "bytes",
            ),
        ]
    if host.has(DATABASE):
        limit = min(max(host.memory // 4, sizes.shared), max(4 * GB, sizes.shared))
        values += [
            Value("kernel.shmmax", limit, KERNEL, "shared memory of one process", MANUAL, "bytes", at_least=True),
            Value(
                "kernel.shmall",
                limit // PAGE,
                KERNEL,
                f"the same for all, in pages of {PAGE} bytes",
                MANUAL,
                at_least=True,
            ),
        ]
    return values


def large_enough(host: Host) -> bool:
    """Tell whether a tenth of the memory is more than what writing should begin at."""
    return host.memory // 10 > BACKGROUND


def huge_pages(sizes: Sizes) -> Value:
    """Return how many pages of 2 MB the shared memory of the database needs: for who wants them."""
    return Value(
        "vm.nr_hugepages",
        -(-(sizes.shared + sizes.shared // 50) // HUGE_PAGE),
        KERNEL,
        f"shared memory of {about(sizes.shared)} without a table of small pages in every process; "
        "it pays from about 8 GB on, and is lost for everything else",
        POSTGRES,
    )


def no_overcommit(host: Host, sizes: Sizes, swap: int = 0) -> list[Value]:
    """Return what lets the kernel refuse memory rather than kill the database: for who wants it.

    Only on a host of the database alone: programs that reserve much and use little are refused, too. ``swap`` is in
    bytes, as the kernel adds it to its limit.
    """
    ratio = clamp((host.memory - sizes.system - swap) * 100 // host.memory, 50, 95)
    return [
        Value("vm.overcommit_memory", 2, KERNEL, "a query fails instead of the database being killed", POSTGRES),
        Value("vm.overcommit_ratio", ratio, KERNEL, "all but what the system needs", POSTGRES),
    ]


def application(demands: Demands, sizes: Sizes) -> list[Value]:
    """Return what serves CATMAID's pages."""
    reason = f"two a core and one more, as far as {demands.worker_bytes // MB} MB each fit"
    return [
        Value("workers", sizes.workers, APPLICATION, "as wanted" if demands.workers else reason, OURS),
        Value("threads", demands.threads, APPLICATION, "of each worker; each has a connection of its own", OURS),
    ]


def web(demands: Demands, sizes: Sizes) -> list[Value]:
    """Return nginx's buffers."""
    reason = f"{sizes.buffers} of {BUFFER // 1024} kB for an answer, for {demands.clients} visitors at once"
    return [
        Value("buffers", sizes.buffers, WEB, reason, MANUAL),
        Value("body_buffer", demands.body_buffer_bytes, WEB, "a request that is kept in memory", MANUAL, "bytes"),
        Value("body", demands.body_bytes, WEB, "the largest request, as Django accepts it", MANUAL, "bytes"),
    ]
