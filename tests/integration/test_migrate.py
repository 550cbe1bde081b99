# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module migrate on real databases of the double."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.integration.double_fixtures import ROLE, Release, drop_database, empty_database, psql, run, wait_for
from tests.integration.instances import (
    HISTORY_TRIGGERS,
    Instance,
    finish,
    session_that_runs,
    snapshot,
    without_history,
)

pytestmark = pytest.mark.once("trixie")

Releases = Callable[..., Release]
Databases = Callable[..., str]

NEWEST = "SELECT max(name) FROM django_migrations WHERE app = 'catmaid'"
RECORDED = "SELECT count(*) FROM django_migrations"
TO_2030_06 = ["catmaid.0006_add_deep_link_model", "catmaid.0007_add_project_metadata"]


@pytest.fixture
def instance(double_release: Releases, double_database: Databases) -> Callable[..., Instance]:
    """A function that puts the code of one release on a database of another."""

    def make(code: str, schema: str, treenodes: int = 1000, more: str = "") -> Instance:
        database = double_database(schema, treenodes)
        return Instance(double_release(code, database, more), database)

    return make


def test_plan_apply_and_nothing_more_to_do(instance: Callable[..., Instance]) -> None:
    here = instance("2030.06.20", "2030.01.15")
    without_history(here.database)

    planned = here.check("migrate")
    assert planned["changed"]
    assert psql(here.database, HISTORY_TRIGGERS) == "0"
    names = [f"{step['app']}.{step['name']}" for step in planned["plan"]]
    assert names[:2] == TO_2030_06 and "catmaid.0008_forbid_blank_user_names" in names
    assert planned["unapplied"] == names and planned["applied"] == []
    assert planned["plan"][0]["operations"] == ["Create model DeepLink"]
    assert not any(step["backwards"] or step["fake"] for step in planned["plan"])

    done = here.run("migrate")
    assert done["changed"] and done["applied"] == names and done["unapplied"] == []
    assert done["diff"] == planned["diff"]
    assert set(done["duration"]["migrations"]) == set(names)
    assert done["duration"]["total"] > sum(done["duration"]["migrations"].values())
    assert psql(here.database, RECORDED) == str(done["recorded"])
    assert psql(here.database, "SELECT to_regclass('catmaid_deep_link') IS NOT NULL") == "t"
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'catmaid_deep_link'"
    assert psql(here.database, owner) == ROLE
    # Migrating ran no system checks either.
    assert psql(here.database, HISTORY_TRIGGERS) == "0"

    before = snapshot(here.database)
    again = here.run("migrate")
    assert not again["changed"] and again["plan"] == [] and again["applied"] == []
    assert snapshot(here.database) == before


def test_an_empty_database_is_filled(double_release: Releases) -> None:
    database = "double_empty"
    empty_database(database)
    try:
        here = Instance(double_release("2030.01.15", database), database)
        planned = here.check("migrate")
        assert len(planned["plan"]) > 20
        done = here.run("migrate")
        assert done["diff"] == planned["diff"] and done["recorded"] == len(planned["plan"])
        assert not here.run("migrate")["changed"]
    finally:
        drop_database(database)


def test_backwards_to_a_named_migration_and_forwards_again(instance: Callable[..., Instance]) -> None:
    here = instance("2030.06.20", "2030.06.20")
    back = {"app": "catmaid", "migration": "0006"}
    planned = here.check("migrate", **back)
    assert [step["name"][:4] for step in planned["plan"]] == ["0008", "0007"]
    assert all(step["backwards"] for step in planned["plan"])

    done = here.run("migrate", **back)
    assert [name[:12] for name in done["reverted"]] == ["catmaid.0008", "catmaid.0007"]
    assert sorted(done["unapplied"]) == sorted(done["reverted"]) and done["diff"] == planned["diff"]
    assert psql(here.database, NEWEST) == "0006_add_deep_link_model"
    assert not here.run("migrate", **back)["changed"]
    assert len(here.run("migrate")["applied"]) == 2


def test_what_cannot_be_reversed_is_refused_before_anything_happens(instance: Callable[..., Instance]) -> None:
    here = instance("2030.12.21", "2030.12.21", treenodes=0)
    before = snapshot(here.database)
    for check in (True, False):
        refused = here.fail("migrate", check, app="catmaid", migration="0008")
        assert refused["irreversible"] == ["catmaid.0010_tidy_names"]
    assert snapshot(here.database) == before


def test_fake_records_only(instance: Callable[..., Instance]) -> None:
    here = instance("2030.06.20", "2030.01.15", treenodes=0)
    wanted = {"app": "catmaid", "migration": "0006", "fake": True}
    planned = here.check("migrate", **wanted)
    assert [step["fake"] for step in planned["plan"]] == [True]
    assert here.run("migrate", **wanted)["applied"] == TO_2030_06[:1]
    assert psql(here.database, "SELECT to_regclass('catmaid_deep_link') IS NULL") == "t"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"app": "nowhere"}, "there is no app 'nowhere'"),
        ({"app": "catmaid", "migration": "0666"}, "has no migration '0666'"),
        ({"migration": "0006"}, "without its app"),
        ({"virtualenv": "/nowhere"}, "/nowhere/bin/python cannot be run"),
        ({"project_path": "/srv"}, "there is no /srv/django/projects/manage.py"),
        ({"settings": "mysite.others"}, "there are no settings"),
        ({"project_user": "nobody-at-all"}, "there is no OS user nobody-at-all"),
        ({"login_db": "not_there"}, 'database "not_there" does not exist'),
    ],
)
def test_what_is_not_there_is_said(instance: Callable[..., Instance], wanted: dict[str, str], said: str) -> None:
    here = instance("2030.06.20", "2030.01.15", treenodes=0)
    assert said in here.fail("migrate", check=True, **wanted)["msg"]


def test_a_failing_migration_is_named_with_what_came_before(instance: Callable[..., Instance]) -> None:
    here = instance("2030.09.10", "2030.06.20")
    failed = here.fail("migrate")
    assert failed["failed"] and failed["applied"] == ["catmaid.0009_add_review_weight"]
    assert failed["changed"] and set(failed["duration"]["migrations"]) == set(failed["applied"])
    assert "migration catmaid.0010_weigh_reviews failed: " in failed["msg"]
    assert psql(here.database, NEWEST) == "0009_add_review_weight"
    # The next run begins where that one ended.
    assert [step["name"] for step in here.check("migrate")["plan"]] == ["0010_weigh_reviews"]


def test_a_killed_run_is_finished_by_the_next(instance: Callable[..., Instance]) -> None:
    here = instance("2030.12.21", "2030.06.20", treenodes=0)
    psql("postgres", f"ALTER DATABASE \"{here.database}\" SET catmaid.slow_seconds = '30'")
    asleep = (
        "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%slow_seconds%' AND state = 'active' "
        "AND application_name LIKE 'catmaid.admin/migrate/%')"
    )
    nobody = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'catmaid_user')"

    process = here.start("migrate")
    wait_for(here.database, asleep)
    os.kill(child_of(process), signal.SIGKILL)
    failed = finish(process)
    assert failed["failed"] and "migration catmaid.0009_add_samplers failed: it was ended by signal 9" in failed["msg"]
    # The server notices at once that its client is gone, rather than after the 30 seconds.
    wait_for(here.database, nobody, seconds=10)

    # The module itself is killed: the child must not go on without it.
    process = here.start("migrate")
    wait_for(here.database, asleep)
    process.kill()
    process.communicate()
    wait_for(here.database, nobody, seconds=10)

    assert psql(here.database, "SELECT to_regclass('catmaid_sampler') IS NULL") == "t"
    psql("postgres", f"ALTER DATABASE \"{here.database}\" SET catmaid.slow_seconds = '0'")
    assert here.run("migrate")["unapplied"] == []


def test_what_comes_after_the_last_migration_is_made_up_for(instance: Callable[..., Instance]) -> None:
    """Content types and permissions come by signals when all is applied; a run can end just before."""
    here = instance("2030.06.20", "2030.06.20", treenodes=0)
    before = psql(here.database, "SELECT count(*) FROM auth_permission")
    psql(
        here.database,
        """DELETE FROM auth_permission WHERE codename LIKE '%deeplink';
           DELETE FROM django_content_type WHERE model = 'deeplink'""",
    )
    planned = here.check("migrate")
    assert planned["changed"] and planned["plan"] == []
    assert planned["unfinished"][0] == "content type catmaid.deeplink" and len(planned["unfinished"]) == 5
    assert not here.check("migrate", app="auth")["changed"]
    assert here.run("migrate")["unfinished"] == planned["unfinished"]
    assert psql(here.database, "SELECT count(*) FROM auth_permission") == before
    assert not here.run("migrate")["changed"]


def child_of(process: subprocess.Popen[str]) -> int:
    """Return the process that runs the project's Python."""
    return int(run(["pgrep", "-P", str(process.pid)]).stdout.split()[0])


def test_who_holds_the_lock_is_named(instance: Callable[..., Instance]) -> None:
    here = instance("2030.06.20", "2030.01.15", treenodes=0)
    with session_that_runs(here.database, "LOCK TABLE auth_user IN ACCESS SHARE MODE", "forgotten notebook"):
        failed = here.fail("migrate", lock_timeout=2)
    assert "migration catmaid.0008_forbid_blank_user_names waited 2 s for a lock" in failed["msg"]
    assert "the lock on auth_user is held by pid" in failed["msg"] and "idle in transaction since" in failed["msg"]
    (blocker,) = failed["blockers"]
    assert blocker["application"] == "forgotten notebook" and blocker["user"] == "postgres"
    assert failed["applied"][:2] == TO_2030_06
    assert here.run("migrate")["unapplied"] == []


def test_migrations_from_the_future_are_refused(instance: Callable[..., Instance]) -> None:
    here = instance("2030.06.20", "2030.12.21", treenodes=0)
    unknown = ["catmaid.0009_add_samplers", "catmaid.0010_tidy_names"]
    psql(here.database, "INSERT INTO django_migrations (app, name, applied) VALUES ('djcelery', '0001_initial', now())")
    planned = here.check("migrate")
    assert planned["unknown"] == unknown and not planned["changed"]
    assert planned["orphaned"] == ["djcelery.0001_initial"]
    before = snapshot(here.database)
    refused = here.fail("migrate")
    assert refused["unknown"] == unknown and "it belongs to a newer release" in refused["msg"]
    assert not here.run("migrate", allow_unknown=True)["changed"]
    assert snapshot(here.database) == before


def test_another_database_than_that_of_the_settings(
    instance: Callable[..., Instance], double_database: Databases
) -> None:
    live = instance("2030.06.20", "2030.01.15")
    beside = Instance(live.release, double_database("2030.01.15", 0))
    before = snapshot(live.database)
    assert beside.check("migrate")["changed"]
    assert beside.run("migrate")["unapplied"] == []
    assert psql(beside.database, NEWEST) == "0008_forbid_blank_user_names"
    assert snapshot(live.database) == before
    assert not list(live.release.media.iterdir())
    assert live.check("migrate")["changed"]


# Settings whose database is another one by the time Django connects: whatever the reason, nothing may run there.
STUBBORN = """
class Stubborn(dict):
    def __setitem__(self, key, value):
        dict.__setitem__(self, key, DATABASES["default"]["NAME"] if key == "NAME" else value)
DATABASES["default"] = Stubborn(DATABASES["default"])
"""


def test_settings_that_lead_elsewhere_are_found_out(
    instance: Callable[..., Instance], double_database: Databases
) -> None:
    live = instance("2030.06.20", "2030.01.15", more=STUBBORN)
    beside = Instance(live.release, double_database("2030.01.15", 0))
    before = snapshot(live.database), snapshot(beside.database)
    for check in (True, False):
        failed = beside.fail("migrate", check)
        assert f"lead to {live.database} on localhost" in failed["msg"] and "nothing was run" in failed["msg"]
    assert (snapshot(live.database), snapshot(beside.database)) == before


def test_the_login_takes_over_where_the_settings_lead_to_another_server(instance: Callable[..., Instance]) -> None:
    here = instance("2030.06.20", "2030.01.15", treenodes=0, more='DATABASES["default"]["PORT"] = 1\n')
    assert "Connection refused" in here.fail("migrate", check=True)["msg"]
    assert here.check("migrate", follow_login=True)["changed"]  # by the role of the settings
    psql("postgres", "DROP ROLE IF EXISTS double_admin")
    psql("postgres", "CREATE ROLE double_admin SUPERUSER LOGIN PASSWORD 'not to be seen'")
    try:
        login = {"login_host": "localhost", "login_user": "double_admin", "login_password": "not to be seen"}
        done = here.run("migrate", **login)
        assert done["unapplied"] == [] and "not to be seen" not in str({**done, "invocation": ""})
    finally:
        psql("postgres", "DROP ROLE double_admin")
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'catmaid_deep_link'"
    assert psql(here.database, owner) == ROLE


SOUTH = """
CREATE TABLE south_migrationhistory (id serial, app_name text, migration text, applied timestamptz);
INSERT INTO south_migrationhistory (app_name, migration, applied) VALUES ('catmaid', '{newest}', now());
"""


@pytest.fixture
def south(double_release: Releases) -> Callable[..., Instance]:
    """A function that makes a database as South left it: the tables of 0001, and no record of Django's migrations."""

    def make(newest: str, more: str = "") -> Instance:
        empty_database("double_south")
        here = Instance(double_release("2030.01.15", "double_south"), "double_south")
        # It ends with an error, because the columns that later migrations make nullable are not so yet.
        here.release.manage("migrate", "catmaid", "0001", check=False)
        psql(here.database, "DROP TABLE django_migrations;" + SOUTH.format(newest=newest) + more)
        return here

    yield make
    drop_database("double_south")


def test_south_unfinished_is_refused_with_the_two_hops(south: Callable[..., Instance]) -> None:
    for newest, more in (("0060_some", ""), ("0061_last", "CREATE TABLE catmaid_apikey (id serial)")):
        here = south(newest, more)
        before = snapshot(here.database)
        for check in (True, False):
            refused = here.fail("migrate", check)
            assert "2015.12.21" in refused["msg"] and "Go in two hops" in refused["msg"]
            assert refused["south"] == newest
        assert snapshot(here.database) == before


def test_south_finished_is_continued(south: Callable[..., Instance]) -> None:
    here = south("0061_last")
    psql(here.database, f"ALTER TABLE south_migrationhistory OWNER TO {ROLE}")
    planned = here.check("migrate")
    faked = [f"{step['app']}.{step['name']}" for step in planned["plan"] if step["fake"]]
    assert "catmaid.0001_initial" in faked and "catmaid.0002_add_derived_tables" not in faked
    done = here.run("migrate")
    assert done["unapplied"] == [] and done["diff"] == planned["diff"]
    assert psql(here.database, "SELECT to_regclass('treenode_edge') IS NOT NULL") == "t"
    assert not here.run("migrate")["changed"]
