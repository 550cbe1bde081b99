# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a restore and a rebuild are, told while they run."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import progress
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import restoration
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import reading
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server
from ansible_collections.catmaid.admin.plugins.module_utils.engine.progress import Progress

from tests.integration import support
from tests.integration.double_fixtures import Release
from tests.integration.instances import Instance, session_that_runs

pytestmark = pytest.mark.once("bookworm")

Releases = Callable[..., Release]
Databases = Callable[..., str]

# The large one takes three seconds to load, on any machine: each row is checked, by a function that is made slow last.
FILL = """
SET ROLE {owner};
CREATE FUNCTION unhurried(n integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE TABLE "Large %" AS SELECT n, md5(n::text) a, md5((n + 1)::text) b FROM generate_series(1, 150000) n;
CREATE TABLE middle AS SELECT n, md5(n::text) a, md5((n + 1)::text) b FROM generate_series(1, 60000) n;
ALTER TABLE middle ADD CONSTRAINT middle_pkey PRIMARY KEY (n);
ALTER TABLE "Large %" ADD CONSTRAINT "Large key" PRIMARY KEY (n);
CREATE INDEX large_a ON "Large %" (a);
CREATE INDEX large_b ON "Large %" (b, a);
ALTER TABLE "Large %" ADD CHECK (unhurried(n));
CREATE OR REPLACE FUNCTION unhurried(n integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF n % 10000 = 0 THEN PERFORM pg_catalog.pg_sleep(0.2); END IF;
    RETURN true;
END $$;
RESET ROLE;
"""
COPYING = r"""
    SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY public."Large \%" %'
"""


@pytest.fixture(scope="module")
def large(template: str) -> Iterator[str]:
    """A database whose restore takes some seconds."""
    name = support.unused("large")
    owner = support.quoted(support.OWNER)
    support.sql("postgres", f"CREATE DATABASE {support.quoted(name)} TEMPLATE {support.quoted(template)} OWNER {owner}")
    support.sql(name, FILL.format(owner=owner))
    yield name
    support.drop(name)


@pytest.fixture(scope="module")
def backup(large: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A backup of it."""
    dest = tmp_path_factory.mktemp("backups")
    dest.chmod(0o755)
    return str(support.run_module("pg_dump", login_db=large, dest=str(dest)).result["path"])


@pytest.fixture
def target() -> Iterator[str]:
    """The name of a database to restore into."""
    name = support.unused("restored")
    yield name
    support.drop(name)


def told(server: Server, database: str, archive: str, path: Path, **options: Any) -> dict[str, list[Progress]]:
    """Restore by a process of its own and return what was told, by phase."""

    def work() -> None:
        # Opened once: whoever logs in is another OS user for that moment.
        with open(path, "w", encoding="utf-8", buffering=1) as file:

            def tell(moment: Progress) -> None:
                file.write(json.dumps(asdict(moment)) + "\n")

            request = restoration.Request(server, database, archive, on_progress=tell, **options)
            restoration.run(request, restoration.prepare(request))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
    phases: dict[str, list[Progress]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        moment = Progress(**json.loads(line))
        phases.setdefault(moment.what, []).append(moment)
    return phases


def dump(database: str, path: str, *options: str) -> None:
    """Write what pg_dump writes."""
    with open(path, "wb") as file:
        argv = [*support.AS_POSTGRES, "pg_dump", *options, support.conninfo(database)]
        subprocess.run(argv, stdout=file, check=True, cwd="/")


def check_steps(phases: dict[str, list[Progress]]) -> None:
    """Nothing goes back; what has a whole gets to its end; who does not know the whole promises nothing."""
    for what, moments in phases.items():
        assert all(a.done <= b.done and a.seconds <= b.seconds for a, b in pairwise(moments)), what
        assert len({moment.total for moment in moments}) == 1, what
        if moments[0].total:
            assert moments[-1].percent == 100, what
        else:
            assert all(moment.left is None and moment.percent is None for moment in moments), what


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(what)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_backup_tells_each_phase_against_its_manifest(
    server: Server, backup: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr(progress, "TICK", 0.02)
    monkeypatch.setattr(reading, "SECONDS", 0.02)
    phases = told(server, target, backup, tmp_path / "told", jobs=jobs)
    check_steps(phases)
    assert list(phases) == [
        f"checking {os.path.basename(backup)}",
        f"making the tables of {target}",
        f"loading the rows of {target}",
        f"building the indexes of {target}",
        f"analyzing {target}",
        f"comparing {target} with its backup",
    ]
    rows = phases[f"loading the rows of {target}"]
    assert "Large %" in {moment.item for moment in rows}
    assert {moment.percent for moment in rows} - {0, 100}
    assert "MB" in rows[-1].text
    indexes = phases[f"building the indexes of {target}"]
    counts = [tuple(map(int, moment.text.split(" of "))) for moment in indexes]
    assert counts == sorted(counts)
    assert counts[-1][0] == counts[-1][1] >= 4
    assert {"Large % Large key", "large_a", "large_b"} & {moment.item for moment in indexes} or jobs > 1


def test_an_archive_in_one_file_promises_no_end_of_its_rows(
    server: Server, large: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(progress, "TICK", 0.02)
    archive = str(tmp_path / "archive")
    dump(large, archive, "-Fc", "-Z1")
    phases = told(server, target, archive, tmp_path / "told")
    check_steps(phases)
    rows = phases[f"loading the rows of {target}"]
    assert rows[0].total == 0
    assert any("MB" in moment.text for moment in rows)
    assert all(moment.left is None for moment in phases[f"building the indexes of {target}"])


def test_sql_tells_how_much_of_its_file_was_read(
    server: Server, large: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(progress, "TICK", 0.02)
    packed = tmp_path / "dump"
    dump(large, str(packed), "-Z1")
    phases = told(server, target, str(packed), tmp_path / "told")
    check_steps(phases)
    rows = phases[f"loading the rows of {target}"]
    assert rows[0].total == packed.stat().st_size
    assert {moment.percent for moment in rows} - {0, 100}


def test_a_restore_in_place_tells_that_it_runs(server: Server, backup: str, target: str, tmp_path: Path) -> None:
    assert support.run_module("pg_restore", login_db=target, archive=backup).changed
    phases = told(server, target, backup, tmp_path / "told", in_place=True)
    check_steps(phases)
    assert f"replacing what {target} holds" in phases


def test_a_module_shows_the_table_and_takes_everything_away_when_it_is_told_to_end(
    backup: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "progress"
    monkeypatch.setenv("CATMAID_ADMIN_PROGRESS", str(path))
    process = support.start_module("pg_restore", login_db=target, archive=backup, jobs=1)

    def line() -> str:
        return json.loads(path.read_text()).get("line", "") if path.exists() else ""

    until(lambda: target in support.names(), "the database was not created")
    until(lambda: support.sql(target, COPYING), "the table was not loaded")
    loading = support.processes("pg_restore", "--exit-on-error")
    assert loading
    for pid in loading:
        os.kill(pid, signal.SIGSTOP)  # or it would be done before anybody has looked
    try:
        shown = until(lambda: "Large" in line() and line(), "no table was told")
        assert f"loading the rows of {target}: " in shown
        assert " % (" in shown
        os.kill(process.pid, signal.SIGTERM)
    finally:
        for pid in loading:
            with suppress(ProcessLookupError):  # it was killed
                os.kill(pid, signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert target not in support.names()
    assert not path.exists()
    assert support.processes("pg_restore", "--exit-on-error") == []


def test_a_rebuild_tells_what_of_how_many_and_which_table(
    double_release: Releases, double_database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    database = double_database("2030.06.20", 1000)
    instance = Instance(double_release("2030.06.20", database), database)
    path = tmp_path / "progress"
    monkeypatch.setenv("CATMAID_ADMIN_PROGRESS", str(path))

    def line() -> str:
        return json.loads(path.read_text()).get("line", "") if path.exists() else ""

    names = ["edges", "skeleton_summary"]
    # A reader in the way of each: as long as it is there, the rebuild waits.
    reading_of = "LOCK TABLE public.{} IN ACCESS SHARE MODE"
    with session_that_runs(database, reading_of.format("catmaid_skeleton_summary")):
        with session_that_runs(database, reading_of.format("connector_geom")):
            process = instance.start("rebuild_materializations", materializations=names, force=True, lock_timeout=0)
            shown = until(lambda: "exchanging" in line() and line(), "the exchange was not told")
            assert shown.startswith(f"exchanging the edges of {database}: started, ")
        shown = until(lambda: "skeleton_summary" in line() and line(), "the second one was not told")
        assert shown.startswith(f"rebuilding skeleton_summary of {database}, 2 of 2: ")
        assert "left" not in shown
    stdout, _stderr = process.communicate(timeout=120)
    assert json.loads(stdout)["rebuilt"] == names
    assert not path.exists()
