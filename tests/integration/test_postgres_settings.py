# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgres_settings: settings that the server really has, or the old ones and a server that runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster_fixtures import NAME, PASSWORD, Cluster
from tests.integration.support import Run, run_module

FILE = "zz-catmaid.conf"
# Each may have such a value; the server refuses to start with it because of another one, and nothing but a start tells.
UNUSABLE = {"wal_level": "minimal"}


@pytest.fixture
def folder(cluster: Cluster) -> Iterator[Path]:
    """The second server's folder of settings; what tests leave in it, or in the server, is taken away."""
    found = Path(f"/etc/postgresql/{cluster.version}/{NAME}/conf.d")
    yield found
    for path in found.iterdir():
        path.unlink()
    cluster.sql("postgres", "ALTER SYSTEM RESET ALL")
    cluster.sql("postgres", "SELECT pg_reload_conf()")


@pytest.fixture
def change(cluster: Cluster, tmp_path: Path) -> Callable[..., Run]:
    """A function that runs the module on the second server."""

    def run(settings: dict[str, Any] | None = None, **args: Any) -> Run:
        options = {"login_db": "postgres", "state_dir": str(tmp_path / "state"), **cluster.peer, **args}
        return run_module("postgres_settings", diff=True, settings=settings or {}, **options)

    return run


def tree(cluster: Cluster) -> dict[str, tuple[bytes, int]]:
    """Return bytes and rights of everything that configures the second server."""
    folders = (f"/etc/postgresql/{cluster.version}/{NAME}", f"/var/lib/postgresql/{cluster.version}/{NAME}")
    paths = [path for path in Path(folders[0]).rglob("*") if path.is_file()]
    paths.append(Path(folders[1], "postgresql.auto.conf"))
    return {str(path): (path.read_bytes(), os.stat(path).st_mode) for path in paths}


def show(cluster: Cluster, name: str) -> tuple[str, str]:
    """Return the value of a setting and the file that it comes from."""
    ((value, file),) = cluster.sql(
        "postgres", f"SELECT current_setting(name), coalesce(sourcefile, '') FROM pg_settings WHERE name = '{name}'"
    )
    return value, file


def started(cluster: Cluster) -> str:
    return cluster.sql("postgres", "SELECT pg_postmaster_start_time()")[0][0]


def row(done: Run, name: str) -> dict[str, Any]:
    (found,) = [one for one in done.result["settings"] if one["name"] == name]
    return found


def test_reloads_restarts_when_allowed_and_takes_all_back(
    cluster: Cluster, folder: Path, change: Callable[..., Run], tmp_path: Path
) -> None:
    before, start = tree(cluster), started(cluster)
    settings = {
        "work_mem": {"value": "12MB", "reason": "Sorts of\nmany nodes"},
        "shared_buffers": "48MB",
        "jit_above_cost": 200000,
        "autovacuum": True,
        "log_line_prefix": "it's \\ odd %m ",
    }
    predicted = change(settings, check=True)
    assert predicted.changed
    assert tree(cluster) == before

    done = change(settings)
    assert done.changed
    assert done.result["diff"] == predicted.result["diff"]
    keys = ("name", "wanted", "before", "after", "reason", "pending_restart")
    assert [[one[key] for key in keys] for one in predicted.result["settings"]] == [
        [one[key] for key in keys] for one in done.result["settings"]
    ]
    path = str(folder / FILE)
    assert done.result["path"] == path
    assert show(cluster, "work_mem") == ("12MB", path)
    assert show(cluster, "log_line_prefix") == ("it's \\ odd %m ", path)
    assert (row(done, "work_mem")["before"], row(done, "work_mem")["after"]) == ("4MB", "12MB")
    assert row(done, "work_mem")["reason"] == "Sorts of\nmany nodes"
    assert row(done, "work_mem")["source"] == f"configuration file {path}:4"
    # What needs a restart waits, is told, and changes nothing a second time.
    assert done.result["pending_restart"] == ["shared_buffers"]
    assert (row(done, "shared_buffers")["after"], row(done, "shared_buffers")["pending_restart"]) == ("128MB", True)
    assert started(cluster) == start
    again = change(settings)
    assert not again.changed
    assert again.result["pending_restart"] == ["shared_buffers"]

    assert change(settings, check=True, restart=True).changed
    allowed = change(settings, restart=True)
    assert allowed.changed and allowed.result["restarted"]
    assert started(cluster) != start
    assert show(cluster, "shared_buffers") == ("48MB", path)
    assert allowed.result["pending_restart"] == []
    start = started(cluster)
    assert not change(settings, restart=True).changed
    assert started(cluster) == start

    assert row(change({"shared_buffers": "48MB"}), "work_mem")["after"] == "4MB"
    assert change(state="absent", check=True, restart=True).changed
    gone = change(state="absent", restart=True)
    assert gone.changed and gone.result["restarted"]
    assert show(cluster, "shared_buffers")[0] == "128MB"
    assert tree(cluster) == before
    assert list(tmp_path.iterdir()) == []
    assert not change(state="absent", restart=True).changed


def test_what_the_server_does_not_take_changes_nothing(
    cluster: Cluster, folder: Path, change: Callable[..., Run]
) -> None:
    before, start = tree(cluster), started(cluster)
    for check, wrong, told in (
        (True, {"work_mem": "12 bananas"}, 'invalid value for parameter "work_mem"'),
        (False, {"wrok_mem": "12MB"}, 'unrecognized configuration parameter "wrok_mem"'),
        # A number that is allowed, and more than any machine of today has
        (True, {"shared_buffers": "7TB"}, "could not map anonymous shared memory"),
        (False, {"shared_buffers": "7TB"}, "could not map anonymous shared memory"),
        (False, {"shared_preload_libraries": "nonsense"}, "there is no library nonsense"),
        (False, {"work mem": "1MB"}, "is no name of a setting"),
    ):
        assert told in change(wrong, check=check, restart=True).error
    assert (tree(cluster), started(cluster)) == (before, start)


def test_a_server_that_does_not_start_gets_the_old_settings_back(
    cluster: Cluster, folder: Path, change: Callable[..., Run], tmp_path: Path
) -> None:
    assert change({"work_mem": "12MB"}, restart=True).changed
    good = tree(cluster)
    refused = change({"work_mem": "13MB", **UNUSABLE}, restart=True)
    assert "WAL streaming" in refused.error
    assert "The old settings are back, and the server runs with them." in refused.error
    assert tree(cluster) == good
    assert show(cluster, "work_mem")[0] == "12MB"

    # The same when they had been waiting: the old ones are those that the server has started with.
    assert change({"work_mem": "13MB", **UNUSABLE}).result["pending_restart"] == ["wal_level"]
    assert show(cluster, "work_mem")[0] == "13MB"
    assert change({"work_mem": "14MB", **UNUSABLE}).changed
    assert "The old settings are back" in change({"work_mem": "14MB", **UNUSABLE}, restart=True).error
    assert tree(cluster) == good

    # A run that ended in the middle: the server is down, and the next run brings it back.
    assert change({"work_mem": "15MB", **UNUSABLE}).changed
    (note,) = (tmp_path / "state").iterdir()
    note.write_text(json.dumps({**json.loads(note.read_text()), "restarting": True}))
    cluster.control("stop")
    assert "connecting to database" in change({"work_mem": "16MB"}, check=True).error
    done = change({"work_mem": "12MB"})
    assert done.changed
    assert "ended while the server restarted" in str(done.result["warnings"])
    assert tree(cluster) == good
    assert list(tmp_path.iterdir()) == []


def test_what_others_have_broken_stops_it(cluster: Cluster, folder: Path, change: Callable[..., Run]) -> None:
    assert change({"work_mem": "12MB"}).changed
    theirs, main = folder / "theirs.conf", folder.parent / "postgresql.conf"
    theirs.write_text("work_mem = '1MB'\nmaintenance_work_mem = '12 bananas'\n")
    for check in (True, False):
        refused = change({"work_mem": "13MB"}, check=check).error
        assert "without our part of it" in refused
        assert "12 bananas" in refused
        assert "That is not of our making" in refused
    theirs.unlink()
    text = main.read_text()
    try:
        main.write_text(text + "this is no line\n")
        number = len(text.splitlines()) + 1
        refused = change({"work_mem": "13MB"}).error
        assert f'syntax error in file "{main}" line {number}' in refused
        assert "That is not of our making" in refused
        # Without a line for a folder nothing of ours can be read.
        main.write_text(text.replace("include_dir", "#include_dir"))
        assert "Add the line include_dir = 'conf.d' at its end" in change({"work_mem": "13MB"}).error
    finally:
        main.write_text(text)
    assert show(cluster, "work_mem")[0] == "12MB"
    # What somebody has broken in our file is ours to mend.
    (folder / FILE).write_text((folder / FILE).read_text() + "nonsense\n")
    assert change({"work_mem": "13MB"}).changed
    assert show(cluster, "work_mem")[0] == "13MB"
    # A file of that name that is not ours stays.
    theirs.write_text("work_mem = '1MB'\n")
    for check in (True, False):
        assert "a file of somebody else" in change({"work_mem": "13MB"}, name="theirs", check=check).error
        assert not change(state="absent", name="theirs", check=check).changed
    assert theirs.exists()


def test_what_others_say_otherwise_is_told_and_stays(
    cluster: Cluster, folder: Path, change: Callable[..., Run]
) -> None:
    cluster.sql("postgres", "ALTER SYSTEM SET work_mem TO '7MB'")
    cluster.sql("postgres", "ALTER ROLE postgres SET maintenance_work_mem TO '70MB'")
    (folder / "zzz.conf").write_text("random_page_cost = 3\neffective_io_concurrency = 9\n")
    cluster.sql("postgres", "SELECT pg_reload_conf()")
    auto = tree(cluster)[f"/var/lib/postgresql/{cluster.version}/{NAME}/postgresql.auto.conf"]
    settings = {
        "work_mem": "12MB", "maintenance_work_mem": "100MB", "random_page_cost": 1.1, "effective_io_concurrency": 9,
    }  # fmt: skip
    try:
        for check in (True, False):
            done = change(settings, check=check)
            assert done.changed
            told = " ".join(done.result["conflicts"])
            assert "work_mem is 7MB by" in told and "postgresql.auto.conf" in told and "ALTER SYSTEM" in told
            assert f"random_page_cost is 3 by {folder}/zzz.conf:1" in told
            assert "maintenance_work_mem is 70MB by user, and not 100MB" in told
            assert len(done.result["conflicts"]) == 3  # equal values are no conflict
        assert show(cluster, "work_mem")[0] == "7MB"
        assert tree(cluster)[f"/var/lib/postgresql/{cluster.version}/{NAME}/postgresql.auto.conf"] == auto
        again = change(settings)
        assert not again.changed
        assert len(again.result["conflicts"]) == 3
        cluster.sql("postgres", "ALTER SYSTEM RESET work_mem")
        assert change(settings, restart=True).result["conflicts"] != []
        cluster.sql("postgres", "SELECT pg_reload_conf()")
        assert show(cluster, "work_mem") == ("12MB", str(folder / FILE))
    finally:
        cluster.sql("postgres", "ALTER ROLE postgres RESET ALL")


def test_a_plan_is_applied_with_reasons_and_the_users_values(
    cluster: Cluster, folder: Path, change: Callable[..., Run]
) -> None:
    """All that is advised is known to this version, and a start of the server takes it."""
    host = {"memory": "2GB", "cores": 2, "disk": "hdd", "demands": {"workers": 2}}
    plan = run_module("tuning_plan", settings={"geqo": False}, **host).result["values"]
    own = {"work_mem": {"value": "1MB", "reason": "We know"}, "geqo": False}
    (folder / "theirs.conf").write_text("max_connections = 150\nshared_preload_libraries = 'auto_explain'\n")
    options = {"plan": plan, "leave_out": ["default_statistics_target"], "statements": True}
    assert change(own, check=True, **options).changed
    done = change(own, restart=True, **options)
    assert done.result["conflicts"] == []
    rows = {one["name"]: one for one in done.result["settings"]}
    assert all(one["reason"] and one["after"] for one in rows.values())
    assert {one["source"].rsplit(":", 1)[0] for one in rows.values()} == {f"configuration file {folder / FILE}"}
    assert {"default_statistics_target", "max_connections", "vm.swappiness"}.isdisjoint(rows)
    assert show(cluster, "max_connections")[0] == "150"
    assert (rows["work_mem"]["after"], rows["work_mem"]["reason"]) == ("1MB", "We know")
    assert rows["shared_buffers"]["before"] == "128MB"
    assert (rows["random_page_cost"]["after"], rows["geqo"]["after"]) == ("4", "off")
    assert show(cluster, "shared_preload_libraries")[0] == "auto_explain,pg_stat_statements"
    cluster.sql("postgres", "CREATE EXTENSION pg_stat_statements; SELECT * FROM pg_stat_statements LIMIT 1")
    cluster.sql("postgres", "DROP EXTENSION pg_stat_statements")
    assert not change(own, restart=True, **options).changed
    assert change(state="absent", restart=True).changed


def test_logins_that_may_not(cluster: Cluster, change: Callable[..., Run], managed: str) -> None:
    """A role that is no superuser, and may be the only one of a managed server, cannot; the file's text helps."""
    done = change({"work_mem": "12MB"}, **cluster.login)
    assert not done.changed
    assert not done.result["local"]
    assert "work_mem = '12MB'" in done.result["content"]
    assert "another host" in str(done.result["warnings"])
    wrong = change({"work_mem": "12MB"}, **{**cluster.login, "login_password": "wr0ng secret"})
    assert "password authentication failed" in wrong.error
    assert "wr0ng secret" not in wrong.output
    assert PASSWORD not in wrong.output
