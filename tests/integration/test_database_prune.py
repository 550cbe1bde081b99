# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""database_prune: what swaps have kept goes after its time, and nothing else does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support
from tests.integration.support import names, quoted, run_module, sql, value
from tests.integration.test_database_swap import swap

pytestmark = pytest.mark.once("bookworm")

Unused = Callable[[], str]
COMMENT = (
    "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = current_database()"
)


def prune(live: str, prefix: str = "it ", older_than: str = "14d", **options: Any) -> support.Run:
    return run_module("database_prune", login_db=live, prefixes=[prefix], older_than=older_than, **options)


def make(name: str, comment: str = "") -> str:
    literal = comment.replace("'", "''")
    sql("postgres", f"CREATE DATABASE {quoted(name)}; COMMENT ON DATABASE {quoted(name)} IS '{literal}'")
    return name


def age(name: str, day: str = "2026-01-02") -> None:
    """Let a kept database have been kept since another day."""
    comment = re.sub(r"until \S+T", f"until {day}T", value(name, COMMENT)).replace("'", "''")
    sql("postgres", f"COMMENT ON DATABASE {quoted(name)} IS '{comment}'")


@pytest.fixture
def live(unused: Unused) -> str:
    """A live database."""
    return make(unused(), "it's live")


@pytest.fixture
def kept(live: str, unused: Unused) -> str:
    """What a swap of long ago has kept."""
    keep_as = unused()
    assert swap(live, make(unused()), keep_as).changed
    age(keep_as)
    return keep_as


def test_drops_what_is_old_as_a_check_said(live: str, kept: str, unused: Unused) -> None:
    young = unused()
    assert swap(live, make(unused()), young).changed
    predicted = prune(live, check=True, diff=True)
    assert predicted.changed
    assert {kept, young} <= names()
    done = prune(live, diff=True)
    assert done.changed
    assert done.result["diff"] == predicted.result["diff"]
    assert [gone["name"] for gone in done.result["gone"]] == [kept]
    assert [(stays["name"], stays["reason"]) for stays in done.result["stay"]] == [(young, "it is not old enough")]
    assert kept not in names()
    assert {live, young} <= names()
    assert not prune(live, check=True).changed
    assert not prune(live).changed


def test_drops_nothing_that_is_used_renamed_anothers_or_of_another_name(
    server: Server, live: str, kept: str, unused: Unused
) -> None:
    with server.connect(kept):
        for check in (True, False):
            refused = prune(live, check=check)
            assert not refused.changed
            assert "it is in use by postgres" in refused.result["stay"][0]["reason"]
    assert not prune(live, prefix="catmaid_before_restore_").changed
    assert not prune(unused()).changed
    in_use = unused()
    sql("postgres", f"ALTER DATABASE {quoted(kept)} RENAME TO {quoted(in_use)}")
    by_hand = make(unused(), "catmaid.admin: of long ago")
    assert not prune(live).changed
    assert {in_use, by_hand} <= names()
    assert "that of every name" in prune(live, prefix="").error


def test_one_that_is_swapped_in_again_is_live(live: str, kept: str, unused: Unused) -> None:
    assert value(kept, COMMENT).endswith("; it's live")
    assert swap(live, kept, unused()).changed
    assert value(live, COMMENT) == "it's live"
    # also when there is nothing to take the comment from
    keep_as = unused()
    assert swap(live, make(unused()), keep_as).changed
    age(keep_as)
    sql("postgres", f"DROP DATABASE {quoted(live)}")
    assert swap(live, keep_as, unused()).changed
    assert value(live, COMMENT) == "it's live"
    assert not prune(live).changed
    assert live in names()
