# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module direct_edit keeps what is right, rolls back what is not, and says of both what they were."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.double_fixtures import PASSWORD, ROLE, Release, fingerprint, psql
from tests.integration.instances import Instance, finish, session_that_runs, snapshot, start

pytestmark = pytest.mark.once("bookworm")

MODULE = "direct_edit"
ROOT = "(SELECT min(id) FROM ONLY treenode WHERE parent_id IS NULL)"
LEAF = "(SELECT max(id) FROM ONLY treenode t WHERE NOT EXISTS (SELECT FROM treenode c WHERE c.parent_id = t.id))"


class Editor:
    """An instance, and a file to edit it by."""

    def __init__(self, instance: Instance, folder: Path) -> None:
        self.instance = instance
        self.database = instance.database
        self.file = folder / "an edit.sql"
        self.dest = folder / "edits of all"

    def parameters(self, sql: str | bytes, **more: Any) -> dict[str, Any]:
        """Write the file; return what the module is called with."""
        self.file.write_bytes(sql if isinstance(sql, bytes) else sql.encode())
        return {"src": str(self.file), "dest": str(self.dest), "lock_timeout": 1, **more}

    def run(self, sql: str | bytes, **more: Any) -> dict[str, Any]:
        return self.instance.run(MODULE, **self.parameters(sql, **more))

    def check(self, sql: str | bytes, **more: Any) -> dict[str, Any]:
        before = self.backups()
        result = self.instance.check(MODULE, **self.parameters(sql, **more))
        assert self.backups() == before
        return result

    def refused(self, sql: str | bytes, **more: Any) -> str:
        """Run what has to fail; nothing may be changed or left by it."""
        before = snapshot(self.database), self.backups()
        message = str(self.instance.fail(MODULE, **self.parameters(sql, **more))["msg"])
        assert (snapshot(self.database), self.backups()) == before
        return message

    def backups(self) -> list[Path]:
        """Return what is kept of edits."""
        return sorted(self.dest.glob("*/double_*"))


@pytest.fixture
def editor(double_release: Callable[..., Release], double_database: Callable[..., str], tmp_path: Path) -> Editor:
    database = double_database("2030.06.20", 1000)
    return Editor(Instance(double_release("2030.06.20", database), database), tmp_path)


def test_an_edit_is_backed_up_done_and_followed_by_what_is_derived(editor: Editor) -> None:
    sql = f"""-- BEGIN; a comment with 'quotes' and session_replication_role in it
        UPDATE treenode SET location_x = location_x + 100 WHERE id = {ROOT};
        DELETE FROM treenode WHERE id = {LEAF};
        UPDATE class_instance SET name = E'COMMIT; \\\\i it''s' || $a$; ROLLBACK;$a$
         WHERE id = (SELECT min(id) FROM class_instance)"""
    history = psql(editor.database, "SELECT count(*) FROM treenode__history")
    before = fingerprint(editor.database, "treenode")
    planned = editor.check(sql)
    done = editor.run(sql, requested_by="Jane of the lab")
    tables = {one["table"]: one for one in done["tables"]}
    assert tables["public.treenode"] == {
        "table": "public.treenode", "inserted": 0, "updated": 1, "deleted": 1, "before": 1000, "after": 999,
    }  # fmt: skip
    assert tables["public.class_instance"]["updated"] == 1 and set(tables) == {
        "public.treenode",
        "public.class_instance",
    }
    told = ("changed", "tables", "statements", "skeletons", "mended", "known_faults", "without_history", "diff")
    assert {name: planned[name] for name in told} == {name: done[name] for name in told}
    assert done["changed"] and done["statements"] == 3 and done["known_faults"] == [] and not planned["backup"]
    assert psql(editor.database, "SELECT name FROM class_instance ORDER BY id LIMIT 1") == "COMMIT; \\i it's; ROLLBACK;"

    # What triggers would have done is done, but for the history, and that is said.
    assert done["mended"]["catmaid_stats_summary"] == 0  # nobody has filled it before
    assert done["mended"]["treenode_edge"] >= 2 and done["mended"]["catmaid_skeleton_summary"] >= 1
    assert editor.instance.run("integrity")["sound"]
    assert done["without_history"] == ["class_instance", "treenode"]
    assert psql(editor.database, "SELECT count(*) FROM treenode__history") == history

    [line] = [json.loads(text) for text in (editor.dest / "direct-edits.jsonl").read_text().splitlines()]
    assert (line["by"], line["file"], line["database"]) == ("Jane of the lab", str(editor.file), editor.database)
    assert {one["table"]: one["deleted"] for one in line["tables"]} == {
        "public.treenode": 1,
        "public.class_instance": 0,
    }
    assert (editor.dest / f"{Path(done['backup']).name}.sql").read_text() == sql
    assert {path.stat().st_mode & 0o077 for path in editor.dest.iterdir()} == {0}

    # The command to look at what was there before says all that pg_restore needs.
    wanted = json.loads(shlex.split(line["undo"])[-1])
    scratch = f"{editor.database}_scratch"
    try:
        finish(
            start("pg_restore", login_db=scratch, archive=wanted["catmaid_restore_backup"],
                  tables=wanted["catmaid_restore_tables"], owner=ROLE)
        )  # fmt: skip
        assert fingerprint(scratch, "treenode") == before
    finally:
        psql("postgres", f'DROP DATABASE IF EXISTS "{scratch}"')


def test_what_changes_nothing_is_no_change(editor: Editor) -> None:
    before = snapshot(editor.database)
    for sql in (
        f"UPDATE treenode SET location_x = location_x WHERE id = {ROOT}",
        "SELECT 1;",
        "DELETE FROM treenode WHERE false",
    ):
        assert not editor.check(sql)["changed"]
        done = editor.run(sql)
        assert (done["changed"], done["backup"]) == (False, "")
    assert snapshot(editor.database) == before
    assert editor.backups() == []


FIRST_LINK = "(SELECT min(id) FROM treenode_connector)"
LAST_SKELETON = "(SELECT max(skeleton_id) FROM treenode)"


FAULTS = (
    (f"DELETE FROM class_instance WHERE id = {LAST_SKELETON}", "lead to no row of class_instance"),
    (f"UPDATE treenode_connector SET connector_id = -7 WHERE id = {FIRST_LINK}", "connector_id -7"),
    (f"UPDATE treenode SET parent_id = NULL WHERE id = {LEAF}", "has not one root, but 2"),
    (f"UPDATE treenode SET parent_id = id WHERE id = {LEAF}", "lead to no root"),
    (f"UPDATE treenode SET skeleton_id = {LAST_SKELETON} WHERE id = {ROOT}", "in another skeleton"),
    (
        f"UPDATE treenode SET parent_id = {LEAF} WHERE id = {ROOT}; UPDATE treenode SET skeleton_id = {LAST_SKELETON}",
        "rows of treenode_connector name another skeleton than their treenode does",
    ),
    ("DO $$ BEGIN EXECUTE 'ALTER TABLE treenode DISABLE TRIGGER ALL'; END $$", "has changed the schema"),
)


def test_a_new_fault_rolls_all_of_it_back(editor: Editor) -> None:
    for sql, told in FAULTS:
        message = editor.refused(f"UPDATE project SET title = 'other'; {sql}")
        assert told in message and "Nothing was changed." in message, message


def test_old_faults_are_told_and_stop_nobody(editor: Editor) -> None:
    psql(
        editor.database,
        "SET session_replication_role = replica;"
        f"UPDATE treenode_connector SET connector_id = -7 WHERE id = {FIRST_LINK}",
    )
    second = "UPDATE treenode_connector SET connector_id = {} WHERE id = (SELECT max(id) FROM treenode_connector)"
    assert "2 rows of treenode_connector" in editor.refused(second.format(-7))
    assert "connector_id -8" in editor.refused(second.format(-8))
    done = editor.run(
        "UPDATE treenode_connector SET confidence = 3 WHERE id = (SELECT max(id) FROM treenode_connector)"
    )
    assert done["changed"] and ["connector_id -7" in fault for fault in done["known_faults"]] == [True]


def test_what_goes_wrong_while_it_runs_is_told_with_its_line(editor: Editor) -> None:
    for sql, told in (
        (
            "SELECT 1;\n\nUPDATE treenode\n  SET nonsense = 1;",
            'line 4: column "nonsense" of relation "treenode" does not',
        ),
        ("SELECT 1;\nSELECTED 2;", 'line 2: syntax error at or near "SELECTED"'),
        ("SELECT 1;\nDO $$ BEGIN COMMIT; END $$;", "line 2: invalid transaction termination"),
        ("SELECT set_config('session_' || 'replication_role', 'origin', true)", "has set session_replication_role to"),
        ("\n\\i other.sql", "line 2: \\i is a command of psql"),
    ):
        message = editor.refused(sql)
        assert told in message, message
        assert str(editor.file) in message and "Nothing was changed" in message


def test_names_encodings_and_rows_of_copy(editor: Editor) -> None:
    encoded = "UPDATE class_instance SET name = 'Zoë' WHERE id = (SELECT min(id) FROM class_instance)".encode("latin-1")
    assert editor.run(encoded, encoding="latin-1")["changed"]
    assert psql(editor.database, "SELECT name FROM class_instance ORDER BY id LIMIT 1") == "Zoë"
    assert "there is no encoding klingon" in editor.refused(encoded, encoding="klingon")
    # Rows that have numbers of their own, beyond those that the sequence has given.
    user = psql(editor.database, "SELECT min(id) FROM auth_user")
    columns = "id, username, password, first_name, last_name, email, is_superuser, is_staff, is_active, date_joined"
    row = "\t".join(["7777", "BEGIN;", "!", "\\N"[:0], "\\\\i", "", "f", "f", "t", "2020-01-01"])
    done = editor.run(f"\ufeffCOPY auth_user ({columns}) FROM stdin;\n{row}\n\\.\nSELECT 1;\n")
    assert [one["inserted"] for one in done["tables"]] == [1] and done["statements"] == 2
    assert psql(editor.database, "SELECT last_name FROM auth_user WHERE id = 7777") == "\\i"
    assert (
        done["sequences"]
        and psql(editor.database, "SELECT nextval(pg_get_serial_sequence('auth_user', 'id'))") == "7778"
    )
    assert user != "7777"


def test_with_triggers_history_is_written_and_an_ordinary_role_will_do(editor: Editor) -> None:
    login = {"login_host": "localhost", "login_user": ROLE, "login_password": PASSWORD}
    sql = f"UPDATE treenode SET location_y = location_y + 5 WHERE id = {LEAF}"
    message = editor.refused(sql, **login)
    assert f"{ROLE} may not set session_replication_role, as only a superuser may" in message
    before = psql(editor.database, "SELECT count(*) FROM treenode__history")
    done = editor.run(sql, replica=False, **login)
    assert done["changed"] and done["without_history"] == []
    assert int(psql(editor.database, "SELECT count(*) FROM treenode__history")) == int(before) + 1
    assert editor.instance.run("integrity")["sound"]
    # With triggers on, what they refuse is refused.
    assert "violates foreign key" in editor.refused(
        "UPDATE treenode_connector SET connector_id = -7 WHERE id = (SELECT min(id) FROM treenode_connector)",
        replica=False,
    )


def test_who_holds_a_lock_is_named(editor: Editor) -> None:
    sql = f"UPDATE treenode SET confidence = 2 WHERE id = {LEAF}"
    with session_that_runs(editor.database, "UPDATE treenode SET confidence = 1", "a tracer"):
        message = editor.refused(sql)
    assert "application a tracer" in message and "waited 1 s for a lock" in message
    with session_that_runs(editor.database, f"UPDATE treenode SET confidence = 1 WHERE id = {ROOT}", "a tracer"):
        assert "the lock on treenode is held by" in editor.refused(sql)
    assert editor.run(sql)["changed"]


def test_a_file_that_does_something_else_the_second_time_is_rolled_back(editor: Editor) -> None:
    sql = """SELECT nextval('location_id_seq');
        DO $$ BEGIN IF (SELECT last_value % 2 = {} FROM location_id_seq) THEN UPDATE project SET title = 'x';
        ELSE UPDATE auth_user SET first_name = 'y'; END IF; END $$"""
    message = editor.refused(sql.format(0))
    assert "which it did not when it was tried a moment before" in message
