# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""catmaid-admin upkeep: what an application wants to have done again and again is done, and told where it is not."""

from __future__ import annotations

import json
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import locks
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import identity
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration.cli import Program, configure
from tests.integration.companions import WORK, environment
from tests.integration.double_fixtures import OLDEST, SERVICE_USER, Release, psql
from tests.integration.test_backup_job import remembering, told
from tests.integration.test_pg_dump_faults import wait_for

pytestmark = pytest.mark.once("bookworm")

CACHED = 'NODE_PROVIDERS = [("cached_msgpack", {"enabled": True})]\n'
ROWS = "SELECT count(*) > 0 FROM catmaid_stats_summary"


class Lab:
    """An instance of the double whose statistics were never made, with its host's configuration."""

    def __init__(self, program: Program, folder: Path, release: Release, database: str) -> None:
        self.program, self.folder, self.release, self.database = program, folder, release, database

    def config(self, **more: Any) -> Path:
        paths = {"path": str(self.release.source), "virtualenv": str(self.release.env), "user": SERVICE_USER}
        project = {**paths, "database": self.database, **more}
        dest, hooks = str(self.folder / "backups"), remembering(self.folder)
        return configure(self.folder, databases=[self.database], dest=dest, project=project, hooks=hooks)

    def upkeep(self, what: str) -> str:
        """Do it, and return what is said of it."""
        report = self.program.json("upkeep", what, config=self.config())
        done: str = report["databases"][self.database]["done"]
        return done

    def has_statistics(self) -> bool:
        return psql(self.database, ROWS) == "t"


@pytest.fixture
def lab(
    program: Program, double_release: Callable[..., Release], double_database: Callable[..., str], tmp_path: Path
) -> Lab:  # fmt: skip
    database = double_database(OLDEST, 3000)
    return Lab(program, tmp_path, double_release(OLDEST, database), database)


def test_statistics_are_refreshed_unless_they_are_right_or_beat_does_it(lab: Lab, double_folder: Path) -> None:
    assert not lab.has_statistics()
    assert lab.upkeep("statistics") == "the node statistics are up to date"
    assert lab.has_statistics()
    assert lab.upkeep("statistics") == "the node statistics are right"

    psql(lab.database, "TRUNCATE catmaid_stats_summary")
    folder = double_folder / "beat"
    folder.mkdir()
    (folder / "work.py").write_text(WORK)
    user = pwd.getpwnam(SERVICE_USER)
    subprocess.run(["chown", "-R", SERVICE_USER, folder], check=True)
    argv = [str(environment() / "bin/celery"), "-A", "work", "beat"]
    with subprocess.Popen(argv, cwd=folder, user=user.pw_uid, group=user.pw_gid, env={"LANG": "C.UTF-8"}) as beat:
        wait_for((folder / "messages").exists)
        assert "Celery beat runs" in lab.upkeep("statistics")
        beat.kill()
    assert not lab.has_statistics()
    assert lab.upkeep("statistics") == "the node statistics are up to date"
    assert lab.has_statistics()


def test_caches_are_updated_where_the_settings_use_one(lab: Lab) -> None:
    cached = "SELECT count(*) > 0 FROM node_query_cache"
    assert lab.upkeep("caches") == "the settings use no cache; nothing was done"
    assert psql(lab.database, cached) == "f"
    lab.release.configure(lab.database, CACHED)
    assert lab.upkeep("caches") == "the caches are up to date"
    assert psql(lab.database, cached) == "t"


def test_vacuum_waits_for_its_turn(lab: Lab) -> None:
    psql(lab.database, "CREATE TABLE fresh WITH (autovacuum_enabled = off) AS SELECT generate_series(1, 100) AS id")
    state = lab.folder / "state/it/vacuum.json"
    with locks.hold(identity.database_key(Server(), lab.database), "another job"):
        waiting = lab.program.start("upkeep", "vacuum", config=lab.config())
        wait_for(state.exists)
        assert psql(lab.database, "SELECT count(*) FROM pg_stats WHERE tablename = 'fresh'") == "0"
    output = waiting.communicate(timeout=120)[0]
    assert (waiting.returncode, "vacuumed and analyzed" in output) == (0, True), output
    assert psql(lab.database, "SELECT count(*) FROM pg_stats WHERE tablename = 'fresh'") == "1"
    assert json.loads(state.read_text())["ok"]
    assert told(lab.folder, "success") == []  # nobody shall take it for a backup


def test_a_failure_and_a_kill_are_told_until_it_goes_well(lab: Lab) -> None:
    failed = lab.program("upkeep", "statistics", config=lab.config(path=""))
    assert (failed.rc, "names no release" in failed.err) == (1, True)
    assert [report["what"] for report in told(lab.folder, "failure")] == ["statistics"]
    assert "the statistics job of" in lab.program("check", config=lab.config()).out

    with locks.hold(identity.database_key(Server(), lab.database), "another job"):
        waiting = lab.program.start("upkeep", "statistics", config=lab.config())
        wait_for(lambda: json.loads((lab.folder / "state/it/statistics.json").read_text())["running"])
        waiting.kill()
        waiting.communicate()
        found = lab.program.json("check", config=lab.config(), rc=2)
        assert [(code, "without a word" in text) for code, text in problems(found, "statistics job")] == [(1, True)]
        assert lab.program("report-failure", "--of", "statistics", config=lab.config()).rc == 0
    assert "it ended without a word" in told(lab.folder, "failure")[-1]["message"]

    lab.upkeep("statistics")
    found = lab.program.json("check", config=lab.config(), rc=2)
    assert (found["upkeep"]["statistics"]["ok"], problems(found, "statistics job")) == (True, [])


def problems(found: dict[str, Any], about: str) -> list[tuple[int, str]]:
    return [(problem["code"], problem["text"]) for problem in found["problems"] if about in problem["text"]]
