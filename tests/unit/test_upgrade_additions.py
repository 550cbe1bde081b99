# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only adds is told from what does not, and every reason against going online has words."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.shape import Key, Shape, Thing
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import additions, rehearsed
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.additions import Footprint
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.rehearsed import Rehearsal

HALF = " SELECT {0}.id,\n    {0}.title\n   FROM public.{0}"
VIEW = f"{HALF.format('now')}\nUNION ALL\n{HALF.format('past')};"
MORE = VIEW.replace("now.title", "now.title,\n    now.note").replace("past.title", "past.title,\n    past.note")
BEFORE: dict[Key, Thing] = {
    ("table", "project", ""): Thing("owner"),
    ("column", "project", "id"): Thing("integer NOT NULL", strict=True),
    ("column", "project", "title"): Thing("text"),
    ("index", "project", "project_pkey"): Thing("CREATE UNIQUE INDEX", ("id",), strict=True),
    ("constraint", "project", "project_pkey"): Thing("PRIMARY KEY (id)", ("id",), strict=True),
    ("view", "projects", ""): Thing("owner"),
    ("column", "projects", "id"): Thing("integer"),
    ("column", "projects", "title"): Thing("text"),
    ("definition", "projects", ""): Thing(VIEW),
    ("function", "refresh(integer)", ""): Thing("1"),
    ("extension", "postgis", ""): Thing("3.3.2"),
}
NOTE: dict[Key, Thing] = {("column", "project", "note"): Thing("text")}


def shape(more: dict[Key, Thing], without: tuple[Key, ...] = (), file: int = 1) -> Shape:
    things = {key: thing for key, thing in {**BEFORE, **more}.items() if key not in without}
    return Shape(things, {7: "project"}, {"project": file})


def reasons(more: dict[Key, Thing], *without: Key, file: int = 1) -> list[str]:
    return additions.objections(shape({}), shape(more, without, file))


def test_additions_are_no_reason() -> None:
    assert reasons(NOTE) == []
    assert reasons({("column", "project", "note"): Thing("text 'none' NOT NULL")}) == []
    new = {
        ("table", "link", ""): Thing("owner"),
        ("column", "link", "id"): Thing("integer NOT NULL", strict=True),
        ("constraint", "link", "link_project_fk"): Thing("FOREIGN KEY", ("id",), strict=True),
        ("trigger", "link", "on_edit"): Thing("CREATE TRIGGER", strict=True),
        ("function", "clear(integer)", ""): Thing("2"),
        ("extension", "pg_trgm", ""): Thing("1.6"),
        ("index", "project", "by_title"): Thing("CREATE INDEX", ("title",)),
    }
    assert reasons(new) == []
    about_new = {**NOTE, ("constraint", "project", "note_fk"): Thing("FOREIGN KEY (note)", ("note",), strict=True)}
    assert reasons(about_new) == []


def test_a_view_may_show_more_and_nothing_else() -> None:
    more = {**NOTE, ("column", "projects", "note"): Thing("text"), ("definition", "projects", ""): Thing(MORE)}
    assert reasons(more) == []
    assert reasons({("definition", "projects", ""): Thing(MORE)}) != []
    other = {**more, ("definition", "projects", ""): Thing(MORE.replace("public.past", "public.future"))}
    assert reasons(other) == ["what the view projects shows is another one: its text differs"]


@pytest.mark.parametrize(
    ("more", "without", "told"),
    [
        ({}, ("table", "project", ""), "table project is gone"),
        ({}, ("column", "project", "title"), "column title of project is gone"),
        ({("column", "project", "title"): Thing("character varying(9)")}, None, "text becomes character varying(9)"),
        ({("column", "project", "note"): Thing("text NOT NULL", strict=True)}, None, "must not be empty"),
        ({("constraint", "project", "c"): Thing("CHECK", ("title",), strict=True)}, None, "can refuse what the old"),
        ({("constraint", "project", "c"): Thing("CHECK (f())", (), strict=True)}, None, "can refuse what the old"),
        ({("index", "project", "u"): Thing("CREATE UNIQUE INDEX", ("title",), strict=True)}, None, "is unique"),
        ({("trigger", "project", "t"): Thing("CREATE TRIGGER", strict=True)}, None, "trigger t of project does"),
        ({("policy", "project", "p"): Thing("r", strict=True)}, None, "hides rows"),
        ({("inheritance", "project", "child"): Thing("1", strict=True)}, None, "child, which inherits from project,"),
        ({("function", "refresh(integer)", ""): Thing("2")}, None, "function refresh(integer) is another one"),
        ({("function", "refresh(text)", ""): Thing("2")}, None, "calls can mean either"),
        ({("event trigger", "e", ""): Thing("ddl", strict=True)}, None, "event trigger e"),
        ({("extension", "postgis", ""): Thing("3.4.0")}, None, "3.3.2 becomes 3.4.0"),
    ],
)
def test_what_does_more_is_told(more: dict[Key, Thing], without: Key | None, told: str) -> None:
    found = reasons(more, *([without] if without else []))
    assert len(found) == 1 and told in found[0], found


def test_a_table_that_is_written_anew_is_told() -> None:
    assert reasons({}, file=2) == ["project is written anew"]


def test_locks_are_counted_from_when_they_were_asked_for() -> None:
    seen = {"a.0001": {"locks": {"7": {"ShareLock": 1.0, "AccessExclusiveLock": 3.0}, "8": {"ShareLock": 0.0}},
                       "changes": [7, 8]}}  # fmt: skip
    (first, second) = additions.footprints({"a.0001": 4.5, "a.0002": 1.0}, seen, shape({}))
    assert first == Footprint("a.0001", 4.5, {"project": ("ShareLock", 3.5)}, ["project"])
    assert second == Footprint("a.0002", 1.0)
    assert additions.long_locks([first, second], 3.5) == []
    assert additions.long_locks([first], 2) == ["a.0001 locks project for 3.5 s (ShareLock), more than 2 s"]


def test_rows_that_are_there_again_were_not_lost() -> None:
    changed = [Footprint("a.0001", 1.0, {}, ["project", "treenode"])]
    before = {"project": Counter({"one": 1, "two": 2})}
    more = {"project": Counter({"one": 1, "two": 2, "three": 1})}
    big = "a.0001 changes or deletes rows of treenode"
    assert additions.lost_rows(before, more, changed) == [big]
    less = {"project": Counter({"one": 1, "two": 1})}
    assert additions.lost_rows(before, less, changed) == ["a.0001 changes or deletes 1 rows of project", big]


def test_only_a_rehearsal_of_this_very_upgrade_counts(tmp_path: Path) -> None:
    found = Rehearsal(rehearsed.now(), rehearsed.now(), "catmaid", "b1", "old", "new", "2030.12.21", ["a.0001"])
    found.prints = [Footprint("a.0001", 1.5, {"project": ("ShareLock", 1.0)})]
    rehearsed.keep(str(tmp_path), found)
    assert rehearsed.matching(str(tmp_path), "catmaid", "old", "new") == found
    assert rehearsed.matching(str(tmp_path), "catmaid", "old", "newer") is None
    assert rehearsed.objections(found, ["a.0001"], "new") == []
    assert "was not rehearsed" in rehearsed.objections(None, ["a.0001"], "new")[0]
    assert "other migrations" in rehearsed.objections(found, ["a.0001", "a.0002"], "new")[0]
    found.made = time.strftime(rehearsed.TIME, time.gmtime(time.time() - 90000))
    assert "25 hours old" in rehearsed.objections(found, ["a.0001"], "new")[0]
    rehearsed.forget(str(tmp_path))
    (tmp_path / rehearsed.NAME).write_text("{}")
    assert rehearsed.read(str(tmp_path)) is None


def test_a_rehearsal_is_told_in_a_few_lines() -> None:
    found = Rehearsal(
        "2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "catmaid", "b1", "old", "new", "2030.12.21", ["a.0001"]
    )
    found.predicted = {"migrate": 12.0, "downtime": 20.0, "online": 4.0}
    found.prints, found.grown = [Footprint("a.0001", 1.5)], 3_000_000
    lines = rehearsed.summary(found)
    assert lines[0].endswith("1 migration takes 12 s and the database grows by 3.0 MB.")
    assert lines[-1] == "All migrations only add: it can go online."
    found.objections = ["project is written anew"]
    assert rehearsed.summary(found)[-2:] == ["It cannot go online:", "  project is written anew"]
    found.objections *= 20
    assert rehearsed.summary(found)[-2:] == ["  project is written anew", "  and 8 more"]
