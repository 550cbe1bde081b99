# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module database_scrub leaves no secret anywhere in a database, and the work of people as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.double_fixtures import PASSWORD, ROLE, psql, run, wait_for
from tests.integration.instances import ROWS, finish, session_that_runs, start

pytestmark = pytest.mark.once("trixie")

# Tables of Django's extensions and of CATMAID that the double lacks, by the names that they have there.
TABLES = """
CREATE TABLE authtoken_token (key varchar(40) PRIMARY KEY, user_id int NOT NULL, created timestamptz DEFAULT now());
CREATE TABLE authtoken_token__history (history_id serial, key varchar(40), user_id int);
CREATE TABLE account_emailaddress (id serial, email varchar(254) UNIQUE, user_id int);
CREATE TABLE socialaccount_socialaccount (id serial PRIMARY KEY, uid text, extra_data text);
CREATE TABLE socialaccount_socialtoken (id serial, token text, token_secret text,
    account_id int REFERENCES socialaccount_socialaccount);
DROP TABLE catmaid_deep_link;
CREATE TABLE catmaid_deep_link (id serial, alias text, password varchar(255) NOT NULL);
CREATE TABLE catmaid_project_token (id serial PRIMARY KEY, token uuid NOT NULL);
CREATE TABLE catmaid_user_project_token (id serial, project_token_id int REFERENCES catmaid_project_token);
CREATE TABLE message (id serial, user_id int, text text);
CREATE TABLE client_data (id serial, key varchar(255), value jsonb);
CREATE TABLE stack_mirror (id serial, image_base text);
CREATE TABLE data_view (id serial, config text);
CREATE TABLE "a note's" ("its text" text, "as json" json)"""
SECRETS = {
    "address": "ada.lovelace@lab.example",
    "old address": "ada@old.example",
    "other address": "it's.bob+1@lab.example",
    "hash": "pbkdf2_sha256$180000$c2FsdA$aGFzaGFzaGFzaGFzaGFzaA==",
    "session": "x3k9session0key1x3k9session0key2",
    "token": "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
    "old token": "0044b09199c62bcf9418ad846dd0e4bbdfc6ee4c",
    "social": "ya29.social-token-of-somebody",
    "link": "passw0rd-of-a-link",
    "project": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "message": "come to my office",
    "url": "tiles:of-the-lab",
    "first of two urls": "one:of-two",
    "second of two urls": "two:of-two",
    "client": "key-of-another-catmaid",
}


def fill(database: str) -> None:
    """Let secrets stand where they belong, and where people have put them."""
    s = {name: value.replace("'", "''") for name, value in SECRETS.items()}
    psql(
        database,
        TABLES + f""";
        UPDATE auth_user SET email = '{s["address"]}', password = '{s["hash"]}'
         WHERE id = (SELECT min(id) FROM auth_user);
        UPDATE auth_user SET email = '{s["other address"]}', username = '{s["other address"]}'
         WHERE id = (SELECT max(id) FROM auth_user);
        INSERT INTO django_session VALUES ('{s["session"]}', 'data', now());
        INSERT INTO authtoken_token (key, user_id) VALUES ('{s["token"]}', 1);
        INSERT INTO authtoken_token__history (key, user_id) VALUES ('{s["old token"]}', 1);
        INSERT INTO account_emailaddress (email, user_id) VALUES ('{s["old address"]}', 1);
        INSERT INTO socialaccount_socialaccount (uid, extra_data) VALUES ('1', '{{"email": "{s["address"]}"}}');
        INSERT INTO socialaccount_socialtoken (token, token_secret, account_id) VALUES ('{s["social"]}', '', 1);
        INSERT INTO catmaid_deep_link (alias, password) VALUES ('a', '{s["link"]}');
        INSERT INTO catmaid_project_token (token) VALUES ('{s["project"]}');
        INSERT INTO catmaid_user_project_token (project_token_id) VALUES (1);
        INSERT INTO message (text) VALUES ('{s["message"]}');
        INSERT INTO client_data (key, value) VALUES ('remotes', '{{"key": "{s["client"]}"}}');
        INSERT INTO stack_mirror (image_base) VALUES ('https://{s["url"]}@tiles.example/1'), ('https://a.example/@:2');
        INSERT INTO data_view (config) VALUES ('["http://{s["first of two urls"]}@a.example/",'
            '"http://{s["second of two urls"]}@b.example/","http://c.example","d@e"]');
        INSERT INTO "a note's" VALUES ('write to {s["address"]} or {s["old address"]}', '{{"t": "{s["token"]}"}}');
        UPDATE class_instance SET name = 'by {s["address"]}' WHERE id = (SELECT max(id) FROM class_instance)""",
    )  # fmt: skip


def dump(database: str) -> str:
    """Return all of a database as text."""
    return run(["runuser", "-u", "postgres", "--", "pg_dump", "-d", database], cwd="/").stdout


def scrub(database: str, **more: Any) -> dict[str, Any]:
    return finish(start("database_scrub", login_db=database, confirm=more.pop("confirm", database), **more))


@pytest.fixture
def database(double_database: Callable[..., str]) -> str:
    name = double_database("2030.06.20", 1000)
    fill(name)
    return name


def test_no_secret_is_left_anywhere(database: str) -> None:
    before = dump(database)
    assert all(secret in before for secret in SECRETS.values())
    rows = psql(database, ROWS)
    nodes = "SELECT count(*), sum(hashtext(t::text)) FROM ONLY treenode t"
    tracing = psql(database, nodes)

    assert scrub(database, confirm="another")["failed"]
    with session_that_runs(database, "SELECT 1"):
        assert "somebody is connected to it" in scrub(database)["msg"]
    planned = scrub(database, label="COPY", domain="training.example", _ansible_check_mode=True)
    assert planned["changed"] and psql(database, ROWS) == rows

    done = scrub(database, label="COPY", domain="training.example")
    assert not done.get("failed"), done
    assert {name: done[name] for name in planned if name != "invocation"} == {
        name: planned[name] for name in planned if name != "invocation"
    }
    after = dump(database)
    assert [name for name, secret in SECRETS.items() if secret in after] == []
    # What was done is told, and by that no secret.
    assert not any(secret in str(done) for secret in SECRETS.values())
    assert done["emptied"]["public.authtoken_token"] == 1
    assert set(done["elsewhere"]) >= {"public.a note's.its text", "public.class_instance.name"}
    # The work of people is as it was, and it is said whose it is.
    assert psql(database, nodes) == tracing
    assert psql(database, "SELECT count(*) FROM auth_user WHERE password !~ '^!' OR email <> ''") == "0"
    assert psql(database, "SELECT count(DISTINCT username) = count(*) FROM auth_user") == "t"
    assert psql(database, "SELECT string_agg(image_base, ' ' ORDER BY id) FROM stack_mirror WHERE id > 0").endswith(
        "@tiles.example/1 https://a.example/@:2"
    )
    assert psql(database, "SELECT config FROM data_view").endswith('@b.example/","http://c.example","d@e"]')
    assert psql(database, "SELECT domain FROM django_site") == "training.example"
    assert psql(database, "SELECT bool_and(title LIKE 'COPY: %') AND count(*) > 0 FROM project") == "t"

    again = scrub(database, label="COPY", domain="training.example")
    assert not again["changed"], again
    assert dump(database).count("COPY: ") == after.count("COPY: ")


def test_what_is_to_be_kept_is_kept(database: str) -> None:
    done = scrub(database, keep=["emails", "tokens", "history"])
    assert not done.get("failed"), done
    after = dump(database)
    left = {name for name, secret in SECRETS.items() if secret in after}
    assert left == {"address", "old address", "other address", "token", "old token", "project"}
    assert "value of keep must be one or more of" in scrub(database, keep=["everything"])["msg"]


# An index that takes its time, so that a restore can be killed while the rows are there and nothing is taken out yet
SLOW = """CREATE FUNCTION slow(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN PERFORM pg_catalog.pg_sleep(3); RETURN $1; END';
CREATE INDEX slowly ON django_session (slow(session_key))"""
ABOUT = "SELECT datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{}'"
BUSY = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{}' AND backend_type = 'client backend' {})"

OWNERS = """
SELECT pg_get_userbyid(relowner), count(*) FROM pg_class c WHERE relnamespace > 16000 OR relnamespace = 2200 GROUP BY 1
UNION ALL SELECT pg_get_userbyid(proowner), count(*) FROM pg_proc WHERE pronamespace > 16000 OR pronamespace = 2200
GROUP BY 1
UNION ALL SELECT pg_get_userbyid(typowner), count(*) FROM pg_type WHERE typnamespace > 16000 OR typnamespace = 2200
GROUP BY 1"""


def as_owner(database: str) -> str:
    """Return what the application is told that asks a database something."""
    argv = ["psql", "-XAtc", "SELECT 1", "-h", "localhost", "-U", ROLE, "-d", database]
    asked = run(argv, env={**os.environ, "PGPASSWORD": PASSWORD}, check=False)
    return asked.stdout.strip() + asked.stderr


def test_a_restore_that_is_killed_shows_nobody_what_was_not_scrubbed(database: str, dest: str) -> None:
    psql(database, SLOW)
    archive = finish(start("pg_dump", login_db=database, dest=dest))["path"]
    copy = f"{database}_copy"
    wanted = {"login_db": copy, "archive": archive, "scrub": {"label": "COPY"}}
    there = finish(start("pg_restore", **wanted | {"login_db": database}))
    assert "others could use before it is scrubbed" in there["msg"]
    assert "is a whole one" in finish(start("pg_restore", **wanted, sections=["pre-data"]))["msg"]
    try:
        running = start("pg_restore", **wanted)
        wait_for("postgres", BUSY.format(copy, "AND query LIKE 'CREATE INDEX slowly%'"))
        running.kill()
        running.communicate()
        assert SECRETS["address"] in dump(copy)
        assert psql("postgres", ABOUT.format(copy)) == "0|catmaid.admin: unfinished"
        assert "too many connections" in as_owner(copy)
        swap = finish(start("database_swap", login_db=database, replacement=copy, keep_as=f"{database}_kept"))
        assert "was never finished" in swap["msg"]
        wait_for("postgres", f"NOT {BUSY.format(copy, '')}")

        # The next one drops that, and what it makes is a copy, open to its owner.
        done = finish(start("pg_restore", **wanted))
        assert not done.get("failed"), done
        after = dump(copy)
        assert [name for name, secret in SECRETS.items() if secret in after] == []
        assert done["scrubbed"]["emptied"]["public.django_session"] == 1
        assert not any(secret in str(done) for secret in SECRETS.values())
        assert psql("postgres", ABOUT.format(copy)) == "-1|Copy of another instance, made by catmaid.admin"
        assert as_owner(copy) == "1"
    finally:
        run(["runuser", "-u", "postgres", "--", "dropdb", "--force", "--if-exists", copy], cwd="/")


def test_a_copy_belongs_to_its_own_role(database: str, dest: str) -> None:
    """And to nobody else; what belonged to others stays theirs, and so does the original."""
    psql(
        database,
        f"""SET ROLE {ROLE}; CREATE TYPE span AS RANGE (subtype = int); CREATE DOMAIN short AS text;
        CREATE SCHEMA "a lab's"; CREATE VIEW "a lab's".nodes AS SELECT id FROM treenode;
        CREATE FUNCTION "a lab's".one(IN int, OUT int) LANGUAGE sql AS 'SELECT $1';
        CREATE AGGREGATE all_of(int) (sfunc = int4pl, stype = int); CREATE STATISTICS two ON id, title FROM project;
        RESET ROLE; CREATE TABLE of_others (id int); GRANT SELECT ON of_others TO {ROLE}""",
    )
    whose = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{}'"
    archive = finish(start("pg_dump", login_db=database, dest=dest))["path"]
    copy, role = f"{database}_copy", f"role of {database}"
    psql("postgres", f'CREATE ROLE "{role}"')
    try:
        done = finish(start("pg_restore", login_db=copy, archive=archive, owner=role, scrub={}))
        assert not done.get("failed"), done
        assert psql("postgres", whose.format(copy)) == role
        assert psql("postgres", whose.format(database)) == ROLE
        owned = psql(database, OWNERS).replace(ROLE, role)
        assert sorted(psql(copy, OWNERS).splitlines()) == sorted(owned.splitlines())
        # It can do there what the original's role can in the original.
        psql(copy, f'''SET ROLE "{role}"; UPDATE project SET title = title; DROP VIEW "a lab's".nodes''')
    finally:
        run(["runuser", "-u", "postgres", "--", "dropdb", "--force", "--if-exists", copy], cwd="/")
        psql("postgres", f'DROP ROLE "{role}"')
