# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each quirk of CATMAID that the double has on purpose; P numbers as in tests/double/README.md."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.double_fixtures import ROLE, Release, fingerprint, psql, run, wait_for

pytestmark = pytest.mark.once("trixie")

MATERIALIZED = ("treenode_edge", "treenode_connector_edge", "connector_geom")
TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%history_reg'"

Releases = Callable[..., Release]
Databases = Callable[..., str]


@contextmanager
def session_that_runs(database: str, sql: str) -> Iterator[None]:
    """Hold a transaction open in which these statements have run."""
    argv = ["runuser", "-u", "postgres", "--", "psql", "-XqAt", "-d", database]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as session:
        assert session.stdin is not None and session.stdout is not None
        session.stdin.write(f"BEGIN; {sql};\n\\echo ready\n")
        session.stdin.flush()
        while session.stdout.readline().strip() != "ready":
            assert session.poll() is None
        try:
            yield
        finally:
            session.stdin.close()
            session.wait(timeout=10)


def test_p4_a_rebuild_forgets_the_imported_nodes(double_release: Releases, double_database: Databases) -> None:
    database = double_database()
    imported = "SELECT sum(num_imported_nodes) > 0 FROM catmaid_skeleton_summary"
    assert psql(database, imported) == "t"
    psql(database, "SELECT refresh_skeleton_summary_table()")
    assert psql(database, imported) == "f"

    database = double_database()
    columns = ("last_summary_update", "num_imported_nodes", "last_editor_id")
    before = {table: fingerprint(database, table) for table in MATERIALIZED}
    summary = fingerprint(database, "catmaid_skeleton_summary", columns)
    done = double_release(database=database).manage("catmaid_rebuild_all_materializations")
    assert psql(database, imported) == "f"
    assert {table: fingerprint(database, table) for table in MATERIALIZED} == before
    assert fingerprint(database, "catmaid_skeleton_summary", columns) == summary
    assert psql(database, "SELECT count(*) > 0 FROM catmaid_stats_summary") == "t"
    assert done.stdout.splitlines() == [
        "Recreating treenode_edge, treenode_connector_edge, connector_geom",
        "Deleted edge information for all projects: 10000 treenode edges, 1500 connector edges, 500 connectors",
        "Created edge information for all projects: 10000 treenode edges, 1500 connector edges, 500 connectors",
        "Recreating catmaid_stats_summary",
        "Recreating catmaid_skeleton_summary",
        "Recreating node_query_cache",
        "Checking node provider postgis3d",
        "Skipping non-caching node provider: postgis3d",
        "Done",
    ]


def test_p4_a_rebuild_names_another_last_editor(double_database: Databases) -> None:
    database = double_database()
    editors = "SELECT string_agg(last_editor_id::text, ',' ORDER BY skeleton_id) FROM catmaid_skeleton_summary"
    before = psql(database, editors)
    psql(database, "SELECT refresh_skeleton_summary_table()")
    assert psql(database, editors) != before


def test_p8_the_integrity_check_always_fails(double_release: Releases, double_database: Databases) -> None:
    database = double_database()
    release = double_release(database=database)
    checked = release.manage("catmaid_check_db_integrity", check=False)
    assert checked.returncode == 1
    assert checked.stdout.count("...OK\n") == 6 and "FAILED" not in checked.stdout
    assert "Checking integrity of project 1\n" in checked.stdout and "meshes" not in checked.stdout
    meshes = release.manage("catmaid_check_db_integrity", "--tracing", "false")
    assert "meshes consist only of triangles...OK" in meshes.stdout

    last = "(SELECT max(id) FROM treenode WHERE project_id = 1)"
    psql(database, f"UPDATE treenode SET parent_id = NULL WHERE id = {last}")
    checked = release.manage("catmaid_check_db_integrity", "--project_id", "1", check=False)
    assert checked.returncode == 1 and "FAILED: found 1 rows (should be 0)" in checked.stdout


def test_p9_the_edge_table_command_asks(double_release: Releases, double_database: Databases) -> None:
    database = double_database()
    release = double_release(database=database)
    psql(database, "TRUNCATE treenode_edge")
    rows = "SELECT count(*) FROM treenode_edge"

    unasked = release.manage("catmaid_rebuild_edge_table", check=False)
    assert unasked.returncode == 1 and "EOFError: EOF when reading a line" in unasked.stderr
    refused = release.manage("catmaid_rebuild_edge_table", input="\n")
    assert "Continue? [y/N]: " in refused.stdout and "Canceled on user request" in refused.stdout
    dry = release.manage("catmaid_rebuild_edge_table", "--dryrun", input="y\n")
    assert "Dry run completed" in dry.stdout
    assert psql(database, rows) == "0"

    one = release.manage("catmaid_rebuild_edge_table", "--project_id", "2", input="y\n")
    assert 'Created edge information for project "2": 1000 treenode edges' in one.stdout
    assert psql(database, rows) == "1000"
    done = release.manage("catmaid_rebuild_edge_table", input="y\n")
    assert "Successfully rebuilt edge tables" in done.stdout
    assert psql(database, rows) == "10000"


@pytest.mark.parametrize("command", ["check", "showmigrations", "migrate --plan", "catmaid_check_db_integrity"])
def test_p10_system_checks_write(double_release: Releases, double_database: Databases, command: str) -> None:
    database = double_database()
    release = double_release(database=database)
    psql(database, "SELECT disable_history_tracking()")
    assert psql(database, TRIGGERS) == "0"
    release.manage(*command.split(), check=False)
    assert psql(database, TRIGGERS) == "27"


def test_p10_they_write_without_need_and_fail_where_nothing_may_be_written(
    double_release: Releases, double_database: Databases
) -> None:
    database = double_database("2030.06.20")
    release = double_release("2030.06.20", database)
    version = "SELECT xmin FROM pg_proc WHERE proname = 'notify_spatial_update'"
    before = psql(database, version)
    release.manage("check")
    assert psql(database, version) != before

    read_only = release.environment(PGOPTIONS="-c default_transaction_read_only=on")
    refused = release.manage("check", env=read_only, check=False)
    assert refused.returncode == 1 and "read-only transaction" in refused.stderr
    release.manage("showmigrations", "--skip-checks", env=read_only)
    release.manage("migrate", "--check", "--skip-checks", env=read_only)


def test_any_manage_py_flips_triggers_by_its_own_settings(double_release: Releases, double_database: Databases) -> None:
    database = double_database()
    double_release(database=database, more="HISTORY_TRACKING = False\n").manage("check")
    assert psql(database, TRIGGERS) == "0"
    double_release(database=database).manage("check")
    assert psql(database, TRIGGERS) == "27"


def test_p11_migrations_from_the_future_go_unnoticed(double_release: Releases, double_database: Databases) -> None:
    database = double_database("2030.12.21")
    older = double_release("2030.06.20", database)
    older.manage("migrate", "--check")
    assert "No migrations to apply" in older.manage("migrate").stdout
    assert "0009" not in older.manage("showmigrations", "catmaid").stdout
    assert "No planned migration operations." in older.manage("migrate", "--plan").stdout
    applied = "SELECT count(*) FROM django_migrations WHERE app = 'catmaid' AND name >= '0009'"
    assert psql(database, applied) == "2"


def test_p12_static_files_need_the_compressor_on_path(double_release: Releases, double_database: Databases) -> None:
    release = double_release(database=double_database())
    collect = ("collectstatic", "-l", "--noinput")
    bare = release.environment(PATH="/usr/bin:/bin")
    failed = release.manage(*collect, env=bare, check=False)
    assert failed.returncode == 1 and "CompressorError" in failed.stderr and "cssmin" in failed.stderr
    assert (release.static / "css" / "catmaid.css").is_symlink()
    assert not (release.static / "staticfiles.json").exists()

    release.manage(*collect)
    assert (release.static / "staticfiles.json").exists()
    assert (release.static / "js" / "catmaid.js").is_symlink()
    assert (release.static / "css" / "catmaid.css").read_text() == "body{color:#333;font-family:sans-serif}"
    # Never idempotent by its words.
    for _ in range(2):
        again = release.manage(*collect).stdout
        assert "1 static file symlinked to" in again and "post-processed" in again

    asked = release.manage("collectstatic", "-l", check=False)
    assert asked.returncode == 1 and "EOFError" in asked.stderr


def test_pages_need_the_static_files_of_their_own_release(double_release: Releases, double_database: Databases) -> None:
    release = double_release(database=double_database())
    with release.serve() as get:
        assert get("/")[0] == 500
        assert get("/version")[0] == 200


def test_p13_create_configuration_garbles_secrets(double_release: Releases) -> None:
    django = double_release().source / "django"
    example = (django / "configuration.py.example").read_text()
    values = {
        "abs_catmaid_path = ''": f"abs_catmaid_path = {str(django.parent)!r}",
        "catmaid_database_password = ''": r"catmaid_database_password = 'p4ss//w\\g<0>rd'",
        "catmaid_servername = ''": "catmaid_servername = 'localhost'",
    }
    for old, new in values.items():
        example = example.replace(old, new)
    (django / "configuration.py").write_text(example)
    settings = django / "projects" / "mysite" / "settings.py"
    texts = []
    for _ in range(2):
        run(["python3", "create_configuration.py"], cwd=django)
        texts.append(settings.read_text())
    assert "'PASSWORD': 'p4ss/wCATMAID_DATABASE_PASSWORDrd'" in texts[0]
    assert "ALLOWED_HOSTS = ['localhost']" in texts[0] and "\n# FORCE_SCRIPT_NAME" in texts[0]
    keys = [line for text in texts for line in text.splitlines() if line.startswith("SECRET_KEY")]
    assert len(set(keys)) == 2
    backups = list(settings.parent.glob("settings.py.backup-*"))
    assert [backup.read_text() for backup in backups] == texts[:1]

    # With another folder as the current one it does not even find its configuration.
    assert run(["python3", str(django / "create_configuration.py")], cwd="/", check=False).returncode == 1
    assert not run(["git", "-c", "safe.directory=*", "status", "--short"], cwd=django).stdout


def test_p14_a_restore_changes_the_order_of_columns(double_database: Databases, tmp_path: Path) -> None:
    database, copy = double_database(), double_database(treenodes=0)
    psql("postgres", f'DROP DATABASE "{copy}"')
    psql("postgres", f'CREATE DATABASE "{copy}" OWNER {ROLE}')
    pipe = f'pg_dump -Fc "{database}" | pg_restore --exit-on-error -d "{copy}"'
    run(["runuser", "-u", "postgres", "--", "bash", "-o", "pipefail", "-c", pipe], cwd="/")
    order = """SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
               WHERE attrelid = 'connector'::regclass AND attnum > 0"""
    assert psql(database, order).endswith("confidence txid")
    assert psql(copy, order).endswith("txid confidence")
    for table in ("connector", "treenode", "location", "class_instance", "treenode__history", *MATERIALIZED):
        assert fingerprint(copy, table) == fingerprint(database, table)
    as_is = "SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM connector c"
    assert psql(copy, as_is) != psql(database, as_is)


def test_p19_the_first_superuser_is_number_two(double_release: Releases, double_database: Databases) -> None:
    database = double_database("2030.06.20", treenodes=0)
    release = double_release("2030.06.20", database)
    examples = "catmaid_insert_example_projects"
    refused = release.manage(examples, "--user=1", check=False)
    assert refused.returncode == 1 and "ImproperlyConfigured: Couldn't find any super user" in refused.stderr

    password = release.environment(DJANGO_SUPERUSER_PASSWORD="secret")
    create = ("createsuperuser", "--noinput", "--username=admin")
    assert release.manage(*create, "--email=a@b.c", env=password, check=False).returncode == 1
    release.manage(*create, "--email=admin@example.org", env=password)
    assert psql(database, "SELECT id, username FROM auth_user ORDER BY id") == "1|AnonymousUser\n2|admin"
    release.manage(examples, "--user=2")
    assert psql(database, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM project") == "-1 1 2 3"


def test_p27_a_reader_of_auth_user_blocks_a_migration(double_release: Releases, double_database: Databases) -> None:
    database = double_database()
    release = double_release("2030.06.20", database)
    impatient = release.environment(PGOPTIONS="-c lock_timeout=1s")
    with session_that_runs(database, "LOCK TABLE auth_user IN ACCESS SHARE MODE"):
        blocked = release.manage("migrate", env=impatient, check=False)
    assert blocked.returncode == 1 and "LockNotAvailable" in blocked.stderr
    names = "SELECT string_agg(name, ' ' ORDER BY name) FROM django_migrations WHERE app = 'catmaid' AND name > '0006'"
    assert psql(database, names) == "0006_add_deep_link_model 0007_add_project_metadata"
    release.manage("migrate", env=impatient)


@pytest.mark.parametrize("command", ["showmigrations --skip-checks", "migrate --check", "migrate --skip-checks"])
def test_the_oldest_release_lacks_later_options(
    double_release: Releases, double_database: Databases, command: str
) -> None:
    database, arguments = double_database(), command.split()
    refused = double_release(database=database).manage(*arguments, check=False)
    assert refused.returncode == 2 and f"unrecognized arguments: {arguments[1]}" in refused.stderr
    newer = double_release("2030.06.20", database).manage(*arguments, check=False)
    assert newer.returncode == (1 if arguments == ["migrate", "--check"] else 0)


def test_the_oldest_release_knows_no_superuser_by_environment(
    double_release: Releases, double_database: Databases
) -> None:
    database = double_database(treenodes=0)
    release = double_release(database=database)
    password = release.environment(DJANGO_SUPERUSER_PASSWORD="secret")
    release.manage("createsuperuser", "--noinput", "--username=admin", "--email=admin@example.org", env=password)
    assert psql(database, "SELECT password LIKE '!%' FROM auth_user WHERE username = 'admin'") == "t"


def test_the_statistics_command_changes_its_name(double_release: Releases, double_database: Databases) -> None:
    database = double_database()
    old, new = double_release(database=database), double_release("2030.06.20", database)
    names = {old: "catmaid_populate_summary_tables", new: "catmaid_refresh_node_statistics"}
    for release, name in names.items():
        assert "Computed statistics for project 1\n" in release.manage(name, "--clean").stdout
    for release, name in zip(names, reversed(names.values())):
        unknown = release.manage(name, check=False)
        assert unknown.returncode == 1 and f"Unknown command: '{name}'" in unknown.stderr


@pytest.mark.parametrize("command", ["catmaid_rebuild_all_materializations", "catmaid_populate_summary_tables --clean"])
def test_who_kills_the_statistics_leaves_an_empty_table(
    double_release: Releases, double_database: Databases, command: str
) -> None:
    database = double_database()
    release = double_release(database=database)
    release.manage("catmaid_populate_summary_tables")
    full = "(SELECT count(*) > 0 FROM catmaid_stats_summary)"
    assert psql(database, f"SELECT {full}") == "t"
    # The reviews are read by nothing but the statistics, so it stops exactly between emptying and filling.
    with session_that_runs(database, "LOCK TABLE review IN ACCESS EXCLUSIVE MODE"):
        process = release.start(*command.split())
        wait_for(database, f"NOT {full}")
        process.kill()
        process.communicate()
        psql(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'catmaid_user'")
    assert psql(database, f"SELECT {full}") == "f"


def test_stdout_is_clean_and_stderr_chatty(double_release: Releases, double_database: Databases) -> None:
    result = double_release(database=double_database()).manage("showmigrations", "catmaid")
    assert result.stdout.startswith("catmaid\n [X] 0001_initial\n")
    assert "INFO" in result.stderr and "WARNING" in result.stderr and "CATMAID version 2030.01.15" in result.stderr


def test_media_folders_are_made_by_who_comes_first(double_release: Releases, double_database: Databases) -> None:
    release = double_release(database=double_database())
    assert not list(release.media.iterdir())
    release.manage("check")
    assert {"hdf5", "cropping", "cache"} <= {path.name for path in release.media.iterdir()}
    assert {path.owner() for path in release.media.iterdir()} == {"catmaid"}


@pytest.mark.parametrize("more", ["STATIC_EXTENSION_FILES = ('a.js',)\n", "NODE_LIST_MAXIMUM_COUNT = '3500'\n"])
def test_settings_of_the_wrong_type_are_refused(double_release: Releases, more: str) -> None:
    refused = double_release(database="any", more=more).manage("check", check=False)
    assert refused.returncode == 1 and "ImproperlyConfigured" in refused.stderr


def test_git_distrusts_a_checkout_of_another_user(double_release: Releases, double_database: Databases) -> None:
    release = double_release(database=double_database())
    with release.serve() as get:
        assert get("/version")[1] == '{"SERVER_VERSION": "2030.01.15"}'
    run(["chown", "root:", str(release.source), str(release.source / ".git")])
    with release.serve() as get:
        assert get("/version")[1] == '{"SERVER_VERSION": "2030.01.15-unknown"}'


def test_workers_listen_and_keep_a_connection(double_release: Releases, double_database: Databases) -> None:
    database = double_database()
    more = "SPATIAL_UPDATE_NOTIFICATIONS = True\nNODE_PROVIDERS = [('cached_msgpack_grid', {'enabled': True})]\n"
    release = double_release(database=database, more=more)
    filled = release.manage("catmaid_update_cache_tables", "--cache", "grid", "--from-config")
    assert "Checking node provider cached_msgpack_grid" in filled.stdout and filled.stdout.endswith("Done\n")
    workers = [release.start(f"catmaid_{name}_update_worker") for name in ("spatial", "cache")]
    try:
        listeners = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        wait_for(database, f"({listeners}) = 2")
        moment = psql(database, "SELECT now()")
        psql(database, "UPDATE treenode SET radius = 7 WHERE id = (SELECT min(id) FROM treenode)")
        wait_for(database, f"(SELECT count(*) > 0 FROM node_grid_cache_cell WHERE update_time > '{moment}')")
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_the_slow_migration_can_be_killed_in_the_middle(double_release: Releases, double_database: Databases) -> None:
    database = double_database("2030.06.20")
    release = double_release("2030.12.21", database)
    psql("postgres", f"ALTER DATABASE \"{database}\" SET catmaid.slow_seconds = '4'")
    process = release.start("migrate")
    wait_for(
        database,
        "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%slow_seconds%' AND state = 'active' "
        "AND pid <> pg_backend_pid())",
    )
    process.kill()
    process.communicate()
    # The server goes on until it wants to answer.
    wait_for(database, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'catmaid_user')")
    assert psql(database, "SELECT to_regclass('catmaid_sampler') IS NULL") == "t"
    psql("postgres", f"ALTER DATABASE \"{database}\" SET catmaid.slow_seconds = '0'")
    release.manage("migrate")
    assert psql(database, "SELECT to_regclass('catmaid_sampler') IS NULL") == "f"
