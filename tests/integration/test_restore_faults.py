# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every phase of a restore times every fault: the live database stays, the message is right, the next run succeeds.

Damaged archives, owners that differ and roles that are missing stop a restore before its first phase, or are no fault
of a phase: they are in test_pg_restore.py.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support
from tests.integration.cluster_fixtures import Cluster
from tests.integration.support import quoted, run_module
from tests.integration.test_pg_restore import OBJECTS, backup

pytestmark = pytest.mark.once("bookworm")

FLAG = "/var/tmp/catmaid-fault"
ROLE = "it fault"
LIVE = "live one"
# Whoever loads, indexes or analyzes a row waits as long as there is a file for that.
DAWDLING = f"""
CREATE FUNCTION public.dawdle(a int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  phase text := CASE WHEN current_query() ~* '^\\s*copy ' THEN 'data'
                     WHEN current_query() ~* '^\\s*create index ' THEN 'post-data'
                     WHEN current_query() ~* '^\\s*analyze ' THEN 'analyze' ELSE 'none' END;
BEGIN
  WHILE (pg_catalog.pg_stat_file('{FLAG}-' || phase, true)).size IS NOT NULL LOOP
    PERFORM pg_catalog.pg_sleep(0.02);
  END LOOP;
  RETURN a;
END $$;
CREATE TABLE slow (a int, CHECK (dawdle(a) > 0));
INSERT INTO slow VALUES (1);
CREATE INDEX slow_index ON slow (dawdle(a));
CREATE TABLE of_another (a int);
ALTER TABLE of_another OWNER TO {quoted(ROLE)};
"""
REACHED = """
SELECT count(*) > 0 FROM pg_stat_activity
 WHERE datname = $q$%s$q$ AND backend_type = 'client backend' AND wait_event_type IN ('Lock', 'Timeout')
"""
LOST = ("server closed", "terminating connection", "connection to server", "no connection to the server")


class Hold:
    """Keeps a restore in one phase."""

    def __init__(self, cluster: Cluster, target: str) -> None:
        self.cluster = cluster
        self.target = target
        self.stack = ExitStack()
        self.server = Server(unix_socket=cluster.sockets, port=cluster.port)

    def at(self, phase: str, start: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
        """Start a restore, and return when it has got there and can go no further."""
        if phase == "pre-data":
            self._lock("postgres", f"DROP ROLE {quoted(ROLE)}")  # a table's new owner is locked
        else:
            self._flag("analyze" if phase == "verify" else phase)
        running = start()
        self._wait(running)
        if phase == "verify":
            self._lock(self.target, "LOCK TABLE treenode IN ACCESS EXCLUSIVE MODE")  # which is analyzed by now
            Path(f"{FLAG}-analyze").unlink()
            time.sleep(0.1)
            self._wait(running)
        return running

    def release(self) -> None:
        """Let it go on."""
        self.stack.close()

    def _flag(self, phase: str) -> None:
        path = Path(f"{FLAG}-{phase}")
        path.touch()
        self.stack.callback(path.unlink, missing_ok=True)

    def _lock(self, database: str, statement: str) -> None:
        def roll_back() -> None:
            with suppress(CatmaidError):  # the server may have been the fault
                opened.close()

        opened = ExitStack()
        connection = opened.enter_context(self.server.connect(database, autocommit=True))
        connection.cursor().execute(f"BEGIN; {statement}")
        self.stack.callback(roll_back)

    def _wait(self, running: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 60
        while self.cluster.sql("postgres", REACHED % self.target) != [["t"]]:
            assert running.poll() is None, support.finish_module(running).result
            assert time.monotonic() < deadline
            time.sleep(0.02)


def killed(_cluster: Cluster, _target: str, running: subprocess.Popen[str]) -> str:
    running.kill()
    running.communicate()
    return ""


def crashed(cluster: Cluster, _target: str, running: subprocess.Popen[str]) -> str:
    """The server loses everything that is not on disk, and starts again."""
    cluster.control("stop", "--mode", "immediate")
    cluster.control("start")
    return support.finish_module(running).error


def sent_away(cluster: Cluster, target: str, running: subprocess.Popen[str]) -> str:
    cluster.sql(
        "postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $q${target}$q$"
    )  # fmt: skip
    return support.finish_module(running).error


# Each phase, as a result names it, with what the message of a failure begins with
PHASES = {
    "pre-data": "restoring pre-data of",
    "data": "restoring data of",
    "post-data": "restoring post-data of",
    "analyze": "analyzing",
    "verify": "working on database",
}
FAULTS = {"killed": killed, "crashed": crashed, "sent away": sent_away}


@pytest.fixture(scope="module")
def archive(template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A backup of a database on the first server that takes its time where a file says so."""
    name = support.unused("fault")
    support.sql("postgres", f"DROP ROLE IF EXISTS {quoted(ROLE)}; CREATE ROLE {quoted(ROLE)}")
    support.sql("postgres", f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template)}")
    support.sql(name, DAWDLING)
    yield backup(name, str(tmp_path_factory.mktemp("faults")))
    support.drop(name)
    support.sql("postgres", f"DROP ROLE {quoted(ROLE)}")


def populate(cluster: Cluster) -> None:
    """Make the roles that the backup wants, and a live database."""
    for role in (ROLE, support.OWNER):
        cluster.sql("postgres", f"CREATE ROLE {quoted(role)}")
    cluster.sql("postgres", f"CREATE DATABASE {quoted(LIVE)}")
    cluster.sql(LIVE, "CREATE TABLE treenode AS SELECT generate_series(1, 5000) AS id")


@pytest.fixture(scope="module")
def there(cluster: Cluster) -> Iterator[Cluster]:
    """The second server with a live database."""
    populate(cluster)
    yield cluster
    cluster.sql("postgres", f"DROP DATABASE {quoted(LIVE)} WITH (FORCE)")
    for role in (ROLE, support.OWNER):
        cluster.sql("postgres", f"DROP ROLE {quoted(role)}")


@pytest.fixture
def target(there: Cluster) -> Iterator[str]:
    """A name to restore into."""
    name = support.unused("target")
    yield name
    there.sql("postgres", f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


def options(cluster: Cluster, target: str, archive: str) -> dict[str, Any]:
    # Nobody waits for anything else than the test wants, and what is analyzed comes in one order.
    return {"login_db": target, "archive": archive, "jobs": 1, **cluster.peer}


def databases(cluster: Cluster) -> set[str]:
    return {name for (name,) in cluster.sql("postgres", "SELECT datname FROM pg_database")}


def goes_well(cluster: Cluster, target: str, archive: str) -> dict[str, Any]:
    """Restore once more, and look whether all of it is there."""
    live = cluster.sql(LIVE, "SELECT count(*), sum(id) FROM treenode")
    assert live == [["5000", "12502500"]]
    done = run_module("pg_restore", **options(cluster, target, archive))
    assert done.changed
    assert done.result["created"]
    (objects,) = cluster.sql(target, OBJECTS)
    assert "never_validatedf" in objects[1]
    assert cluster.sql(target, "SELECT count(*) FROM ONLY treenode") == [["2000"]]
    assert databases(cluster) == {"postgres", "template0", "template1", LIVE, target}
    return done.result


def test_there_is_a_row_for_every_phase(there: Cluster, target: str, archive: str) -> None:
    assert goes_well(there, target, archive)["seconds"].keys() == PHASES.keys()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", PHASES)
def test_survives(there: Cluster, target: str, archive: str, phase: str, fault: str) -> None:
    hold = Hold(there, target)
    try:
        running = hold.at(phase, lambda: support.start_module("pg_restore", **options(there, target, archive)))
        message = FAULTS[fault](there, target, running)
        if fault != "killed":
            assert message.startswith(PHASES[phase]), message
            assert any(word in message for word in LOST), message
            assert "Traceback" not in message
    finally:
        hold.release()
    goes_well(there, target, archive)


@pytest.fixture
def small(there: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """A server whose data are on a small disk of their own, as its log of changes is not."""
    disk, port = Path("/mnt/catmaid-small"), there.port + 1
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(disk)], check=True)
    made = replace(there, port=port, name="small")
    try:
        log = f"/var/lib/postgresql/{there.version}/small-log"
        settings = ["-o", f"unix_socket_directories={there.sockets}", "-o", "fsync=off", "-o", "autovacuum=off"]
        place = [f"--datadir={disk}/data", f"--port={port}", "--locale=C.UTF-8"]
        subprocess.run(
            ["pg_createcluster", *place, *settings, there.version, "small", "--", f"--waldir={log}"],
            check=True, capture_output=True,
        )  # fmt: skip
        subprocess.run(["pg_ctlcluster", there.version, "small", "start"], check=True)
        populate(made)
        yield made
    finally:
        subprocess.run(["pg_dropcluster", "--stop", there.version, "small"], check=False)
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def wait_until_it_answers(cluster: Cluster) -> None:
    """Wait for the end of a recovery."""
    deadline = time.monotonic() + 120
    asked = ["pg_isready", "-h", cluster.sockets, "-p", str(cluster.port)]
    while (answer := subprocess.run(asked, check=False, capture_output=True, text=True)).returncode:
        assert time.monotonic() < deadline, answer.stdout
        time.sleep(0.1)


@pytest.mark.parametrize("phase", ["data", "post-data"])
def test_survives_a_full_disk(small: Cluster, archive: str, phase: str) -> None:
    target, ballast = support.unused("target"), Path("/mnt/catmaid-small/ballast")
    hold = Hold(small, target)
    try:
        running = hold.at(phase, lambda: support.start_module("pg_restore", **options(small, target, archive)))
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(8192)) == 8192:
                pass
        hold.release()
        message = support.finish_module(running).error
        assert message.startswith(PHASES[phase]), message
        assert "No space left on device" in message
    finally:
        hold.release()
        ballast.unlink(missing_ok=True)
    # Without a byte left it could not even write down what it was about to drop, and began anew.
    subprocess.run(["pg_ctlcluster", small.version, "small", "start"], check=False, capture_output=True)
    wait_until_it_answers(small)
    goes_well(small, target, archive)
