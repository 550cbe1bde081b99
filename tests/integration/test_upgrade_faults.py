# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase by fault: the old release serves the old data, or the new one if it had been verified. No page is left on."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.phases import PHASES, RECORD, nothing
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.request import ONLINE, ROLLBACK, UPGRADE

from tests.integration.cli import Program
from tests.integration.double_fixtures import psql, run
from tests.integration.support import Run, run_module
from tests.integration.upgrading import DATABASE, KILL, NEW, OLD, SERVICE, Served

pytestmark = pytest.mark.once("trixie")

# A new phase without a row fails test_every_phase_has_its_faults.
FAULTS = {
    UPGRADE: {
        "stop": ("killed", "server stopped", "disk full", "forgotten session"),
        "protect": ("fails", "killed", "server stopped", "disk full"),
        "switch": ("fails", "killed", "server stopped", "disk full"),
        "migrate": ("killed", "server stopped", "disk full", "forgotten session"),
        "start": ("killed", "does not come up", "forgotten session"),
        "verify": ("fails", "killed", "server stopped", "forgotten session"),
        "record": ("fails", "killed", "server stopped", "disk full"),
    },
    ROLLBACK: {
        "stop": ("killed",),
        "put back": ("killed", "server stopped", "forgotten session"),
        "switch": ("fails",),
        "start": ("does not come up",),
        "verify": ("killed",),
        "record": ("killed",),
    },
}
UNDO = f"{SERVICE}-upgrade-undo.service"
SCRIPTS = {
    "fails": "exit 3",
    "killed": KILL,
    # Back when somebody waits for it: no phase is so fast that it would not notice.
    "server stopped": "systemctl stop postgresql 'postgresql@*'\n"
    f"systemd-run --quiet sh -c 'until systemctl is-active {UNDO} | grep -qx activating; do sleep 0.1; done; "
    "systemctl start postgresql'",
    "disk full": "for disk in {state} {disk}; do cat /dev/zero > $disk/fill; done; exit 0",
    "does not come up": "mv {code}/source/django/projects/mysite/wsgi.py {code}/wsgi.py",
    "forgotten session": "systemd-run --quiet --collect --unit=forgotten runuser -u postgres -- psql"
    " -c 'BEGIN; LOCK {tables}; SELECT pg_sleep(600)'"
    " \"dbname={database} application_name='forgotten notebook'\"\n"
    'until [ $(runuser -u postgres -- psql -Atc "{locks}" {database}) -gt 1 ]; do sleep 0.1; done',
}
# Pages need the first two, and what is verified before anybody gets through to them the third.
TABLES = {"verify": "django_migrations, catmaid_history_table"}
LOCKS = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation > 16000"
# It has been stopped for the copy already, so nothing of it is left by then.
ENDED = {"stop", "put back"}


def test_every_phase_has_its_faults() -> None:
    # Those of an online upgrade are in test_upgrade_rehearsal.py, which also says by which phase it differs.
    assert {*FAULTS, ONLINE} == {*PHASES}
    for kind, faults in FAULTS.items():
        assert list(faults) == [phase.name for phase in PHASES[kind]]
        assert all(faults.values())


def break_in(served: Served, phase: str, fault: str, code: Path, disk: Path | str = "") -> str:
    """Return a hook that does it at the beginning of a phase, once."""
    tables = TABLES.get(phase, "auth_user, project")
    about = {"state": served.state, "disk": disk, "code": code, "database": DATABASE, "locks": LOCKS, "tables": tables}
    script = SCRIPTS[fault].format(**about)
    once = served.root / "once"
    once.unlink(missing_ok=True)
    return served.hook(f'[ "$1" = "{phase}" ] && [ ! -e {once} ] || exit 0\ntouch {once}\n{script}')


def mend(served: Served, code: Path) -> None:
    """Take away what a fault has left."""
    if (code / "wsgi.py").exists():
        run(["mv", str(code / "wsgi.py"), f"{code}/source/django/projects/mysite/wsgi.py"])
    run(["systemctl", "stop", "forgotten"], check=False)
    (served.state / "fill").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def shared(installed: Served) -> Served:
    """The instance, which the next test takes over as the last one has left it."""
    installed.reset()
    return installed


def rows(kind: str) -> list[tuple[str, str]]:
    return [(phase, fault) for phase, faults in FAULTS[kind].items() for fault in faults]


@pytest.mark.parametrize(("phase", "fault"), rows(UPGRADE))
def test_whatever_happens_in_a_phase_of_an_upgrade(shared: Served, phase: str, fault: str) -> None:
    new, served = shared.prepare(NEW), shared
    if served.current() != OLD:
        served.reset()
    lines = len(served.history())
    with ExitStack() as stack:
        if fault == "disk full":
            disk = stack.enter_context(served.small_disks())
            lines = 0
        done = served.upgrade(
            hook=break_in(served, phase, fault, new, disk if fault == "disk full" else ""), lock_timeout=1
        )
        if phase == RECORD and fault == "disk full":
            assert "2030.06.20 serves, and is verified" in done.error
            assert served.get("/version")[0] == 200
        mend(served, new)
        assert (served.root / "once").exists(), done.error
        if phase == RECORD or (fault == "forgotten session" and phase in ENDED):
            # It was verified, or nothing stood in the way: that is not thrown away.
            assert phase == RECORD or not done.failed, done.error
            served.assert_serves(NEW)
            assert [line["result"] for line in served.history()[lines:]] == ["upgraded"]
        else:
            assert done.failed
            served.assert_serves(OLD)
            assert [line["result"] for line in served.history()[lines:]] in (["undone"], [])
        if fault == "forgotten session" and phase != "start":
            assert "forgotten notebook" in str(done.result)


@pytest.fixture(scope="module")
def upgraded(shared: Served) -> Served:
    """The instance after an upgrade."""
    shared.reset()
    assert shared.upgrade(backup="b1").changed
    return shared


def back(served: Served, hook: str) -> Run:
    return run_module("upgrade_switch", **served.options(direction="back", hook=hook))


@pytest.mark.parametrize(("phase", "fault"), rows(ROLLBACK))
def test_whatever_happens_in_a_phase_of_a_rollback(upgraded: Served, phase: str, fault: str) -> None:
    served, old = upgraded, upgraded.prepare(OLD)
    if served.current() != NEW:
        served.reset()
        assert served.upgrade().changed
    done = back(served, break_in(served, phase, fault, old))
    mend(served, old)
    assert (served.root / "once").exists(), done.error
    if phase == RECORD or (fault == "forgotten session" and phase in ENDED):
        served.assert_serves(OLD)
        assert served.history()[-1]["result"] == "rolled back"
    else:
        assert done.failed
        served.assert_serves(NEW)
        assert served.history()[-1]["result"] == "undone"
    if fault == "forgotten session":
        assert "forgotten notebook" in str(done.result["ended_sessions"])


def test_the_way_back_is_killed_in_each_of_its_phases(served: Served) -> None:
    """Whoever goes on, goes on from there."""
    undone = [phase.name for phase in PHASES[UPGRADE] if phase.undo is not nothing]
    seen = served.root / "seen"
    hook = served.hook(f'[ "$1" = verify ] && exit 3\ncase "$1" in undo*) ;; *) exit 0;; esac\n'
                       f'grep -qx "$1" {seen} && exit 0; echo "$1" >> {seen}\n{KILL}')  # fmt: skip
    assert served.upgrade(hook=hook).failed
    served.assert_serves(OLD)
    told = seen.read_text().splitlines()
    seen.unlink()
    assert told == ["undo verify", *(f"undo {name}" for name in reversed(undone))]
    assert [line["result"] for line in served.history()] == ["undone"]
    # And the next one arrives.
    assert served.upgrade().changed
    served.assert_serves(NEW)


def test_a_rollback_does_not_put_aside_what_was_restored(upgraded: Served, program: Program) -> None:
    served = upgraded
    served.reset()
    assert served.upgrade().changed
    both = {"login_db": DATABASE, "end_sessions": True}
    assert run_module("database_copy", name=f"{DATABASE}_restored", **both).changed
    swap = {"replacement": f"{DATABASE}_restored", "keep_as": f"{DATABASE}_before_restore_20300101t000000"}
    assert run_module("database_swap", login_db=DATABASE, **swap).changed
    for told in (back(served, "").error, program("rollback", "--state", str(served.state)).text):
        assert "it was restored since" in told
    served.assert_serves(NEW)
    assert run_module("upgrade_switch", **served.options(direction="back", confirm=True)).changed
    served.assert_serves(OLD)


def test_a_rollback_without_its_copy_says_what_else_there_is(upgraded: Served, program: Program) -> None:
    served = upgraded
    served.reset()
    done = served.upgrade(backup="upgraded_20301224t010203_2030.01.15")
    psql("postgres", f'DROP DATABASE "{done.result["copy"]}"')
    for told in (back(served, "").error, program("rollback", "--state", str(served.state)).text):
        assert f"its copy of the database is gone ({done.result['copy']})" in told
        assert "catmaid_restore_backup=upgraded_20301224t010203_2030.01.15" in told
    served.assert_serves(NEW)
