# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore takes the instance to another server, or it stays where it is, with everything as it was."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.once("bookworm")

CONFIRM = {"catmaid_restore_confirm": "catmaid"}
AGAIN = {"catmaid_lock_force": True, "catmaid_lock_wait": 120, **CONFIRM}
THERE = {"catmaid_db_port": 5433}
MOVED = "port=5433 dbname=catmaid"
SETTINGS = "/opt/catmaid/current/source/django/projects/mysite/settings.py"
WRITES = "catmaid.admin.restore : Settings | Write where the database is"
LOOK = f"stat -c '%U %G %a' {SETTINGS} && cat {SETTINGS} && echo the end"
NODES = "SELECT count(*) FROM ONLY treenode"
# Is an id of a transaction that the rows tell still to come?
REPEATS = "SELECT max(transaction_id) >= pg_current_xact_id()::text::bigint FROM catmaid_transaction_info"


@pytest.fixture(scope="module", autouse=True)
def second(instances):
    """A young server beside the one of the instance."""
    for instance in instances:
        instance.run(
            "version=$(ls /etc/postgresql) && pg_createcluster --locale=C.UTF-8 --port=5433 -o fsync=off"
            " --start $version second"
        )
    yield
    for instance in instances:
        instance.run("pg_dropcluster --stop $(ls /etc/postgresql) second")


@pytest.fixture(scope="module")
def before(instances) -> dict:
    """Rows and settings of each instance."""
    return {instance: (instance.treenodes(), instance.run(LOOK)) for instance in instances}


def is_where_it_was(instance, before) -> None:
    assert (instance.treenodes(), instance.run(LOOK)) == before[instance]
    assert instance.get("/projects/")[0] == 200


def test_a_move_is_predicted_and_touches_nothing(instances, play, before):
    predicted = play("restore", "--check", **THERE, **CONFIRM)
    assert predicted.rc == 0, predicted.output
    for instance in instances:
        assert "its settings lead to 127.0.0.1 port 5432 now" in predicted.output
        assert WRITES in predicted.changed(instance.name)
        assert instance.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'catmaid'", "port=5433") == "0"
        is_where_it_was(instance, before)


def test_settings_that_stay_behind_are_found_out(instances, play, kill_at, before):
    """The application would start and answer, by the database that it should have left. To go back may be cut short."""
    for instance in instances:
        instance.run(f'echo \'DATABASES["default"]["PORT"] = "5432"\' >> {SETTINGS}')
    kill_at("back", at="Stop the application", **THERE)
    result = play("restore", **THERE, **AGAIN)
    assert result.rc != 0
    for instance in instances:
        assert "the database from before serves again" in result.messages(instance.name)
        assert "leads to 127.0.0.1 port 5432 still" in result.messages(instance.name)
        assert "of the server that the instance was to move to" in result.messages(instance.name)
        instance.run(f"sed -i '$d' {SETTINGS}")
        is_where_it_was(instance, before)


def test_a_move_that_was_killed_is_finished_by_the_next_run(instances, play, kill_at, before):
    kill_at("move", **THERE)
    for instance in instances:
        is_where_it_was(instance, before)
    kill_at("settings", **THERE)
    for instance in instances:
        assert instance.treenodes() == before[instance][0]
    result = play("restore", **THERE, **AGAIN)
    assert result.rc == 0, result.output
    for instance in instances:
        assert not instance.is_in_maintenance()
        assert instance.sql(NODES, MOVED) == str(before[instance][0])
        assert instance.sql(REPEATS, MOVED) == "f"
        wanted = before[instance][1].replace("5432", "5433")
        assert instance.run(LOOK) == wanted
        # The application needs nothing of the old server any more, where all is as it was.
        assert instance.treenodes() == before[instance][0]
        instance.sql("ALTER DATABASE catmaid RENAME TO catmaid_left", "postgres")
        assert instance.get("/projects/")[0] == 200
        instance.sql("ALTER DATABASE catmaid_left RENAME TO catmaid", "postgres")


def test_it_moves_back_as_it_came(instances, play, before):
    back = play("restore", **CONFIRM)
    assert back.rc == 0, back.output
    for instance in instances:
        assert WRITES in back.changed(instance.name)
        is_where_it_was(instance, before)
