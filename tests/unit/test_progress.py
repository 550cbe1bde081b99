# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of long jobs."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import loadwatch
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import growth
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.catalog import Table
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.progress import Copied, Weights
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.reading import Positions
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Meter, Progress

GB = 10**9


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def at(done: int, total: int = 100, what: str = "backing up catmaid") -> Progress:
    return Progress(what, "treenode", done, total, 10.0, None)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            Progress("backing up catmaid", "treenode", 1_230_000_000, 2_900_000_000, 51.0, 70.4),
            "backing up catmaid: 42 % (1.2 of 2.9 GB, treenode), 1 min 10 s left",
        ),
        (Progress("copying", "", 0, 9_700_000, 0.5, None), "copying: 0 % (0.0 of 9.7 MB)"),
        (Progress("copying", "", 2_899_999_999, 2_900_000_000, 9.0, 0.0), "copying: 99 % (2.9 of 2.9 GB), 1 s left"),
        (Progress("copying", "", 5, 5, 9.0, 0.0), "copying: 100 % (5 of 5 B)"),
        (Progress("copying", "b", 12_345_678, 0, 75.0, None), "copying: 12 MB, b, 1 min 20 s so far"),
        (Progress("copying", "", 0, 0, 0.1, None), "copying: started, 1 s so far"),
    ],
)
def test_says_it_in_a_line(told: Progress, line: str) -> None:
    assert told.line() == line


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (64, "1 min"), (70, "1 min 10 s"), (599, "10 min"), (700, "12 min"),
     (3570, "1 h"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_says_times(seconds: float, said: str) -> None:
    assert progress.span(seconds) == said


def test_promises_nothing_before_it_knows() -> None:
    clock, seen = Clock(), list[Progress]()
    meter = Meter("backing up", 1000, seen.append, clock)
    meter.reach(0)
    clock.now += 2.9
    meter.reach(500)
    clock.now += 0.1
    meter.reach(500)
    assert [p.left for p in seen] == [None, None, 3.0]
    slow = Meter("backing up", 1000, seen.append, clock)
    clock.now += 60
    slow.reach(19)
    assert seen[-1].left is None
    slow.reach(20)
    assert seen[-1].left == pytest.approx(60 * 980 / 20)


def test_never_goes_back_or_beyond() -> None:
    seen: list[Progress] = []
    meter = Meter("backing up", 1000, seen.append)
    for done in (100, 50, 2000):
        meter.reach(done, "a")
    meter.add(7)
    meter.finish()
    assert [p.done for p in seen] == [100, 100, 1000, 1000, 1000]
    assert [p.item for p in seen] == ["a", "a", "a", "a", ""]
    Meter("nobody listens", 5, None).add(3)


def test_the_time_left_shrinks_with_an_even_pace_and_does_not_jump_with_a_break() -> None:
    clock, seen = Clock(), list[Progress]()
    meter = Meter("backing up", 1000, seen.append, clock)
    for second in range(1, 101):
        clock.now += 1
        meter.reach(second * 5 if second <= 50 else 250 + (second - 50) * 4)
    left = [p.left for p in seen if p.left is not None]
    assert left[0] > left[-1] > 0
    assert all(later < earlier * 1.02 for earlier, later in zip(left, left[1:], strict=False))


def test_passes_on_only_so_many() -> None:
    clock, seen = Clock(), list[Progress]()
    report = progress.every(5, seen.append, clock)
    for second in range(12):
        report(at(second))
        clock.now += 1
    assert [p.done for p in seen] == [0, 5, 10]
    for told in (at(100), at(100), at(0, what="reading back"), at(1, what="reading back")):
        report(told)
    assert [(p.what.split()[0], p.done) for p in seen[3:]] == [("backing", 100), ("reading", 0)]


def test_keeps_the_newest_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "job.progress"
    with progress.to_file(str(path)) as report:
        assert json.loads(path.read_text()) == {}
        report(at(1))
        report(at(42))
        lines = path.read_text().splitlines()
        told = json.loads(lines[0])
        assert len(lines) == 1
        assert (told["done"], told["line"]) == (42, at(42).line())
        assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    with progress.to_file(str(tmp_path / "nosuch/job.progress")) as report:
        report(at(1))


def table(oid: int, name: str, size: int) -> Table:
    return Table(oid, "public", name, size, True)


def test_weighs_tables_by_their_size() -> None:
    weights = Weights([table(1, "a", 800), table(2, "b", 150), table(3, "c", 50)], {1: 1000.0, 2: -1.0})
    assert weights.total == 1000
    assert weights.see({}) == (0, "")
    assert weights.see({1: Copied(500, 0), 2: Copied(10, 30), 77: Copied(1, 1)}) == (430, "a")
    # Its number of rows was an estimate: it is done when pg_dump goes on, not before.
    assert weights.see({1: Copied(2000, 0)}) == (792 + 150, "a")
    assert weights.see({3: Copied(1, 25)}) == (975, "c")
    assert weights.see({}) == (1000, "")


def test_reads_positions_in_files() -> None:
    positions = Positions({"/a": 100, "/b": 50})
    assert positions.see({"/b": 20, "/else": 5}) == 20
    assert positions.see({"/a": 10}) == 60
    assert positions.see({}) == 150


def test_says_how_much_in_other_words_where_bytes_say_nothing() -> None:
    seen: list[Progress] = []
    meter = Meter("building the indexes of catmaid", 1000, seen.append, estimates=False)
    meter.reach(250, "treenode_pkey", "3 of 12")
    assert seen[-1].line() == "building the indexes of catmaid: 25 % (3 of 12, treenode_pkey)"
    assert (
        Progress("loading", "treenode", 0, 0, 12.0, None, "1.2 GB").line() == "loading: 1.2 GB, treenode, 12 s so far"
    )


def test_promises_nothing_of_what_was_done_before_and_where_nobody_can_compare() -> None:
    clock, seen = Clock(), list[Progress]()
    meter = Meter("building", 1000, seen.append, clock)
    meter.begin(500)
    clock.now += 10
    meter.reach(500)
    meter.reach(600)
    assert [(p.percent, p.left) for p in seen] == [(50, None), (60, 40.0)]
    unknown = Meter("building", 1000, seen.append, clock, estimates=False)
    clock.now += 10
    unknown.reach(500)
    assert (seen[-1].percent, seen[-1].left) == (50, None)


def test_what_has_ended_is_not_told_again() -> None:
    seen: list[Progress] = []
    meter = Meter("building", 10, seen.append)
    meter.finish("all")
    meter.reach(3, "late")
    assert [(p.done, p.text, p.item) for p in seen] == [(10, "all", "")]


def test_tells_how_long_something_runs_of_which_nobody_knows_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TICK", 0.001)
    seen: list[Progress] = []
    second = threading.Event()

    def tell(told: Progress) -> None:
        seen.append(told)
        if len(seen) > 1:
            second.set()

    with progress.elapsing("analyzing", tell, "catmaid"):
        assert second.wait(60)
    assert all(p.line().startswith("analyzing: catmaid, ") and p.left is None for p in seen)
    with progress.elapsing("analyzing", None):
        pass


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE INDEX node_a ON public.treenode USING btree (skeleton_id);\n\n", "public node_a"),
        ('CREATE UNIQUE INDEX "A b" ON ONLY public.x USING btree (y)', ""),
        ('CREATE UNIQUE INDEX "Ab" ON ONLY public.x USING btree (y)', "public Ab"),
        ("ALTER TABLE ONLY public.node\n    ADD CONSTRAINT node_pkey PRIMARY KEY (id);", "public node node_pkey"),
        ('ALTER TABLE public."Node"\n    ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES b(id)', "public Node fk"),
        ("COPY public.treenode (id) FROM stdin;", ""),
    ],
)  # fmt: skip
def test_knows_by_a_statement_what_is_being_built(statement: str, name: str) -> None:
    assert growth.made_by(statement) == name


@pytest.mark.parametrize(
    ("numbers", "share"),
    [((0, 0, 0, 0), 0.0), ((50, 100, 0, 0), 0.475), ((100, 100, 0, 0), 0.95), ((100, 100, 50, 100), 0.75),
     ((100, 100, 100, 100), 0.95)],
)  # fmt: skip
def test_never_takes_an_index_for_built_that_is_not(numbers: tuple[int, int, int, int], share: float) -> None:
    assert growth.share(*numbers) == pytest.approx(share)


def test_finds_the_name_before_an_owner_of_several_words() -> None:
    assert loadwatch.names("public treenode the owner", 2) == ["public treenode the", "public treenode"]
    assert loadwatch.names("public treenode ", 2) == ["public treenode"]
