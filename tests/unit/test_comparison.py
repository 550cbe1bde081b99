# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two manifests tell of the time between them: differences, and tables that have shrunk."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import comparison, shrink, store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def table(name: str, rows: int | None, fingerprint: str | None = None, **more: Any) -> dict[str, Any]:
    return {"schema": "public", "name": name, "rows": rows, "fingerprint": fingerprint, **more}


def manifest(*tables: dict[str, Any], number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": f"catmaid_{number}",
        "database": "catmaid",
        "finished": f"2026-11-2{number}T03:00:00.000000Z",
        "tables": list(tables),
        "left_out": [],
        "bytes": number * 100,
        **more,
    }


def backup(number: int, problems: tuple[str, ...] = (), **more: Any) -> store.Backup:
    return store.Backup(f"/b/{number}", manifest(number=number, **more), list(problems))


def test_tables_are_equal_different_or_unknown() -> None:
    before = manifest(
        table("same", 5, "5:1"), table("edited", 5, "5:1"), table("grown", 5, "5:1"), table("gone", 5, "5:1"),
        table("unknown", 5, "5:1"), table("empty", 0), left_out=[table("edge", 7), table("excluded", None)],
    )  # fmt: skip
    after = manifest(
        table("same", 5, "5:1"), table("edited", 5, "5:2"), table("grown", 6, "6:1"), table("unknown", 5),
        table("empty", 0), table("new", 2, "2:1"), table("edge", 3), number=2,
    )  # fmt: skip
    found = comparison.compare(before, after)
    assert {(t["name"], t["before"], t["after"], t["change"], t["contents"]) for t in found["tables"]} == {
        ("edited", 5, 5, 0, "different"),
        ("grown", 5, 6, 1, "different"),
        ("gone", 5, None, None, "different"),
        ("unknown", 5, 5, 0, "unknown"),
        ("new", None, 2, None, "different"),
        ("edge", 7, 3, -4, "different"),
    }
    assert found["unchanged"] == 2
    assert found["rows"] == {"before": 25, "after": 26}
    assert found["bytes"] == {"before": 100, "after": 200}
    assert (found["before"]["id"], found["after"]["id"]) == ("catmaid_1", "catmaid_2")


def test_migrations_and_versions() -> None:
    before = manifest(
        migrations=[["catmaid", "0001"], ["catmaid", "0002"]],
        source={"describe": "2020.02.15", "commit": "abc"},
        postgresql={"server": "15.1", "postgis": "3.3.2", "pg_dump": "15.1"},
    )
    after = manifest(
        migrations=[["catmaid", "0001"], ["auth", "0001"]],
        source=None,
        postgresql={"server": "17.2", "postgis": "3.3.2", "pg_dump": "17.2"},
        number=2,
    )
    found = comparison.compare(before, after)
    assert found["migrations_added"] == ["auth.0001"]
    assert found["migrations_removed"] == ["catmaid.0002"]
    assert found["versions"] == {
        "source": {"before": "2020.02.15", "after": ""},
        "postgresql": {"before": "15.1", "after": "17.2"},
        "pg_dump": {"before": "15.1", "after": "17.2"},
    }
    same = comparison.compare(before, before)
    assert same["versions"] == {} and same["migrations_added"] == same["migrations_removed"] == same["tables"] == []


def test_which_two_are_compared() -> None:
    backups = [backup(4, ("damaged",)), backup(3), backup(2, ("damaged",)), backup(1)]

    def ids(before: str | None, after: str | None) -> tuple[str, str]:
        return tuple(chosen.id[-1] for chosen in comparison.choose(backups, before, after))  # type: ignore[return-value]

    assert ids(None, None) == ("1", "3")
    assert ids(None, "catmaid_4") == ("3", "4")
    assert ids("catmaid_2", None) == ("2", "3")
    assert ids("catmaid_4", "catmaid_1") == ("4", "1")
    for before, after in ((None, "catmaid_1"), ("nosuch", None), (None, "nosuch")):
        with pytest.raises(CatmaidError, match="there is no"):
            ids(before, after)


@pytest.mark.parametrize(
    ("had", "has", "percent", "suspicious"),
    [
        (1000, 900, 10, False),  # just as much as may go
        (1000, 899, 10, True),
        (1000, 899, 11, False),
        (1000, 0, 100, False),  # nothing can lose more
        (100, 0, 10, False),  # few
        (101, 0, 10, True),
        (10**9, 10**9 - 101, 1, False),
        (1000, 2000, 10, False),
        (0, 0, 10, False),
    ],
)
def test_when_a_table_has_shrunk(had: int, has: int, percent: int, suspicious: bool) -> None:
    found = shrink.shrunk(manifest(table("treenode", had)), {("public", "treenode"): has}, (), percent)
    assert bool(found) is suspicious


def test_what_vanished_has_lost_everything() -> None:
    before = manifest(
        table("project", 3), table("empty", 0), table("left", 5), table("never counted", 5),
        left_out=[table("volume", 9), table("excluded", None)],
    )  # fmt: skip
    rows = {("public", "left"): 5, ("other", "project"): 3}
    found = shrink.shrunk(before, rows, {("public", "never counted")}, 10)
    assert found == [
        {"schema": "public", "table": "project", "before": 3, "after": 0, "percent": 100.0},
        {"schema": "public", "table": "volume", "before": 9, "after": 0, "percent": 100.0},
    ]


def test_what_may_shrink() -> None:
    names = ("django_session", "django_admin_log", "treenode_edge", "catmaid_stats_summary", "node_grid_cache_cell")
    before = manifest(*(table(name, 1000) for name in names), {**table("treenode_edge", 1000), "schema": "copies"})
    found = shrink.shrunk(before, {}, (), 10)
    assert [(entry["schema"], entry["table"]) for entry in found] == [("copies", "treenode_edge")]


def test_the_reference_is_sound_and_not_suspicious() -> None:
    doubtful = backup(3, suspicious=[{"schema": "public", "table": "treenode"}])
    accepted = store.Backup(doubtful.path, doubtful.manifest, [], accepted="a project was removed")
    backups = [backup(4, ("damaged",)), doubtful, backup(2), backup(1)]
    assert shrink.reference(backups) is backups[2]
    assert shrink.reference([backups[0], accepted, backups[2]]) is accepted
    assert shrink.reference(backups[:2]) is None
