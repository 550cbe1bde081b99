# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""database_info: the databases that people work with, no other."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from tests.integration import support
from tests.integration.cluster_fixtures import APPLICATION, PASSWORD, Cluster
from tests.integration.support import run_module

pytestmark = pytest.mark.once("trixie")


def test_lists_what_people_work_with(database: str, unused: Callable[[], str]) -> None:
    template, closed, unfinished = unused(), unused(), unused()
    kept = [f"{uuid.uuid4().hex[:6]}_{why}_20261123t031500" for why in ("before_restore", "failed_upgrade")]
    support.sql("postgres", f"CREATE DATABASE {support.quoted(template)} IS_TEMPLATE true")
    support.sql("postgres", f"CREATE DATABASE {support.quoted(closed)} ALLOW_CONNECTIONS false")
    for name in (unfinished, *kept):
        support.sql("postgres", f"CREATE DATABASE {support.quoted(name)}")
    support.sql("postgres", f"COMMENT ON DATABASE {support.quoted(unfinished)} IS 'catmaid.admin: unfinished'")
    try:
        found = run_module("database_info")
        assert not found.changed
        names = [about["name"] for about in found.result["databases"]]
        expected = "SELECT count(*) FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'"
        assert len(names) == int(support.value("postgres", expected)) - 3
        assert database in names
        assert {"postgres", "template0", "template1", template, closed, unfinished, *kept}.isdisjoint(names)
        about = found.result["databases"][names.index(database)]
        assert about["owner"] == support.OWNER
        assert about["bytes"] >= int(support.value(database, "SELECT pg_table_size('treenode')")) > 0
        everything = {about["name"] for about in run_module("database_info", kept=True).result["databases"]}
        assert everything >= {*names, unfinished, *kept}
        assert {"postgres", template, closed}.isdisjoint(everything)
        checked = run_module("database_info", check=True)
        assert [about["name"] for about in checked.result["databases"]] == names
    finally:
        for name in kept:
            support.drop(name)
        support.sql("postgres", f"ALTER DATABASE {support.quoted(template)} IS_TEMPLATE false")


def test_needs_no_superuser_and_no_database_postgres(cluster: Cluster, managed: str) -> None:
    cluster.sql("postgres", "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
    try:
        refused = run_module("database_info", **cluster.login)
        assert 'permission denied for database "postgres"' in refused.error
        assert PASSWORD.strip() not in refused.output
        found = run_module("database_info", login_db=managed, **cluster.login)
        assert [(about["name"], about["owner"]) for about in found.result["databases"]] == [(managed, APPLICATION)]
        foreign = cluster.database()
        cluster.sql("postgres", f"ALTER DATABASE {support.quoted(foreign)} OWNER TO postgres")
        cluster.sql("postgres", f"REVOKE CONNECT ON DATABASE {support.quoted(foreign)} FROM PUBLIC")
        found = run_module("database_info", login_db=managed, **cluster.login)
        cluster.sql("postgres", f"DROP DATABASE {support.quoted(foreign)}")
        assert [about["name"] for about in found.result["databases"]] == [managed]
    finally:
        cluster.sql("postgres", "GRANT CONNECT ON DATABASE postgres TO PUBLIC")
