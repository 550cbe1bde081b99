# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay: by examples, and by what must be true of many random histories."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups.retention import (
    PERIODS,
    Decision,
    Item,
    Policy,
    decide,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=timezone.utc)
NONE = Policy(last=0, daily=0, weekly=0, monthly=0)
ONE = replace(NONE, last=1)


def item(name: str, age: float, **more: object) -> Item:
    """A sound backup of 100 bytes that was finished ``age`` days ago."""
    known = {"bytes": 100, "sound": True, "suspicious": False, "held": False, **more}
    return Item(id=name, finished=NOW - timedelta(days=age), **known)  # type: ignore[arg-type]


def choose(items: list[Item], policy: Policy, **caps: int) -> Decision:
    return decide(items, policy, now=NOW, **caps)


def test_the_newest_ones_stay() -> None:
    decision = choose([item("c", 2), item("a", 0), item("b", 1), item("d", 3)], replace(NONE, last=2))
    assert decision.kept == {"a": ["the newest verified one", "last 1 of 2"], "b": ["last 2 of 2"]}
    assert decision.gone == ["d", "c"]
    assert decision.why == {"c": "no rule keeps it", "d": "no rule keeps it"}
    assert (decision.refused, decision.short, decision.warnings) == ("", "", [])


def test_each_period_keeps_its_newest_and_empty_ones_do_not_count() -> None:
    items = [item("noon", 0), item("morning", 0.2), item("week ago", 7), item("earlier", 7.1), item("month ago", 31)]
    decision = choose(items, replace(NONE, daily=3))
    assert decision.gone == ["earlier", "morning"]
    assert decision.kept["month ago"] == ["daily 2026-10-24"]
    assert decision.kept["noon"][-1] == "daily 2026-11-24"


@pytest.mark.parametrize(
    ("rule", "newer", "older", "different"),
    [
        ("hourly", "2026-11-24T10:00:00", "2026-11-24T09:59:59", True),
        ("hourly", "2026-11-24T10:59:59", "2026-11-24T10:00:00", False),
        ("daily", "2026-11-24T00:00:00", "2026-11-23T23:59:59", True),
        ("daily", "2026-11-23T23:59:59", "2026-11-23T00:00:00", False),
        ("weekly", "2026-11-23T00:00:00", "2026-11-22T23:59:59", True),  # Monday and Sunday
        ("weekly", "2021-01-03T12:00:00", "2020-12-28T12:00:00", False),  # one week in two years
        ("weekly", "2021-01-05T12:00:00", "2020-12-28T12:00:00", True),
        ("monthly", "2026-11-01T00:00:00", "2026-10-31T23:59:59", True),
        ("monthly", "2026-11-01T00:00:00", "2025-11-30T00:00:00", True),
        ("yearly", "2026-01-01T00:00:00", "2025-12-31T23:59:59", True),
    ],
)
def test_where_periods_begin(rule: str, newer: str, older: str, different: bool) -> None:
    times = [datetime.fromisoformat(text).replace(tzinfo=timezone.utc) for text in (newer, older)]
    items = [Item(text, at, 1, True, False, False) for text, at in zip((newer, older), times)]
    assert (choose(items, replace(NONE, **{rule: 2})).gone == []) is different


def test_by_age_before_the_newest_so_that_time_alone_removes_nothing() -> None:
    items = [item("a", 40), item("b", 47), item("c", 47.1)]
    assert choose(items, replace(NONE, within="7d")).gone == ["c"]
    assert choose(items[:2], replace(NONE, within="7d")).gone == []


def test_held_ones_stay_and_say_why() -> None:
    decision = choose([item("a", 0), item("b", 100), item("c", 900, held=True)], ONE)
    assert decision.gone == ["b"]
    assert decision.kept["c"] == ["held"]


def test_damaged_ones_count_for_nothing_and_stay_a_while() -> None:
    items = [
        *(item("broken new", 0, sound=False), item("good", 1), item("broken", 7.9, sound=False)),
        *(item("broken old", 8.1, sound=False), item("old", 9), item("held", 90, sound=False, held=True)),
    ]
    decision = choose(items, replace(NONE, last=2))
    assert decision.gone == ["broken old"]
    assert decision.why == {"broken old": "damaged, and old"}
    assert decision.kept["broken"] == decision.kept["broken new"] == ["damaged, but not old enough to go"]
    assert decision.kept["old"] == ["last 2 of 2"]
    assert choose(items, replace(NONE, last=2, within="30d")).gone == []


def test_suspicious_ones_stay_and_count_for_nothing() -> None:
    decision = choose([item("a", 0), item("b", 1, suspicious=True), item("c", 2), item("d", 3)], replace(NONE, last=2))
    assert decision.gone == ["d"]
    assert decision.kept["b"] == ["suspicious, until somebody decides"]


@pytest.mark.parametrize("damaged_above", [False, True])
def test_nothing_goes_while_the_newest_is_suspicious(damaged_above: bool) -> None:
    items = [item("b", 1, suspicious=True), *(item(str(n), n) for n in range(2, 50))]
    items += [item("a", 0, sound=False)] if damaged_above else []
    decision = choose(items, ONE, max_bytes=1)
    assert decision.gone == []
    assert set(decision.kept) == {i.id for i in items}
    assert decision.refused.startswith("the newest backup, b, is suspicious")


def test_nothing_goes_while_none_is_verified() -> None:
    decision = choose([item("a", 0, sound=False), item("b", 100, sound=False)], ONE)
    assert decision.gone == []
    assert "no verified backup" in decision.refused


def test_nothing_is_fine() -> None:
    assert choose([], ONE) == Decision()


def test_those_of_the_future_stay_count_for_nothing_and_are_told() -> None:
    """The clock was ahead and is right again: what it dated must not push out what is real."""
    items = [item("f1", -1), item("f2", -400), item("a", 0), item("b", 1), item("c", 2)]
    decision = choose(items, replace(NONE, last=2))
    assert decision.gone == ["c"]
    assert decision.kept["f1"] == ["dated in the future"]
    assert [warning.split(" ")[0] for warning in decision.warnings] == ["f2", "f1"]


def test_a_clock_that_is_years_behind_removes_nothing() -> None:
    decision = decide([item(str(n), n) for n in range(9)], ONE, now=NOW - timedelta(days=3000))
    assert decision.gone == []


def test_of_two_with_the_same_time_the_id_decides() -> None:
    for items in ([item("b", 1), item("b.2", 1)], [item("b.2", 1), item("b", 1)]):
        assert choose(items, ONE).gone == ["b"]


def test_a_cap_takes_the_oldest_first_and_damaged_ones_before() -> None:
    items = [item("a", 0), item("b", 1), item("c", 2, held=True), item("d", 3), item("bad", 1.5, sound=False)]
    policy = replace(NONE, last=10)
    assert choose(items, policy, max_bytes=500).gone == []
    assert choose(items, policy, max_bytes=499).gone == ["bad"]
    assert choose(items, policy, max_bytes=400).gone == ["bad"]
    assert choose(items, policy, max_bytes=399).gone == ["d", "bad"]
    decision = choose(items, policy, max_bytes=200)
    assert decision.gone == ["d", "bad", "b"]
    assert decision.why["b"] == "removed for max_bytes 200"
    assert decision.short == ""


def test_what_a_rule_removes_counts_for_the_cap() -> None:
    items = [item(str(n), n) for n in range(5)]
    assert choose(items, replace(NONE, last=3), max_bytes=300).gone == ["4", "3"]
    assert choose(items, replace(NONE, last=3), max_bytes=299).gone == ["4", "3", "2"]


def test_free_space() -> None:
    items = [item(str(n), n) for n in range(5)]
    keep = replace(NONE, last=9)
    assert choose(items, keep, min_free_bytes=1000, free_bytes=1000).gone == []
    assert choose(items, keep, min_free_bytes=1000, free_bytes=850).gone == ["4", "3"]
    both = choose(items, keep, min_free_bytes=1000, free_bytes=850, max_bytes=400)
    assert both.gone == ["4", "3"]
    assert both.why == {"4": "removed for max_bytes 400", "3": "removed for min_free_bytes 1000"}


def test_an_aim_out_of_reach_costs_no_history_and_is_told() -> None:
    items = [item("a", 0), item("b", 1), item("c", 2, held=True), item("d", 3)]
    decision = choose(items, replace(NONE, last=9), max_bytes=199, min_free_bytes=1000, free_bytes=0)
    assert decision.gone == []
    assert "max_bytes 199 lacks 201 bytes" in decision.short
    assert "min_free_bytes 1000 lacks 1000 bytes" in decision.short
    assert choose(items, replace(NONE, last=9), max_bytes=200).short == ""


@pytest.mark.parametrize(
    "policy", [NONE, replace(NONE, within="0"), replace(NONE, within="0d"), replace(ONE, daily=-1)]
)
def test_a_policy_that_cannot_be_meant_is_refused(policy: Policy) -> None:
    with pytest.raises(CatmaidError):
        choose([item("a", 0)], policy)


def test_three_years_of_nights() -> None:
    """Pruned each night, what is there in the end is what the policy says, and reaches back a year."""
    there: list[Item] = []
    for day in range(3 * 365, -1, -1):
        there.append(item(f"{day:04d}", day + 0.375))
        decision = decide(there, Policy(), now=there[-1].finished)
        there = [one for one in there if one.id in decision.kept]
    rules = {rule: [r for reasons in decision.kept.values() for r in reasons if r.startswith(rule)] for rule in PERIODS}
    assert {rule: len(found) for rule, found in rules.items()} == {
        "hourly": 0, "daily": 7, "weekly": 4, "monthly": 12, "yearly": 0,
    }  # fmt: skip
    assert rules["monthly"][-1] == "monthly 2025-12"
    assert 7 + 3 + 10 <= len(there) <= 7 + 4 + 12


def random_history(random_: random.Random) -> tuple[list[Item], Policy, dict[str, int]]:
    def one(number: int) -> Item:
        span = random_.choice([1, 30, 900])
        return Item(
            id=f"{random_.randrange(1000):03d}-{number}",
            finished=NOW - timedelta(seconds=random_.randrange(-span * 4000, span * 86400, random_.choice([1, 3600]))),
            bytes=random_.randrange(1000),
            sound=random_.random() > 0.1,
            suspicious=random_.random() < 0.03,
            held=random_.random() < 0.1,
        )

    items = [one(number) for number in range(random_.choice([1, 3, 40]))]
    counts = {rule: random_.choice([0, 0, 1, 3, 10]) for rule in ("last", *PERIODS)}
    policy = Policy(**counts, within=random_.choice(["", "", "36h", "5w"]))
    if not any(counts.values()) and not policy.within:
        policy = replace(policy, last=1)
    caps = {"max_bytes": random_.choice([0, 500, 5000]), "min_free_bytes": random_.choice([0, 1000]), "free_bytes": 400}
    return items, policy, caps


def by_hand(items: list[Item], policy: Policy) -> set[str]:
    """The rules said in another way: a period's newest, unless enough newer periods have one."""
    good = [i for i in items if i.sound and not i.suspicious and i.finished <= NOW]
    stay = set()
    for one in good:
        newer = [i for i in good if (i.finished, i.id) > (one.finished, one.id)]
        if len(newer) < policy.last or (max([one, *newer], key=lambda i: i.finished).finished - one.finished) <= (
            policy.span() or timedelta(-1)
        ):
            stay.add(one.id)
        for rule, period in PERIODS.items():
            mine = period(one.finished)
            periods = {period(i.finished) for i in newer}
            if mine not in periods and len(periods) < getattr(policy, rule):
                stay.add(one.id)
    return stay


def test_what_is_true_of_every_history() -> None:
    random_ = random.Random(20261124)
    removed = refused = short = 0
    for _ in range(800):
        items, policy, caps = random_history(random_)
        plain, capped = choose(items, policy), choose(items, policy, **caps)
        assert choose(random_.sample(items, len(items)), policy, **caps) == capped
        ordered = sorted(items, key=lambda i: (i.finished, i.id))
        verified = [i for i in ordered if i.verified and i.finished <= NOW]
        for decision in (plain, capped):
            assert set(decision.kept) | set(decision.gone) == {i.id for i in items}
            assert not set(decision.kept) & set(decision.gone)
            assert all(decision.kept.values())
            assert set(decision.why) == set(decision.gone)
            assert decision.gone == [i.id for i in ordered if i.id in decision.why]
            never = {i.id for i in items if i.held or i.suspicious or i.finished > NOW}
            never |= {verified[-1].id} if verified else {i.id for i in items}
            assert not never & set(decision.gone)
            if decision.refused:
                assert decision.gone == []
        refused += bool(plain.refused)
        if plain.refused:
            continue
        removed += len(plain.gone)
        short += bool(capped.short)
        assert by_hand(items, policy) <= set(plain.kept)
        reasons = by_hand(items, policy) | never
        assert {i.id for i in items if i.id in plain.kept and i.sound} == {i.id for i in items if i.sound} & reasons
        assert set(plain.gone) <= set(capped.gone)
        # A second run removes nothing more, nor does one after further caps could be met.
        left = [i for i in items if i.id in plain.kept]
        assert choose(left, policy).gone == []
        total = sum(i.bytes for i in items if i.id in capped.kept)
        if not capped.short:
            assert not caps["max_bytes"] or total <= caps["max_bytes"]
            freed = sum(i.bytes for i in items) - total
            assert not caps["min_free_bytes"] or caps["free_bytes"] + freed >= caps["min_free_bytes"]
    assert removed > 1000
    assert 30 < refused < 500
    assert short > 30


def test_backups_of_a_server_go_on_where_those_of_the_former_end() -> None:
    moved = [item(f"{'old' if age > 2 else 'new'} {age}", age, cluster="1" if age > 2 else "2") for age in range(6)]
    decision = choose(moved, replace(NONE, last=2))
    assert decision.gone == ["old 5", "old 4", "new 2"]
    assert decision.kept["old 3"] == ["the newest verified one of another server"]
    again = choose([one for one in moved if one.id in decision.kept], replace(NONE, last=2), max_bytes=100)
    assert again.gone == []
    assert "max_bytes" in again.short


def test_two_servers_that_share_a_folder_have_the_rules_for_themselves() -> None:
    """With a backup of which nobody knows the server, too."""
    shared = [item(f"{cluster} {age}", age + shift, cluster=cluster) for age in range(4) for cluster, shift in
              (("1", 0.0), ("2", 0.1))]  # fmt: skip
    decision = choose([*shared, item("unknown", 9)], replace(NONE, last=2))
    assert sorted(decision.kept) == ["1 0", "1 1", "2 0", "2 1", "unknown"]
    doubted = [replace(one, suspicious=one.id == "2 0") for one in shared]
    assert choose(doubted, replace(NONE, last=2)).gone == []
