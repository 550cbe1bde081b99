# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that contradict one another or the host, also those that somebody chose, and why that is bad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .model import APPLICATION, DATABASE, GB, KB, MB, WEB, Budget, Conflict, about, bytes_of, number_of, size_text
from .shares import BACKEND, NODES, Sizes
from .values import HUGE_PAGE, PAGE

TYPO = 107374182  # CATMAID's manual: "1GB"
SUPERUSERS = 3  # PostgreSQL keeps so many connections for them
# kernel settings of which one sets the other to 0
EITHER = (("vm.dirty_bytes", "vm.dirty_ratio"), ("vm.dirty_background_bytes", "vm.dirty_background_ratio"))
ONLY_UP = {"kernel.shmmax": 1, "kernel.shmall": PAGE, "fs.file-max": 0}  # bytes of one; 0 is none


def find(budget: Budget, sizes: Sizes, present: Mapping[str, int]) -> list[Conflict]:
    """Return what contradicts in a plan; ``present`` are the kernel's settings now, as far as they are known."""
    own = {value.name for value in budget.values if value.own}
    parts = [_dirty(budget, own), _lowered(budget, own, present), _does_not_fit(budget, sizes)]
    if budget.host.has(DATABASE):
        parts += [_database(budget, sizes, own), _connections(budget, sizes)]
        parts += [_pages(budget, sizes), _commit(budget, sizes)]
    if budget.host.has(WEB):
        parts.append(_uploads(budget))
    return [conflict for part in parts for conflict in part]


def _number(budget: Budget, name: str) -> float | None:
    """Return a setting as a number, a size in bytes; nothing when it is not set."""
    for value in budget.values:
        if value.name == name:
            given = value.value
            return bytes_of(name, given) if value.unit == "bytes" else number_of(name, given)
    return None


def _dirty(budget: Budget, own: set[str]) -> Iterator[Conflict]:
    names = ("vm.dirty_background_bytes", "vm.dirty_bytes")
    background, limit = (_number(budget, name) for name in names)
    for size, ratio in EITHER:
        if size in own and ratio in own and _number(budget, size) and _number(budget, ratio):
            cause = "the kernel knows one of the two only, and the one that is set last empties the other"
            yield Conflict("dirty_either", (size, ratio), cause, f"Leave {ratio} out.")
    if not background or not limit:
        return
    if limit <= background:
        cause = (
            f"who writes would wait at {about(limit)}, before writing even begins at {about(background)}: the kernel "
            "then halves where it begins, and every large import comes to a stop again and again"
        )
        if limit == TYPO:
            cause = f"{TYPO} is what CATMAID's manual calls 1GB, but it is a typo: a digit is missing. So {cause}"
        yield Conflict("dirty_order", names, cause, f"Use vm.dirty_bytes = {GB}, or more than the background.")
    elif limit > budget.host.memory // 2:
        cause = (
            f"{about(limit)} of {about(budget.host.memory)} may wait to be written, and nothing else stays in memory"
        )
        yield Conflict("dirty_large", (names[1],), cause, f"Use {GB} or less.", fatal=False)


def _lowered(budget: Budget, own: set[str], present: Mapping[str, int]) -> Iterator[Conflict]:
    for name in sorted(own & set(ONLY_UP) & set(present)):
        wanted = _number(budget, name)
        if wanted is not None and wanted < present[name]:
            cause = f"{wanted:.0f} would lower what the kernel allows already, {present[name]}"
            remedy = "It stays as it is: leave the setting out."
            yield Conflict("lowered", (name,), cause, remedy, fatal=False)
    if not budget.host.has(DATABASE):
        return
    shared = _number(budget, "shared_buffers") or 0
    for name, unit in ONLY_UP.items():
        if name in own and unit and present.get(name, 0) < shared > (_number(budget, name) or 0) * unit:
            cause = f"shared_buffers of {about(shared)} are more than shared memory may be"
            yield Conflict("shared_limit", (name, "shared_buffers"), cause, f"Leave {name} out.", fatal=False)


def _does_not_fit(budget: Budget, sizes: Sizes) -> Iterator[Conflict]:
    host, demands = budget.host, budget.demands
    if host.has(APPLICATION) and (sizes.workers + demands.companions) * demands.worker_bytes > sizes.application:
        cause = (
            f"{sizes.workers} workers and {demands.companions} processes beside need "
            f"{about((sizes.workers + demands.companions) * demands.worker_bytes)}, and {about(sizes.application)} "
            f"of {about(host.memory)} are for them"
        )
        yield Conflict("workers", ("workers",), cause, f"Use {sizes.workers_fit} workers, or a larger host.")
    if host.has(WEB) and demands.clients * sizes.per_client > sizes.web:
        cause = (
            f"{demands.clients} visitors at once may need {about(demands.clients * sizes.per_client)} for nginx's "
            f"buffers, and {about(sizes.web)} are for them"
        )
        remedy = f"Use smaller buffers, or count with {sizes.clients_fit} visitors at once."
        yield Conflict("clients", ("clients", "buffers", "body_buffer"), cause, remedy)
    processes = max(1, host.cores)
    if host.has(WEB) and 0 < demands.worker_connections * processes < 2 * demands.clients:
        cause = (
            f"each of {demands.clients} visitors needs two connections, to the browser and to the application, and "
            f"{processes} processes with {demands.worker_connections} each have fewer"
        )
        remedy = f"Raise worker_connections to {-(-2 * demands.clients // processes)} or more."
        yield Conflict("worker_connections", ("worker_connections", "clients"), cause, remedy, fatal=False)


def _database(budget: Budget, sizes: Sizes, own: set[str]) -> Iterator[Conflict]:
    available = sizes.rest
    shared = _number(budget, "shared_buffers") or 0
    work_mem = _number(budget, "work_mem") or 0
    queries = work_mem * sizes.processes * NODES
    workers = _number(budget, "autovacuum_max_workers") or 0
    maintenance = _number(budget, "maintenance_work_mem") or 0
    vacuum = _number(budget, "autovacuum_work_mem") or 0
    vacuum = maintenance if vacuum < 0 else vacuum
    backends = sizes.connections * BACKEND
    total = backends + shared + (_number(budget, "wal_buffers") or 0) + queries + maintenance + workers * vacuum
    if shared > available * 2 // 5 or (shared > sizes.shared_buffers and total > available):
        cause = f"{about(shared)} of the {about(available)} for the database leave too little for everything else in it"
        remedy = f"Use {size_text(sizes.shared_buffers)}, a quarter."
        yield Conflict("shared_buffers", ("shared_buffers",), cause, remedy, fatal=total > available)
    if work_mem > sizes.work_mem and total > available:
        cause = (
            f"{sizes.processes} processes with {NODES} sorts and hashes of {about(work_mem)} each can take "
            f"{about(queries)}; with the other {about(total - queries)} that is more than the {about(available)} there "
            "are, and the kernel ends the database when they are used up"
        )
        remedy = f"Use work_mem = {size_text(sizes.work_mem)}; more for a single query by SET work_mem."
        yield Conflict("work_mem", ("work_mem", "max_connections"), cause, remedy)
    elif total > available and own & {"maintenance_work_mem", "autovacuum_work_mem", "autovacuum_max_workers"}:
        names = ("maintenance_work_mem", "autovacuum_work_mem", "autovacuum_max_workers")
        cause = (
            f"maintenance may take {about(maintenance + workers * vacuum)}, and with the rest that is {about(total)}"
        )
        cause += f", more than the {about(available)} for the database"
        remedy = f"Use maintenance_work_mem = {size_text(sizes.maintenance_work_mem)}."
        yield Conflict("maintenance", names, cause, remedy)
    if (_number(budget, "effective_cache_size") or 0) > budget.host.memory:
        cause = "the planner would count with more memory than the host has"
        yield Conflict("cache_size", ("effective_cache_size",), cause, "Use three quarters of it at most.", fatal=False)


def _connections(budget: Budget, sizes: Sizes) -> Iterator[Conflict]:
    demands, most = budget.demands, _number(budget, "max_connections") or 0
    if sizes.connections > most - SUPERUSERS:
        cause = (
            f"{sizes.workers} workers with {demands.threads} threads, {demands.companions} processes beside and "
            f"{demands.other_connections} others need {sizes.connections}, and {most:.0f} less {SUPERUSERS} "
            "for superusers are fewer: some visitors would get an error"
        )
        remedy = f"Use max_connections = {sizes.connections + SUPERUSERS} or more, or fewer workers and threads."
        yield Conflict("connections", ("max_connections", "workers", "threads"), cause, remedy)
    if sizes.connections > sizes.connections_fit:
        cause = (
            f"{sizes.connections} connections, {BACKEND // MB} MB each and what they sort in, are more than fits "
            f"into {about(sizes.rest)}"
        )
        remedy = f"Use {max(1, sizes.connections_fit)} connections: fewer workers or threads, or pgbouncer before it."
        yield Conflict("connections_memory", ("workers", "threads", "work_mem"), cause, remedy)


def _pages(budget: Budget, sizes: Sizes) -> Iterator[Conflict]:
    pages = _number(budget, "vm.nr_hugepages")
    if pages and pages * HUGE_PAGE > sizes.shared + sizes.page_cache:
        cause = f"{about(pages * HUGE_PAGE)} would be for shared memory only, and lost for everything else"
        remedy = f"Use {-(-sizes.shared // HUGE_PAGE)} pages, as many as shared_buffers need."
        yield Conflict("huge_pages", ("vm.nr_hugepages", "shared_buffers"), cause, remedy)


def _commit(budget: Budget, sizes: Sizes) -> Iterator[Conflict]:
    if _number(budget, "vm.overcommit_memory") != 2:
        return
    ratio = _number(budget, "vm.overcommit_ratio")
    ratio = 50 if ratio is None else ratio  # the kernel's own
    limit, needed = budget.host.memory * ratio // 100, budget.host.memory - sizes.system - sizes.page_cache
    if limit < needed:
        cause = f"the kernel would hand out {about(limit)}, and {about(needed)} are planned: programs would get none"
        remedy = f"Use vm.overcommit_ratio = {-(-needed * 100 // budget.host.memory)} or more."
        yield Conflict("overcommit", ("vm.overcommit_memory", "vm.overcommit_ratio"), cause, remedy)


def _uploads(budget: Budget) -> Iterator[Conflict]:
    body, django = _number(budget, "body") or 0, budget.demands.upload_bytes
    names = ("client_max_body_size", "DATA_UPLOAD_MAX_MEMORY_SIZE")
    if body < django:
        cause = f"nginx refuses requests of more than {about(body)}, and Django would take {about(django)}"
        remedy = f"Let nginx take {django // MB} MB (catmaid_nginx_ssl_body_mb)."
        yield Conflict("uploads", names, cause, remedy, fatal=False)
    elif body > django:
        cause = f"nginx takes in up to {about(body)} that Django refuses above {about(django)}, with an error 400"
        yield Conflict("uploads", names, cause, "Let both be the same.", fatal=False)
    if (_number(budget, "body_buffer") or 0) > body:
        cause = "the buffer of a request is larger than any request may be"
        remedy = f"Use {body // KB:.0f} kB or less."
        yield Conflict("body_buffer", ("client_body_buffer_size", names[0]), cause, remedy, fatal=False)
