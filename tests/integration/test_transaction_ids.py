# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""transaction_ids: no id of a transaction that rows tell is given a second time by another cluster."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration import support
from tests.integration.cluster_fixtures import Cluster
from tests.integration.support import run_module

pytestmark = pytest.mark.once("trixie")

AHEAD = 10_000
NEXT = "SELECT txid_snapshot_xmax(txid_current_snapshot())"
LOG = """
CREATE TABLE catmaid_transaction_info (transaction_id bigint, label text);
CREATE TABLE review (id int, txid bigint);
"""


def following(cluster: Cluster) -> int:
    return int(cluster.sql("postgres", NEXT)[0][0])


def run(cluster: Cluster, database: str, **options: Any) -> support.Run:
    return run_module("transaction_ids", login_db=database, **cluster.peer, **options)


@pytest.fixture
def old(cluster: Cluster, managed: str) -> str:
    """A database whose log names an id far ahead of its cluster, as one that came from an older cluster has it."""
    cluster.sql(managed, LOG)
    cluster.sql(
        managed, f"INSERT INTO catmaid_transaction_info VALUES ({following(cluster) + AHEAD}, 'skeletons.import')"
    )
    return managed


def test_spends_what_is_lacking_as_a_check_said(cluster: Cluster, old: str) -> None:
    before = following(cluster)
    predicted = run(cluster, old, check=True, diff=True)
    assert predicted.changed
    assert 0 < predicted.result["spent"] <= AHEAD
    assert following(cluster) == before
    done = run(cluster, old, diff=True)
    assert done.changed
    assert done.result["recorded"] == predicted.result["recorded"]
    # What the trigger of an import asks: is the transaction at hand one of the log's?
    assert cluster.sql(old, "SELECT count(*) FROM catmaid_transaction_info WHERE transaction_id >= txid_current()") == [
        ["0"]
    ]
    for check in (True, False):
        again = run(cluster, old, check=check)
        assert not again.changed
        assert again.result["spent"] == 0


def test_looks_beside_rows_too(cluster: Cluster, old: str) -> None:
    run(cluster, old)
    cluster.sql(old, f"INSERT INTO review VALUES (1, {following(cluster) + 100})")
    assert run(cluster, old).result["spent"] > 0
    assert cluster.sql(old, "SELECT max(txid) < txid_current() FROM review") == [["t"]]


def test_refuses_more_than_is_allowed_and_than_can_be(cluster: Cluster, old: str) -> None:
    before = following(cluster)
    for check in (True, False):
        refused = run(cluster, old, check=check, limit=100).error
        assert "which is more than 100" in refused
        assert "about 0 seconds" in refused
    cluster.sql(old, "INSERT INTO review VALUES (1, 3000000000)")
    assert "vacuumdb --all --freeze" in run(cluster, old, limit=4000000000).error
    assert following(cluster) < before + AHEAD


def test_goes_on_where_a_killed_run_was(cluster: Cluster, old: str) -> None:
    start = following(cluster)
    cluster.sql(old, f"INSERT INTO review VALUES (1, {start + 100 * AHEAD})")
    running = support.start_module("transaction_ids", login_db=old, **cluster.peer)
    deadline = time.monotonic() + 60
    while following(cluster) < start + AHEAD:
        assert time.monotonic() < deadline
    running.kill()
    running.communicate()
    done = run(cluster, old)
    assert done.changed
    assert done.result["spent"] < 99 * AHEAD
    assert cluster.sql(old, "SELECT max(txid) < txid_current() FROM review") == [["t"]]


def test_has_nothing_to_do_where_the_rows_were_written(database: str) -> None:
    support.sql(database, LOG)
    support.sql(database, "INSERT INTO catmaid_transaction_info VALUES (txid_current(), 'edit')")
    done = run_module("transaction_ids", login_db=database)
    assert not done.changed
    assert done.result["recorded"] < done.result["following"]
