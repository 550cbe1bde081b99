# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play that is killed in any phase leaves the live data as it was, and the next one brings the application back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.once("bookworm")

ROLE = Path(__file__).parents[3] / "roles/restore/tasks"
CONFIRM = {"catmaid_restore_confirm": "catmaid"}
AGAIN = {"catmaid_lock_force": True, "catmaid_lock_wait": 120, **CONFIRM}
# These have something to do only with another backup or inventory, or when something went wrong before.
ELSEWHERE = {
    "recover": "test_restore_killed.py",
    "prepare": "test_restore_code.py",
    "back": "test_restore_code.py",
    "move": "test_restore_move.py",
    "settings": "test_restore_move.py",
}


def phases() -> list[str]:
    """Return the phases of the role: its files of tasks, in the order in which they run."""
    found = []
    for name in ("live", "swap"):
        text = (ROLE / f"{name}.yml").read_text(encoding="utf-8")
        found += [line.rpartition(" ")[2].removesuffix(".yml") for line in text.splitlines() if "_tasks: " in line]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module", autouse=True)
def rows(instances):
    """How many treenodes there are on each host: after every test as many as before."""
    return {instance: instance.treenodes() for instance in instances}


def test_there_is_a_row_for_every_phase(kill_at):
    files = {path.stem for path in ROLE.glob("*.yml")} - {"main", "live", "scratch"}
    assert set(phases()) | ELSEWHERE.keys() == files
    assert kill_at.at.keys() <= files
    for phase, place in ELSEWHERE.items():
        assert f'kill_at("{phase}"' in Path(__file__).with_name(place).read_text(encoding="utf-8"), phase


@pytest.mark.parametrize("phase", [phase for phase in phases() if phase not in ELSEWHERE])
def test_a_play_that_was_killed_there_has_not_touched_the_live_data(instances, kill_at, rows, phase):
    kill_at(phase)
    for instance in instances:
        deadline = time.monotonic() + 60
        while "catmaid" not in instance.databases():  # in the moment of the renames
            assert time.monotonic() < deadline
        assert instance.treenodes() == rows[instance]
        if phase not in ("swap", "start"):
            assert instance.get("/projects/")[0] == 200


def test_the_next_one_brings_the_application_back_even_if_it_fails_itself(instances, play, kill_at, rows):
    kill_at("swap")
    kill_at("recover")
    result = play("restore", catmaid_restore_backup="nosuch", **AGAIN)
    assert result.rc != 0
    for instance in instances:
        assert "There is no verified backup nosuch" in result.messages(instance.name)
        assert not instance.is_in_maintenance()
        assert instance.get("/projects/")[0] == 200
        assert instance.treenodes() == rows[instance]


def test_the_next_one_goes_on_and_leaves_nothing_behind(instances, play, rows):
    result = play("restore", **AGAIN)
    assert result.rc == 0, result.output
    for instance in instances:
        assert instance.treenodes() == rows[instance]
        assert instance.get("/projects/")[0] == 200
        # What was kept, also by the upgrades of other tests, and nothing half-done.
        left = instance.databases() - {"catmaid"}
        assert all(name.startswith(("catmaid_before_", "catmaid_failed_restore_")) for name in left), left
        assert {"restore.json", "maintenance.html"}.isdisjoint(instance.run("ls /var/lib/catmaid").split())


def test_a_full_disk_in_the_stop_lets_the_application_come_back(instances, play, rows):
    """There is room for the note of what is about to be done, and for nothing more."""
    state = "/var/lib/catmaid"
    for instance in instances:
        instance.run(f"mount -t tmpfs -o size=4k tmpfs {state}")
    try:
        result = play("restore", **CONFIRM)
        assert result.rc != 0
        for instance in instances:
            assert "the database from before serves again" in result.messages(instance.name)
            assert "No space left on device" in result.messages(instance.name)
            assert instance.treenodes() == rows[instance]
            assert instance.get("/projects/")[0] == 200
    finally:
        for instance in instances:
            instance.run(f"umount {state}")
