# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal tells what comes and touches nothing; what only adds is migrated while the old release serves."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.phases import PHASES
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.request import ONLINE, UPGRADE

from tests.integration.double_fixtures import psql, run
from tests.integration.instances import session_that_runs
from tests.integration.support import Run, run_module, start_module
from tests.integration.upgrading import DATABASE, SERVICE, Served

pytestmark = pytest.mark.once("bookworm")

# 0009 adds a table, 0010 trims names: of the generated ones there is none to be trimmed.
BEFORE, AFTER = "2030.06.20", "2030.12.21"
STEPS = ["catmaid.0009_add_samplers", "catmaid.0010_tidy_names"]
KILL = f"systemctl kill --kill-whom=main --signal=KILL {SERVICE}-upgrade"
SCRATCH = "SELECT count(*) FROM pg_database WHERE datname LIKE 'catmaid_drill_%'"
APPLIED = "SELECT count(*) FROM django_migrations WHERE app = 'catmaid' AND name >= '0009'"


@pytest.fixture
def served(installed: Served) -> Served:
    """The instance as it was before any upgrade, with a backup."""
    installed.reset(BEFORE)
    psql(DATABASE, f"ALTER DATABASE {DATABASE} SET catmaid.slow_seconds = 0")
    return installed


def backup(served: Served) -> str:
    """Make a verified backup, and return the folder of backups."""
    dest = str(served.root / "backups")
    made = run_module("pg_dump", login_db=DATABASE, dest=dest, materializations="include")
    assert not made.failed, made.error
    return dest


def wishes(served: Served, version: str = AFTER, **more: Any) -> dict[str, Any]:
    """Return what the module is told. Machines that are busy lock for long: that is no reason here."""
    names = ("login_db", "current", "state_dir", "project_user")
    known = {name: served.options()[name] for name in names}
    return {**known, "release": str(served.prepare(version)), "lock_seconds": 600, **more}


def rehearse(served: Served, version: str = AFTER, **more: Any) -> Run:
    """Rehearse with the newest backup; nothing is left of it."""
    done = run_module("upgrade_rehearsal", **wishes(served, version, backup_dir=f"{served.root}/backups", **more))
    assert psql("postgres", SCRATCH) == "0"
    assert psql(DATABASE, APPLIED) == "0"
    return done


@contextmanager
def asking(served: Served) -> Iterator[list[tuple[int, bool]]]:
    """Ask for a page again and again; note its status, and whether nothing had stopped when it was there.

    A file ``asked`` tells the hook that three answers have come from the old release on the migrated database.
    """
    found: list[tuple[int, bool]] = []
    over = threading.Event()

    def ask() -> None:
        migrated = 0
        while not over.is_set():
            ready = (served.state / "migrated").exists()
            status = served.get("/projects/")[0]
            found.append((status, not (served.state / "stopping").exists()))
            migrated += ready
            if migrated == 3:
                (served.state / "asked").touch()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_what_only_adds_goes_online_and_back(served: Served) -> None:
    dest = backup(served)
    assert "was not rehearsed" in served.upgrade(AFTER, mode="online").error
    checked = run_module("upgrade_rehearsal", check=True, **wishes(served, backup_dir=dest))
    assert not checked.failed and not checked.result["rehearsed"], checked.result
    rehearsed = rehearse(served, mode="online", max_downtime=3600)
    assert not rehearsed.failed, rehearsed.error
    assert not rehearsed.changed and rehearsed.result["online"] and rehearsed.result["objections"] == []
    assert [step["name"] for step in rehearsed.result["migrations"]] == STEPS
    assert {"restore", "migrate", "ask"} == set(rehearsed.result["seconds"])
    assert {"downtime", "online", "protect"} < set(rehearsed.result["predicted"])
    assert served.upgrade(AFTER, mode="auto", check=True).result["mode"] == "online"

    hook = served.hook(f'[ "$1" = stop ] || exit 0; test -e /run/catmaid-admin/{SERVICE}.start || exit 3\n'
                       f"touch {served.state}/migrated; while [ ! -e {served.state}/asked ]; do sleep 0.1; done\n"
                       f"touch {served.state}/stopping")  # fmt: skip
    with asking(served) as answers:
        done = served.upgrade(AFTER, mode="online", hook=hook)
    assert done.changed, done.error
    served.assert_serves(AFTER)
    assert {status for status, untouched in answers if untouched} == {200}
    assert done.result["mode"] == "online" and set(done.result["seconds"]) == {p.name for p in PHASES[ONLINE]}
    assert served.databases() == {DATABASE}
    (line,) = served.history()
    assert (line["mode"], line["migrations"], line["result"]) == ("online", 2, "upgraded")

    # The way back puts back the code alone: what people have written since stays, and so does what was added.
    psql(DATABASE, "UPDATE treenode SET location_x = location_x + 1 WHERE id = (SELECT min(id) FROM treenode)")
    back = run_module("upgrade_switch", **served.options(direction="back"))
    assert back.changed, back.error
    served.assert_serves(BEFORE)
    assert psql(DATABASE, APPLIED) == "2" and served.databases() == {DATABASE}
    assert not served.upgrade(BEFORE).failed
    again = run_module("upgrade_rehearsal", **wishes(served, backup_dir=dest))
    assert not again.result["rehearsed"] and again.result["online"]


# Who asks the server is answered when the page has gone, or after some seconds; which and when is written down.
NOTES = """
class Notes:
    def __init__(self, answer):
        self.answer = answer

    def __call__(self, request):
        import os, sys, time
        if sys.argv[0].endswith(("server.py", "gunicorn")):
            with open("{notes}", "a") as file:
                file.write("%.3f %s\\n" % (time.time(), request.path))
            deadline = time.time() + {patience}
            while os.path.exists("{page}") and time.time() < deadline:
                time.sleep(0.05)
            if not os.path.exists("{page}"):
                open("{notes}.gone", "a").close()
        return self.answer(request)

MIDDLEWARE.append("mysite.settings.Notes")
"""


@contextmanager
def noting(served: Served, patience: int) -> Iterator[Path]:
    """Let the next release note its questions in a file."""
    settings = served.prepare(AFTER) / "source/django/projects/mysite/settings.py"
    kept, folder = settings.read_text(), served.root / "notes"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    notes = NOTES.format(notes=folder / "questions", page=served.state / "maintenance.html", patience=patience)
    settings.write_text(kept + notes)
    try:
        yield folder / "questions"
    finally:
        settings.write_text(kept)
        shutil.rmtree(folder)


def test_online_people_wait_for_the_answer_as_soon_as_somebody_listens(served: Served) -> None:
    backup(served)
    assert rehearse(served, mode="online").result["online"]
    with noting(served, patience=20) as questions:
        done = served.upgrade(AFTER, mode="online")
        assert done.changed, done.error
        assert questions.with_name("questions.gone").exists()
        (line,) = served.history()
        assert 0 < line["downtime_seconds"] < 20
        served.assert_serves(AFTER)


@pytest.fixture
def wsgi(served: Served) -> Iterator[None]:
    """The service is a WSGI server by its name."""
    unit = Path(f"/etc/systemd/system/{SERVICE}.service")
    kept = unit.read_text()
    shutil.copy(served.root / "server.py", served.root / "gunicorn")
    unit.write_text(kept.replace("server.py", "gunicorn"))
    run(["systemctl", "daemon-reload"])
    yield
    unit.write_text(kept)
    run(["systemctl", "daemon-reload"])


@pytest.mark.usefixtures("wsgi")
def test_the_application_has_imported_its_pages_when_the_migrations_end(served: Served) -> None:
    psql(DATABASE, f"ALTER DATABASE {DATABASE} SET catmaid.slow_seconds = 10")
    with noting(served, patience=0) as questions:
        done = served.upgrade(AFTER)
        assert done.changed, done.error
        first, page = questions.read_text().split()[:2]
        assert page == "/projects"
        late = "SELECT extract(epoch FROM applied) FROM django_migrations WHERE name = '0009_add_samplers'"
        assert float(first) < float(psql(DATABASE, late))
        served.assert_serves(AFTER)


def test_one_of_the_day_counts_at_night(served: Served) -> None:
    backup(served)
    made = rehearse(served, reuse_hours=1)
    assert made.result["rehearsed"] and not made.result["reused"], made.result
    # What the host has learned since is in what is predicted.
    line = {"result": "upgraded", "seconds": {"stop": 1, "start": 5000, "verify": 1}}
    (served.state / "upgrade-history.jsonl").write_text(json.dumps(line) + "\n")
    again = rehearse(served, reuse_hours=1)
    same = ("time", "backup", "migrations", "seconds", "objections")
    assert again.result["reused"] and [again.result[key] for key in same] == [made.result[key] for key in same]
    assert again.result["predicted"]["downtime"] > 5000 > made.result["predicted"]["downtime"]
    checked = run_module("upgrade_rehearsal", check=True, **wishes(served, backup_dir="/nonexistent", reuse_hours=1))
    assert checked.result["reused"], checked.result
    assert "people would wait about" in rehearse(served, reuse_hours=1, max_downtime=1000).error
    # Not the rehearsal of something else, or one that is too old, and never when it is to go online.
    for more in ({"mode": "online"}, {"reuse_hours": 1e-6}, {"reuse_hours": 0}):
        assert "no verified backup" in str(run_module("upgrade_rehearsal", **wishes(
            served, backup_dir="/nonexistent", **{"reuse_hours": 1, **more})).error)  # fmt: skip
    psql(DATABASE, "DELETE FROM django_migrations WHERE app = 'catmaid' AND name LIKE '0008%'")
    assert "no verified backup" in run_module(
        "upgrade_rehearsal", **wishes(served, backup_dir="/nonexistent", reuse_hours=1)
    ).error  # fmt: skip


def test_what_does_more_than_add_goes_offline_with_the_reasons(served: Served) -> None:
    psql(DATABASE, "UPDATE class_instance SET name = name || ' ' WHERE id = (SELECT min(id) FROM class_instance)")
    backup(served)
    trimmed = f"{STEPS[1]} changes or deletes 1 rows of class_instance"
    refused = rehearse(served, mode="online", lock_seconds=0)
    assert trimmed in refused.error and f"{STEPS[0]} locks class_instance for" in refused.error
    assert "people would wait about" in rehearse(served, mode="auto", max_downtime=1).error
    assert trimmed in served.upgrade(AFTER, mode="online").error
    done = served.upgrade(AFTER, mode="auto")
    assert done.changed and done.result["mode"] == "offline" and done.result["offline_because"] == [trimmed]
    served.assert_serves(AFTER)
    assert done.result["copy"] in served.databases()


def test_what_fails_fails_in_the_rehearsal(served: Served) -> None:
    none = wishes(served, backup_dir=str(served.root / "nothing"))
    assert "no verified backup" in run_module("upgrade_rehearsal", **none).error
    without = run_module("upgrade_rehearsal", **none, optional=True)
    assert not without.failed and not without.result["online"] and "cannot be rehearsed" in str(without.result)
    dest = backup(served)
    # One that is killed: the next one takes away what it has left.
    killed = start_module("upgrade_rehearsal", **wishes(served, backup_dir=dest))
    served.wait(lambda: psql("postgres", SCRATCH) != "0")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    path = next(Path(dest).glob(f"{DATABASE}/*/manifest.json")).parent
    failed = rehearse(served, "2030.09.10", backup=str(path))
    assert "migration catmaid.0010" in failed.error and "The instance was not touched" in failed.error
    assert not (served.state / "upgrade-rehearsal.json").exists()
    served.assert_serves(BEFORE)


def test_a_job_that_is_killed_online_leaves_the_old_release_serving(served: Served) -> None:
    """In the midst of its migrations, which wait for somebody; the old release answers, and the next run arrives."""
    backup(served)
    assert rehearse(served).result["online"]
    options = served.options(release=str(served.prepare(AFTER)), mode="online", lock_seconds=1, lock_timeout=120)
    waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE '%s'"
    with session_that_runs(DATABASE, "LOCK class_instance IN ROW EXCLUSIVE MODE", "somebody at work"):
        process = start_module("upgrade_switch", **options)
        served.wait(lambda: psql("postgres", waiting % "catmaid.admin/migrate/%") == "t")
        run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", f"{SERVICE}-upgrade"])
        lost = json.loads(process.communicate()[0])
    assert f"{BEFORE} serves as before" in lost["msg"], lost
    served.assert_serves(BEFORE)
    assert psql(DATABASE, APPLIED) == "0"

    # Once more after all migrations: they stay, and the old release serves with them.
    late = served.upgrade(AFTER, mode="online", hook=served.hook(f'[ "$1" = start ] || exit 0; {KILL}; sleep 60'))
    assert "the database keeps 2 migrations" in late.error
    served.assert_serves(BEFORE)
    assert [line["result"] for line in served.history()] == ["undone", "undone"]
    assert served.upgrade(AFTER, mode="online").changed
    served.assert_serves(AFTER)


def test_only_the_first_phase_online_is_another_one() -> None:
    """The faults of the others are tested offline."""
    assert PHASES[ONLINE][0].name == "migrate" and set(PHASES[ONLINE][1:]) < set(PHASES[UPGRADE])
