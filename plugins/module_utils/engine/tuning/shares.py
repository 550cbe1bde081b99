# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets how much of a host's memory. The shares are all of it, so that no plan is larger than the host."""

from __future__ import annotations

from dataclasses import dataclass

from .model import APPLICATION, DATABASE, GB, KB, MB, WEB, Demands, Host, Share, clamp, whole

BACKEND = 8 * MB  # what a connection's process needs besides what it sorts and hashes in
HEADER = 64 * KB  # of nginx for the headers of an answer
BUFFER = 4 * KB  # one of nginx's
FEWEST_BUFFERS, MOST_BUFFERS = 64, 512
# Sorts and hashes of one query at the same time; a hash table may take twice work_mem (hash_mem_multiplier).
NODES = 4
WORK_MEM_AT_LEAST, WORK_MEM_AT_MOST = 64 * KB, 256 * MB


@dataclass(frozen=True)
class Sizes:
    """The plan's numbers: what is counted, in bytes where nothing else is said."""

    system: int
    workers: int  # processes
    workers_fit: int  # processes
    application: int
    buffers: int  # of nginx, for one answer
    per_client: int
    clients_fit: int  # visitors at once
    web: int
    rest: int  # for the database, or the page cache alone
    connections: int  # number
    connections_fit: int  # number
    backends: int
    shared_buffers: int
    wal_buffers: int
    shared: int
    processes: int  # that may sort or hash at once
    parallel: int  # processes of these that help others
    work_mem: int
    queries: int
    maintenance_work_mem: int
    autovacuum_workers: int  # processes
    autovacuum_work_mem: int
    maintenance: int
    page_cache: int


def measure(host: Host, demands: Demands) -> Sizes:
    """Return the numbers of a plan. What does not fit gets no more than is there; that it does not is a conflict."""
    system = clamp(host.memory // 16, min(128 * MB, host.memory // 8), 2 * GB)
    free = host.memory - system

    room = free // 2 if host.has(DATABASE) else free * 3 // 4
    workers_fit = max(1, room // demands.worker_bytes - demands.companions)
    workers = demands.workers or min(2 * host.cores + 1, workers_fit)
    wanted = (workers + demands.companions) * demands.worker_bytes
    application = min(wanted, room) if host.has(APPLICATION) else 0

    room = free // 8 if len(host.parts) > 1 else free // 2
    fixed = HEADER + demands.body_buffer_bytes
    fitting = (room // max(1, demands.clients) - fixed) // BUFFER
    buffers = demands.buffers or clamp(fitting, FEWEST_BUFFERS, MOST_BUFFERS)
    per_client = fixed + buffers * BUFFER
    web = min(demands.clients * per_client, room) if host.has(WEB) else 0

    rest = free - application - web
    here = rest if host.has(DATABASE) else 0
    connections = workers * demands.threads + demands.companions + demands.other_connections
    parallel = min(host.cores, 8) if host.cores > 1 else 0
    processes = connections + parallel
    backends = min(connections * BACKEND, here // 5)
    shared_buffers = whole(here // 4)
    wal_buffers = min(16 * MB, shared_buffers // 32 // KB * KB)
    # Beside the buffers PostgreSQL shares what describes them, locks and more: about a thirtieth.
    shared = shared_buffers + wal_buffers + shared_buffers // 32
    queries = here // 4
    fits = whole(min(queries // (processes * NODES), WORK_MEM_AT_MOST))
    autovacuum_workers = clamp(host.cores // 4, 3, 8)
    maintenance_work_mem = whole(min(here // 16, 2 * GB))
    autovacuum_work_mem = whole(min(here // 64, 1 * GB))
    maintenance = maintenance_work_mem + autovacuum_workers * autovacuum_work_mem
    return Sizes(
        system=system,
        workers=workers,
        workers_fit=workers_fit,
        application=application,
        buffers=buffers,
        per_client=per_client,
        clients_fit=room // per_client,
        web=web,
        rest=rest,
        connections=connections,
        connections_fit=min(here // 5 // BACKEND, queries // NODES // WORK_MEM_AT_LEAST - parallel),
        backends=backends,
        shared_buffers=shared_buffers,
        wal_buffers=wal_buffers,
        shared=shared,
        processes=processes,
        parallel=parallel,
        work_mem=max(fits, WORK_MEM_AT_LEAST),
        queries=queries,
        maintenance_work_mem=maintenance_work_mem,
        autovacuum_workers=autovacuum_workers,
        autovacuum_work_mem=autovacuum_work_mem,
        maintenance=maintenance,
        page_cache=rest - backends - shared - queries - maintenance,
    )


def shares(host: Host, demands: Demands, sizes: Sizes) -> list[Share]:
    """Return the memory in shares, those of parts that run elsewhere left out."""
    size = sizes
    described = [
        Share("system", size.system, "", "kernel, systemd, logs, logins: a sixteenth, at most 2 GB"),
        Share(
            "workers",
            size.application,
            APPLICATION,
            f"{size.workers} workers and {demands.companions} processes beside, {demands.worker_bytes // MB} MB each",
        ),
        Share(
            "nginx",
            size.web,
            WEB,
            f"{demands.clients} visitors at once, {size.per_client // KB} kB each",
        ),
        Share("connections", size.backends, DATABASE, f"{size.connections} connections, {BACKEND // MB} MB each"),
        Share("shared_buffers", size.shared, DATABASE, "a quarter of what the database may have, WAL buffers included"),
        Share(
            "queries",
            size.queries,
            DATABASE,
            f"work_mem times {size.processes} processes times {NODES} sorts and hashes: another quarter at most",
        ),
        Share("maintenance", size.maintenance, DATABASE, "VACUUM, CREATE INDEX and autovacuum's workers"),
        Share("page_cache", size.page_cache, "", "what is left, for tables, tiles and what waits to be written"),
    ]
    return [share for share in described if not share.part or host.has(share.part)]
