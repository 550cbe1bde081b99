# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay and which go. Nothing but computing, for a local folder and for remote targets alike.

Rules choose among the verified backups: those that are sound and not suspicious. Each period's newest one counts,
periods are in UTC, and a period without a backup costs no slot. The other ones never count for a rule:

- A suspicious one stays until somebody decides about it. While the newest is suspicious, nothing goes at all.
- A damaged one goes when it is older than the newest verified one by more than a week, and by more than ``within``.
- One that is dated in the future stays: the clock was or is wrong, and time cannot tell what it is worth.

Held ones and the newest verified one stay whatever else is said.

A database of the same name on another cluster is another one. When an instance has moved, its new cluster's backups go
on where those of the old one end: that is one history. When they alternate, two servers share the folder: each history
has the rules for itself. In both cases the newest verified one of each cluster stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from ..errors import CatmaidError
from . import store

DOING = "choosing the backups to keep"
DAMAGED_STAYS = timedelta(days=7)


@dataclass(frozen=True)
class Item:
    """What retention needs to know of a backup."""

    id: str
    finished: datetime
    bytes: int
    sound: bool
    suspicious: bool
    held: bool
    cluster: str = ""

    @property
    def verified(self) -> bool:
        """Whether it counts: it was read back, nothing of it is missing, and its contents are not suspicious."""
        return self.sound and not self.suspicious


@dataclass(frozen=True)
class Policy:
    """How many to keep, by count, by period, and by age before the newest verified one ("30d")."""

    last: int = 7
    hourly: int = 0
    daily: int = 7
    weekly: int = 4
    monthly: int = 12
    yearly: int = 0
    within: str = ""

    def check(self) -> None:
        """Refuse a policy that cannot be meant."""
        for name, number in self._counts().items():
            if number < 0:
                raise CatmaidError(DOING, f"{name}: {number} is no number of backups", "Write 0 or more.")
        if not any(self._counts().values()) and not self.span():
            raise CatmaidError(
                DOING,
                "every rule is zero, so that all backups but one would go",
                "Give at least one rule a number, such as keep_last: 1 if just one is meant.",
            )

    def span(self) -> timedelta:
        """Return the age below which all backups stay."""
        return timedelta(seconds=store.seconds(self.within)) if self.within.strip() else timedelta(0)

    def _counts(self) -> dict[str, int]:
        return {f.name: int(getattr(self, f.name)) for f in fields(self) if f.name != "within"}


@dataclass
class Decision:
    """What stays and why, and what goes and why.

    ``gone`` is oldest first. ``refused`` says why nothing may go, ``short`` which cap cannot be met without removing
    what must stay, ``warnings`` what somebody should look at.
    """

    kept: dict[str, list[str]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    short: str = ""
    warnings: list[str] = field(default_factory=list)


# In the order in which reasons are told.
PERIODS: dict[str, Callable[[datetime], str]] = {
    "hourly": lambda at: at.strftime("%Y-%m-%d %H:00"),
    "daily": lambda at: at.strftime("%Y-%m-%d"),
    "weekly": lambda at: f"{at.isocalendar()[0]:04d}-W{at.isocalendar()[1]:02d}",
    "monthly": lambda at: at.strftime("%Y-%m"),
    "yearly": lambda at: at.strftime("%Y"),
}


def decide(
    items: Sequence[Item],
    policy: Policy,
    *,
    now: datetime | None = None,
    max_bytes: int = 0,
    min_free_bytes: int = 0,
    free_bytes: int | None = None,
) -> Decision:
    """Return what stays and what goes. ``free_bytes`` is what is free now, where ``min_free_bytes`` shall be."""
    policy.check()
    at = now or store.now()
    ordered = sorted(items, key=lambda item: (item.finished, item.id), reverse=True)
    reasons: dict[str, list[str]] = {item.id: _own_reasons(item, at) for item in ordered}
    decision = Decision(
        warnings=[
            f"{item.id} is dated {store.format_time(item.finished)}, which is in the future: it stays, and counts for"
            " no rule. Look at the clock."
            for item in ordered
            if item.finished > at
        ]
    )
    histories = [(items, [i for i in items if i.verified and i.finished <= at]) for items in _histories(ordered)]
    decision.refused = next(filter(None, (_refusal(items, counting) for items, counting in histories)), "")
    if decision.refused or not ordered:
        decision.kept = {item.id: reasons[item.id] or ["nothing goes now"] for item in ordered}
        return decision
    untouchable = {item.id for item in ordered if _own_reasons(item, at)}
    for history, counting in histories:
        untouchable |= _keep(history, counting, policy, reasons)
    for item in reversed(ordered):
        if not reasons[item.id]:
            decision.why[item.id] = "no rule keeps it" if item.sound else "damaged, and old"
    # What is damaged is worth the least; then the oldest.
    removable = [item for item in reversed(ordered) if item.id not in untouchable]
    removable.sort(key=lambda item: item.sound)
    over = sum(item.bytes for item in ordered) - max_bytes if max_bytes else 0
    _cap(decision, removable, over, f"max_bytes {max_bytes}")
    if min_free_bytes and free_bytes is not None:
        _cap(decision, removable, min_free_bytes - free_bytes, f"min_free_bytes {min_free_bytes}")
    decision.gone = [item.id for item in reversed(ordered) if item.id in decision.why]
    decision.kept = {item.id: reasons[item.id] for item in ordered if item.id not in decision.why}
    return decision


def _histories(ordered: Sequence[Item]) -> list[list[Item]]:
    """Return the items of one instance after the other; see above for what makes two of them."""
    spans: dict[str, list[datetime]] = {}
    for item in ordered:
        if item.cluster:
            spans.setdefault(item.cluster, []).append(item.finished)
    ranges = sorted((min(times), max(times)) for times in spans.values())
    if all(before[1] < after[0] for before, after in zip(ranges, ranges[1:])):
        return [list(ordered)] if ordered else []
    clusters = dict.fromkeys(item.cluster for item in ordered)
    return [[item for item in ordered if item.cluster == cluster] for cluster in clusters]


def _keep(
    history: Sequence[Item], counting: Sequence[Item], policy: Policy, reasons: dict[str, list[str]]
) -> set[str]:  # fmt: skip
    """Add to ``reasons`` why items of one history stay; return which ones no cap may touch either."""
    newest = counting[0]
    reasons[newest.id].insert(0, "the newest verified one")
    untouchable = {item.id for item in history if (item.finished, item.id) >= (newest.finished, newest.id)}
    seen = {newest.cluster, ""}
    for item in counting:
        if item.cluster not in seen:
            seen.add(item.cluster)
            untouchable.add(item.id)
            reasons[item.id].append("the newest verified one of another server")
    _apply_rules(counting, policy, reasons)
    for item in history:
        age = newest.finished - item.finished
        if not item.sound and age <= max(DAMAGED_STAYS, policy.span()):
            reasons[item.id].append("damaged, but not old enough to go")
    return untouchable


def _own_reasons(item: Item, at: datetime) -> list[str]:
    """Return why a backup stays whatever the rules say."""
    found = []
    if item.held:
        found.append("held")
    if item.suspicious:
        found.append("suspicious, until somebody decides")
    if item.finished > at:
        found.append("dated in the future")
    return found


def _refusal(ordered: Sequence[Item], counting: Sequence[Item]) -> str:
    if not ordered:
        return ""
    sound = next((item for item in ordered if item.sound), None)
    for item in (ordered[0], sound):
        if item and item.suspicious:
            return (
                f"the newest backup, {item.id}, is suspicious: nothing goes before somebody has looked at it and has"
                " accepted or removed it"
            )
    return "" if counting else "there is no verified backup, so that each of these could be the last resort"


def _apply_rules(counting: Sequence[Item], policy: Policy, reasons: dict[str, list[str]]) -> None:
    """Add to ``reasons``; ``counting`` is newest first."""
    for number, item in enumerate(counting[: policy.last], start=1):
        reasons[item.id].append(f"last {number} of {policy.last}")
    for rule, period in PERIODS.items():
        left = getattr(policy, rule)
        seen = ""
        for item in counting:
            if left and period(item.finished) != seen:
                seen = period(item.finished)
                left -= 1
                reasons[item.id].append(f"{rule} {seen}")
    for item in counting:
        if policy.span() and counting[0].finished - item.finished <= policy.span():
            reasons[item.id].append(f"within {policy.within}")


def _cap(decision: Decision, removable: Sequence[Item], lacking: int, cap: str) -> None:
    """Let further ones go until ``lacking`` bytes are won.

    When even all of them would not do, none goes: history is not given away for an aim that is out of reach.
    """
    lacking -= sum(item.bytes for item in removable if item.id in decision.why)
    further = [item for item in removable if item.id not in decision.why]
    if lacking <= 0:
        return
    if sum(item.bytes for item in further) < lacking:
        told = (
            f"{cap} lacks {lacking} bytes, and those that may go hold {sum(item.bytes for item in further)}: none of"
            " them was removed for it"
        )
        decision.short = "; ".join(part for part in (decision.short, told) if part)
        return
    for item in further:
        if lacking <= 0:
            break
        decision.why[item.id] = f"removed for {cap}"
        lacking -= item.bytes
