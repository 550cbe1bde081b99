# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup and the code that serves it fit together, or the restore is refused or brings the code."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.once("trixie")

CONFIRM = {"catmaid_restore_confirm": "catmaid"}
AGAIN = {"catmaid_lock_force": True, "catmaid_lock_wait": 120, **CONFIRM}
OLD, NEW = "2030.01.15", "2030.06.20"
CURRENT = "/opt/catmaid/current"
LAST_MIGRATION = "SELECT max(name) FROM django_migrations WHERE app = 'catmaid'"


def newest(instance, version: str) -> str:
    return instance.run(f"ls -d /var/backups/catmaid/catmaid/catmaid_*_{version} | tail -n 1")


def serves(instance, version: str) -> None:
    assert not instance.is_in_maintenance()
    assert instance.version() == version
    assert instance.get("/projects/")[0] == 200
    assert instance.treenodes() == 10000
    assert instance.get("/")[0] == 200
    assert instance.has_its_style()


@pytest.fixture(scope="module", autouse=True)
def newer(instances, play):
    """A backup of the newer release in /root/newer; the older one serves, with its own data."""
    assert play("backup", catmaid_backup_min_age="").rc == 0
    upgraded = play("upgrade", catmaid_version=NEW, catmaid_upgrade_backup=False)
    assert upgraded.rc == 0, upgraded.output
    assert play("backup", catmaid_backup_min_age="").rc == 0
    for instance in instances:
        instance.run(f"rm -rf /root/newer && cp -a {newest(instance, NEW)} /root/newer")
        instance.run(f"rm -r /var/backups/catmaid/catmaid/catmaid_*_{NEW}")
        instance.run(f"ln -sfn /opt/catmaid/releases/{OLD} {CURRENT}")
    assert play("restore", **CONFIRM).rc == 0
    for instance in instances:
        serves(instance, OLD)


def test_a_backup_of_a_newer_release_is_refused_with_both_versions(instances, play):
    before = [instance.databases() for instance in instances]
    result = play("restore", catmaid_restore_backup="/root/newer", **CONFIRM)
    assert result.rc != 0
    for instance, databases in zip(instances, before):
        message = result.messages(instance.name)
        assert f"It was made with {NEW}, {OLD} serves, and that does not know" in message
        assert "catmaid_restore_checkout=true" in message
        assert result.changed(instance.name) == []
        assert instance.databases() == databases
        serves(instance, OLD)


@pytest.fixture(scope="module")
def broken(instances) -> dict[str, object]:
    """The backup of a release whose start page answers with an error."""
    for instance in instances:
        broken = instance.run("git -c safe.directory='*' --git-dir /srv/catmaid.git rev-parse broken-start")
        instance.run(
            "rm -rf /root/broken && cp -a /root/newer /root/broken && "
            f'sed -Ei \'s/"commit": "[0-9a-f]+"/"commit": "{broken}"/\' /root/broken/manifest.json'
        )
    return {"catmaid_restore_backup": "/root/broken", "catmaid_restore_checkout": True}


def test_code_that_does_not_work_goes_back_with_its_data(instances, play, broken):
    result = play("restore", **broken, **CONFIRM)
    assert result.rc != 0
    for instance in instances:
        assert f"the database from before serves again, with {OLD}." in result.messages(instance.name)
        serves(instance, OLD)


def test_a_play_that_was_killed_while_it_went_back_is_finished_by_the_next(instances, play, kill_at, broken):
    kill_at("prepare", **broken)
    for instance in instances:
        serves(instance, OLD)
    kill_at("back", **broken)
    assert play("restore", **{**AGAIN, "catmaid_restore_backup": "nosuch"}).rc != 0
    for instance in instances:
        serves(instance, OLD)


def test_the_release_of_the_backup_comes_with_it(instances, play):
    wanted = {"catmaid_restore_backup": "/root/newer", "catmaid_restore_checkout": True, **CONFIRM}
    predicted = play("restore", "--check", **wanted)
    assert predicted.rc == 0, predicted.output
    for instance in instances:
        serves(instance, OLD)
    result = play("restore", **wanted)
    assert result.rc == 0, result.output
    for instance in instances:
        serves(instance, NEW)
        assert instance.sql(LAST_MIGRATION) >= "0008"


def test_a_backup_of_an_older_release_is_brought_forward(instances, play):
    result = play("restore", **CONFIRM)
    assert result.rc == 0, result.output
    for instance in instances:
        assert "migrations will be applied to it" in result.output
        serves(instance, NEW)
        assert instance.sql(LAST_MIGRATION) >= "0008"
