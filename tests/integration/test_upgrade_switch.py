# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module upgrade_switch: the new release serves, or the old one does with the old data, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import companions
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.phases import PHASES
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.request import UPGRADE, Release, Request

from tests.integration.cli import Program
from tests.integration.companions import UVICORN, WEBSOCKET, WORKER, beside, opened, uwsgi
from tests.integration.double_fixtures import psql, run
from tests.integration.support import finish_module, run_module, start_module
from tests.integration.upgrading import (
    DATABASE,
    KILL,
    MORE_WEBSOCKETS,
    NEW,
    OLD,
    PORT,
    SERVICE,
    WEBSOCKETS,
    Served,
)

pytestmark = pytest.mark.once("trixie")

# What is asked beside the application needs no more of it.
REQUEST = {
    "id": "x", "kind": UPGRADE, "instance": SERVICE, "current": "/nonexistent", "old": Release("/old", OLD),
    "new": Release("/new", NEW), "database": DATABASE, "login": {},
}  # fmt: skip


def test_upgrade_then_nothing_to_do_then_back(served: Served, program: Program) -> None:
    planned = served.upgrade(check=True)
    assert planned.changed and planned.result["to"] == NEW and planned.result["copy"]
    served.assert_serves(OLD)
    assert os.listdir(served.state) == []

    done = served.upgrade(backup="b1", keep_copy=2, max_downtime=100000)
    assert done.changed and done.result["diff"] == planned.result["diff"]
    served.assert_serves(NEW)
    assert set(done.result["seconds"]) == {phase.name for phase in PHASES[UPGRADE]}
    (line,) = served.history()
    assert (line["from"], line["to"], line["result"], line["by"]) == (OLD, NEW, "upgraded", "the test")
    assert line["backup"] == "b1" and line["migrations"] > 0 and line["downtime_seconds"] > 0
    assert served.databases() == {DATABASE, done.result["copy"]}

    again = served.upgrade()
    assert not again.changed
    assert len(served.history()) == 1

    # Somebody works; the way back says what that would cost.
    psql(DATABASE, "UPDATE treenode SET location_x = location_x + 1 WHERE id = (SELECT min(id) FROM treenode)")
    refused = program("rollback", "--state", str(served.state))
    assert refused.rc == 1 and "1 in treenode" in refused.text
    served.assert_serves(NEW)
    assert "1 in treenode" in run_module("upgrade_switch", **served.options(direction="back")).error
    taken_back = run_module("upgrade_switch", **served.options(direction="back", confirm=True))
    assert taken_back.changed and taken_back.result["to"] == OLD
    served.assert_serves(OLD)
    assert served.history()[-1]["result"] == "rolled back"
    assert f"{DATABASE}_failed_upgrade_" in str(served.databases())
    assert "there is none" in run_module("upgrade_switch", **served.options(direction="back")).error


def test_rollback_on_the_host(served: Served, program: Program) -> None:
    assert served.upgrade().changed
    done = program("rollback", "--state", str(served.state))
    assert done.rc == 0, done.text
    served.assert_serves(OLD)
    assert program("recover", "--state", str(served.state)).rc == 0
    for command in ("recover", "rollback", "upgrade-job"):
        assert program(command, "--help").rc == 0


def test_what_serves_is_verified_at_any_time(served: Served) -> None:
    verified = served.verify()
    assert not verified.failed and not verified.changed and verified.result["to"] == OLD
    psql(DATABASE, "DELETE FROM django_migrations WHERE name = (SELECT max(name) FROM django_migrations"
                   " WHERE app = 'catmaid')")  # fmt: skip
    assert "the database lacks migrations of it: catmaid.00" in served.verify().error
    run(["systemctl", "stop", SERVICE])
    assert f"{SERVICE}.service is inactive" in served.verify().error


@pytest.mark.parametrize(
    ("version", "cause"),
    [("2030.09.10", "migration catmaid.0010"), ("broken-start", "/ answers 500")],
)
def test_a_release_that_does_not_work_is_undone(served: Served, version: str, cause: str) -> None:
    failed = served.upgrade(version)
    assert cause in failed.error and f"it was undone: {OLD} serves again" in failed.error
    assert failed.result["changed"] and failed.result["undone"]
    served.assert_serves(OLD)
    assert failed.result["failed_database"] in served.databases()
    evidence = Path(failed.result["evidence"])
    assert json.loads((evidence / "upgrade.json").read_text())["after"] == failed.result["to"]
    assert (evidence / "services.log").exists()
    assert served.history()[-1]["result"] == "undone" and cause in served.history()[-1]["cause"]


def test_whoever_waits_may_go(served: Served) -> None:
    """The controller is killed; the job arrives, and the lock of its play is free."""
    hook = served.hook(f'[ "$1" = protect ] || exit 0; touch {served.state}/now; '
                       f"while [ ! -e {served.state}/go ]; do sleep 0.1; done")  # fmt: skip
    held = run_module("job_lock", login_db=DATABASE, job="a play")
    options = served.options(release=str(served.prepare(NEW)), hook=hook, lock_token=held.result["token"])
    process = start_module("upgrade_switch", **options)
    served.wait((served.state / "now").exists)
    assert (served.state / "upgrade-request.json").stat().st_mode & 0o777 == 0o600
    assert served.get("/")[0] == 503
    # Nobody else may start it meanwhile, and nobody else gets a turn.
    run(["systemctl", "start", SERVICE])
    assert run(["systemctl", "is-active", SERVICE], check=False).stdout.strip() != "active"
    assert "is locked by" in run_module("job_lock", login_db=DATABASE).error
    process.kill()
    process.wait()
    (served.state / "go").touch()
    served.assert_serves(NEW)
    assert run_module("job_lock", login_db=DATABASE, state="released").result["holder"] == {}


def test_two_instances_of_a_host_do_not_meet(served: Served, neighbour: Served) -> None:
    """One waits in a migration; meanwhile the other one is killed in its own, undone, upgraded, and taken back."""
    hook = served.hook(f'[ "$1" = migrate ] || exit 0; touch {served.state}/now; '
                       f"while [ ! -e {served.state}/go ]; do sleep 0.1; done")  # fmt: skip
    first = start_module("upgrade_switch", **served.options(release=str(served.prepare(NEW)), hook=hook))
    served.wait((served.state / "now").exists)
    assert neighbour.upgrade(hook=neighbour.hook(f'[ "$1" = migrate ] || exit 0\n{KILL}')).failed
    neighbour.assert_serves(OLD)
    assert neighbour.upgrade().changed
    neighbour.assert_serves(NEW)
    assert run_module("upgrade_switch", **neighbour.options(direction="back")).changed
    neighbour.assert_serves(OLD)
    assert [line["result"] for line in neighbour.history()] == ["undone", "upgraded", "rolled back"]
    assert served.get("/")[0] == 503 and served.history() == []
    (served.state / "go").touch()
    assert finish_module(first).changed
    served.assert_serves(NEW)
    neighbour.assert_serves(OLD)


def test_what_cannot_work_is_refused_before_anything_stops(served: Served) -> None:
    missing = run_module("upgrade_switch", **served.options(release="/nonexistent"))
    assert "checkout" in missing.error
    (served.state / "upgrade-history.jsonl").write_text('{"copied_bytes": 1, "protect_seconds": 9}\n')
    assert "more than the downtime of 1 seconds" in served.upgrade(max_downtime=1).error
    held = run_module("job_lock", login_db=DATABASE, job="somebody's play")
    assert "is locked by somebody's play" in served.upgrade().error
    run_module("job_lock", login_db=DATABASE, state="released", token=held.result["token"])
    python = served.prepare(NEW) / "env"
    python.rename(served.root / "elsewhere")
    try:
        assert f"{SERVICE}.service starts env/bin/python, which" in served.upgrade().error
    finally:
        (served.root / "elsewhere").rename(python)
    served.assert_serves(OLD)
    assert not (served.state / "upgrade-request.json").exists()


def test_a_boot_undoes_what_was_interrupted(served: Served) -> None:
    """Power fails in a migration: nothing of the job is left but its journal, and the units do not start by it."""
    never = f"/run/systemd/system/{SERVICE}-upgrade-undo.service.d"
    hook = served.hook(f'[ "$1" = migrate ] || exit 0; mkdir -p {never}\n'
                       f"printf '[Unit]\\nConditionPathExists=/nonexistent\\n' > {never}/never.conf\n"
                       f"systemctl daemon-reload; {KILL}")  # fmt: skip
    lost = served.upgrade(hook=hook)
    shutil.rmtree(never)
    run(["systemctl", "daemon-reload"])
    assert "could not be undone yet" in lost.error
    run(["systemctl", "start", SERVICE])
    assert run(["systemctl", "is-active", SERVICE], check=False).stdout.strip() != "active"
    assert "another job was interrupted" in served.upgrade().error
    assert "or was interrupted" in served.verify().error
    # As at boot: both are started, the one that recovers first.
    run(["systemctl", "start", "--no-block", f"{SERVICE}-recover", SERVICE])
    served.assert_serves(OLD)
    told = run_module("upgrade_switch", **served.options(direction="recover"))
    assert not told.changed


def test_what_ran_beside_it_answers_again_or_all_is_undone(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with beside(served) as services:
        asked = Request(**{**REQUEST, "services": services, "web": f"127.0.0.1:{PORT}", "state_dir": str(served.state)})
        names = [
            *(f"websocket at 127.0.0.1:{port}" for port in (WEBSOCKETS, PORT, MORE_WEBSOCKETS)),
            f"Celery ({WORKER})",
        ]
        served.wait(lambda: companions.answering(asked) == names, 120)

        # One that dies is not waited for, and nobody gets through to what will be taken back.
        hook = served.hook(f'[ "$1" = verify ] && systemctl stop {UVICORN}\n'
                           f'[ "$1" = "undo verify" ] && mv {served.state}/maintenance.html {served.state}/seen\n'
                           "exit 0")  # fmt: skip
        failed = served.upgrade(services=services, hook=hook)
        assert "opening a websocket" in failed.error and failed.result["undone"]
        assert (served.state / "seen").exists()
        served.assert_serves(OLD)
        served.wait(lambda: companions.answering(asked) == names, 120)

        asking = f"systemctl is-active {' '.join(services)} > {served.state}/active"
        hook = served.hook(f'[ "$1" = protect ] && {asking}; exit 0')
        assert served.upgrade(services=services, hook=hook).changed
        assert (served.state / "active").read_text().split() == ["inactive"] * 4
        served.assert_serves(NEW)
        assert not served.verify(services=services).failed
        websockets = [f"websocket at 127.0.0.1:{WEBSOCKETS}", f"websocket at 127.0.0.1:{PORT}"]
        assert companions.demanded(asked) == [
            *websockets,
            f"uvicorn at 127.0.0.1:{MORE_WEBSOCKETS}",
            f"Celery ({WORKER})",
        ]

        monkeypatch.setattr(companions, "ANSWER_WITHIN", 0)
        (served.root / "companions/refusing").touch()
        for outside in (False, True):
            with pytest.raises(CatmaidError, match="it answers 403"):
                companions.verify(asked, names, outside=outside)
        run(["systemctl", "stop", WORKER])
        # What opens no websocket has to go on saying so.
        assert companions.answering(asked) == [
            f"daphne at 127.0.0.1:{WEBSOCKETS}",
            f"uvicorn at 127.0.0.1:{MORE_WEBSOCKETS}",
        ]
        run(["systemctl", "stop", WEBSOCKET])
        with pytest.raises(CatmaidError, match="asking the ASGI server"):
            companions.verify(asked, [f"daphne at 127.0.0.1:{WEBSOCKETS}"], outside=False)


def test_a_request_that_uwsgi_answers_is_waited_for(served: Served, tmp_path: Path) -> None:
    with uwsgi(tmp_path) as (address, stats):
        slow = subprocess.Popen(["curl", "-s", f"{address}/slow"], stdout=subprocess.PIPE)
        pipe = opened(tmp_path / "pipe")
        options = served.options(release=str(served.prepare(NEW)), stats_socket=stats)
        process = start_module("upgrade_switch", **options)
        served.wait((served.state / "maintenance.html").exists)
        assert run(["systemctl", "is-active", SERVICE]).stdout.strip() == "active"
        os.close(pipe)
        out, err = process.communicate()
        assert json.loads(out)["changed"], out + err
        assert slow.communicate()[0] == b"done"
    served.assert_serves(NEW)


def backed_up(served: Served) -> str:
    """Make a verified backup, and return the folder of backups."""
    dest = str(served.root / "backups")
    assert not run_module("pg_dump", login_db=DATABASE, dest=dest, materializations="include").failed
    return dest


def test_a_dump_brings_the_database_back(served: Served) -> None:
    failed = served.upgrade("2030.09.10", protect="dump", backup_dir=str(served.root / "backups"))
    assert failed.result["undone"] and failed.result["failed_database"] in served.databases()
    served.assert_serves(OLD)


def test_no_protection_wants_a_young_backup_and_somebodys_word(served: Served) -> None:
    dest = backed_up(served)
    assert "is lost if it fails" in served.upgrade(protect="none", backup_dir=dest).error
    old = served.upgrade(protect="none", unprotected=True, backup_dir=dest, backup_hours=0)
    assert "hours old" in old.error
    none = served.upgrade(protect="none", unprotected=True, backup_dir=str(served.root / "nothing"))
    assert "it has no verified backup" in none.error
    failed = served.upgrade("2030.09.10", protect="none", unprotected=True, backup_dir=dest)
    assert failed.result["undone"]
    served.assert_serves(OLD)
    # Without a copy there is no way back in seconds, and that is said.
    assert served.upgrade(protect="none", unprotected=True, backup_dir=dest).changed
    served.assert_serves(NEW)
    back = run_module("upgrade_switch", **served.options(direction="back"))
    assert "no copy of the database was kept" in back.error


def test_old_extensions_are_updated(served: Served) -> None:
    psql(DATABASE, "DROP EXTENSION pg_trgm CASCADE; CREATE EXTENSION pg_trgm VERSION '1.5'")
    assert served.upgrade().changed
    version = "SELECT extversion = default_version FROM pg_extension JOIN pg_available_extensions ON name = extname"
    assert psql(DATABASE, f"{version} WHERE extname = 'pg_trgm'") == "t"
    served.assert_serves(NEW)
