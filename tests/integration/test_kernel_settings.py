# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_settings: what the kernel has, now and after a boot, and all of it back.

Only settings that a container has of its own: those of its network and of its shared memory.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import Run, finish_module, run_module, start_module

NAME, OTHER, SHARED, TTL = "net.core.somaxconn", "net.ipv4.tcp_fin_timeout", "kernel.shmmax", "net.ipv4.ip_default_ttl"
FOLDER = Path("/etc/sysctl.d")
OURS, LATER = FOLDER / "60-catmaid.conf", FOLDER / "99-it.conf"
NOTE = Path("/var/lib/it-tuning/deep/kernel.json")
pytestmark = pytest.mark.once("bookworm")


def live(name: str) -> str:
    return Path("/proc/sys", name.replace(".", "/")).read_text().strip()


def put(name: str, value: str) -> None:
    Path("/proc/sys", name.replace(".", "/")).write_text(value)


def settings(*, check: bool = False, where_possible: bool = False, **values: str) -> Run:
    """Want settings, by names in which underscores stand for dots; "+" before a value means at least."""
    listed = [
        {"name": name, "value": value.lstrip("+"), "at_least": value.startswith("+"), "reason": "a test's"}
        for name, value in values.items()
    ]
    more = {"where_possible": where_possible, "note": str(NOTE)}
    return run_module("kernel_settings", check=check, diff=True, settings=listed, **more)


def undo(**more: Any) -> Run:
    return run_module("kernel_settings", diff=True, state="absent", note=str(NOTE), **more)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = {name: live(name) for name in (NAME, OTHER, SHARED, TTL)}
    yield
    for name, value in before.items():
        put(name, value)
    for path in (OURS, LATER):
        path.unlink(missing_ok=True)
    shutil.rmtree(NOTE.parent.parent, ignore_errors=True)


def test_settings_come_and_change_and_go() -> None:
    before = live(NAME), live(OTHER)
    predicted = settings(check=True, **{NAME: "5000", OTHER: "31"})
    assert predicted.changed
    assert (live(NAME), live(OTHER)) == before and not OURS.exists() and not NOTE.parent.parent.exists()
    done = settings(**{NAME: "5000", OTHER: "31"})
    assert done.changed and done.result["diff"] == predicted.result["diff"]
    assert done.result["before"] == {NAME: before[0], OTHER: before[1]}
    assert (live(NAME), live(OTHER)) == ("5000", "31")
    assert f"# a test's\n{NAME} = 5000\n" in OURS.read_text()
    assert not settings(**{NAME: "5000", "net/ipv4/tcp_fin_timeout": "31"}).changed

    # What a boot does: its own values first, then those of the files.
    put(NAME, "100")
    assert settings(check=True, **{NAME: "5000", OTHER: "31"}).result["after"] == {NAME: "5000"}
    subprocess.run(["sysctl", "--quiet", "--system"], check=True, stdout=subprocess.DEVNULL)
    assert not settings(check=True, **{NAME: "5000", OTHER: "31"}).changed

    # What is wanted no more is as it was.
    assert settings(**{NAME: "5001"}).changed
    assert (live(NAME), live(OTHER)) == ("5001", before[1])
    assert OTHER not in OURS.read_text()
    assert undo(check=True).changed and live(NAME) == "5001"
    assert undo().changed
    assert (live(NAME), live(OTHER)) == before
    assert not OURS.exists() and not NOTE.parent.parent.exists()
    assert not undo().changed


def test_somebodys_own_file_of_that_name_comes_back() -> None:
    OURS.write_bytes(b"# mine \xff\r\n" + f"{NAME}=4999".encode())
    OURS.chmod(0o640)
    put(NAME, "4999")
    before = OURS.read_bytes()
    settings(**{NAME: "5000"})
    settings(**{NAME: "5001", OTHER: "31"})
    undo()
    assert OURS.read_bytes() == before
    assert OURS.stat().st_mode & 0o777 == 0o640
    assert live(NAME) == "4999"


def test_what_is_higher_is_left_alone() -> None:
    before = live(SHARED)
    done = settings(**{SHARED: "+4294967296"})
    assert not done.changed
    assert done.result["kept"] == {SHARED: before}
    put(SHARED, "33554432")  # as kernels had it before 3.16
    assert settings(**{SHARED: "+4294967296"}).changed
    assert live(SHARED) == "4294967296"
    assert not settings(**{SHARED: "+4294967296"}).changed  # it is our own doing
    undo()
    assert live(SHARED) == "33554432"
    assert "these are no numbers" in settings(**{"kernel.ostype": "+5"}).error


def test_a_file_that_the_boot_reads_later_is_told() -> None:
    LATER.write_text(f"; {NAME} = 1\n-net/core/somaxconn=4097\n")
    before = live(NAME)
    for check in (True, False):
        refused = settings(check=check, **{NAME: "5000"})
        assert f"{LATER} sets {NAME} to 4097 after us" in refused.error
        assert refused.result["overridden"] == {NAME: {"file": str(LATER), "value": "4097"}}
    assert live(NAME) == before and not OURS.exists()
    assert settings(**{NAME: "4097"}).changed


def test_what_the_kernel_refuses_changes_nothing() -> None:
    settings(**{NAME: "5000"})
    before = OURS.read_text(), NOTE.read_text()
    assert f"setting {TTL} to 999: the kernel refuses it" in settings(**{NAME: "5001", TTL: "999"}).error
    assert (OURS.read_text(), NOTE.read_text()) == before
    assert live(NAME) == "5000"
    undo()
    assert settings(**{TTL: "999"}).failed
    assert not OURS.exists() and not NOTE.parent.parent.exists()
    assert "is no name of one" in settings(**{"vm.../../etc/passwd": "1"}).error
    assert "this kernel has no such setting" in settings(**{"vm.no_such_thing": "1"}).error


def test_what_cannot_be_set_is_never_said_to_be() -> None:
    sealed = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"'
    through = ["unshare", "--mount", "sh", "-c", sealed, "-"]
    wanted = [{"name": NAME, "value": "5000"}, {"name": OTHER, "value": live(OTHER)}]
    asked = {"settings": wanted, "note": str(NOTE)}
    for check in (True, False):
        process = start_module("kernel_settings", check=check, through=through, **asked)
        refused = finish_module(process)
        assert f"{NAME}: the kernel's settings are read-only here" in refused.error
        assert list(refused.result["refused"]) == [NAME]
    assert not OURS.exists()
    told = finish_module(start_module("kernel_settings", through=through, where_possible=True, **asked))
    assert told.changed  # what can be is in the file
    assert NAME not in OURS.read_text() and OTHER in OURS.read_text()
    assert f"{NAME} is not set" in "".join(map(str, told.result["warnings"]))


def test_what_was_before_is_not_guessed() -> None:
    settings(**{NAME: "5000"})
    NOTE.write_text("half a fi")
    for run in (settings(**{NAME: "5001"}), undo()):
        assert "what was before cannot be read" in run.error
    NOTE.unlink()
    assert f"Remove {OURS}, and reboot" in undo().error
    assert live(NAME) == "5000"


def test_the_file_may_be_elsewhere() -> None:
    path = FOLDER / "61-it.conf"
    asked = {"settings": [{"name": NAME, "value": "5000"}], "path": str(path), "note": str(NOTE)}
    assert run_module("kernel_settings", **asked).changed
    assert path.exists() and not OURS.exists()
    assert run_module("kernel_settings", state="absent", path=str(path), note=str(NOTE)).changed
    assert not path.exists()
