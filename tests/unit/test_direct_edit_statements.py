# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of SQL for a direct edit: what is refused before anything runs, and what only looks as if it had to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.edits import statements
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def read(folder: Path, content: str | bytes, encoding: str = "utf-8") -> list[str]:
    """Return the statements of a file."""
    path = folder / "an edit.sql"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    edit = statements.read(str(path), "an edit.sql", encoding)
    return [item.text.decode().strip() for item, _script in statements.items(edit)]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT 1;\nBEGIN; SELECT 2; COMMIT;", "line 2: BEGIN is about the transaction"),
        ("SELECT 1;\n/* a /* nested */ comment */ rollback;", "line 2: ROLLBACK is about the transaction"),
        ("START TRANSACTION", "START is about the transaction"),
        ("end", "END is about the transaction"),
        ("PREPARE TRANSACTION 'a'", "PREPARE is about the transaction"),
        ("SET TRANSACTION READ ONLY", "SET is about the transaction"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET is about the transaction"),
        ("SELECT 1\n\\gexec", "line 2: \\gexec is a command of psql"),
        ("\n\\i other.sql", "line 2: \\i is a command of psql"),
        ("\\copy a FROM 'b'", "line 1: \\copy is a command of psql"),
        ("VACUUM treenode", "VACUUM does not run in a transaction"),
        ("CREATE DATABASE other", "CREATE DATABASE is about the schema or the server"),
        ("ALTER TABLE treenode ADD a int", "ALTER TABLE is about the schema or the server"),
        ("COPY treenode TO '/tmp/a'", "COPY reads or writes files of the server"),
        ("COPY treenode FROM PROGRAM 'id'", "COPY reads or writes files of the server"),
        ("SET session_replication_role = origin", "it changes session_replication_role"),
        ('SET LOCAL "session_replication_role" TO DEFAULT', "it changes session_replication_role"),
        ("SELECT set_config('session_replication_role', 'origin', true)", "it changes session_replication_role"),
        ("DO $x$ BEGIN SET LOCAL session_replication_role = origin; END $x$", "it changes session_replication_role"),
        ("RESET ALL", "it changes session_replication_role"),
        ("DISCARD ALL", "it changes session_replication_role"),
        ("SELECT a, b, pg_catalog.setval('location_id_seq', 1)", "setval cannot be rolled back"),
        ("", "there is no statement in it"),
        (" -- nothing\n;;\n", "there is no statement in it"),
        ("SELECT 1;\n\nSELECT 'open;\n", "it ends in the middle of the statement in line 3"),
        ("COPY a FROM stdin;\n1\n", "it ends in the middle of the rows of a table"),
        (b"SELECT 1;\nSELECT '\xe9';", "line 2 is not written in utf-8"),
        ("SELECT 1".encode("utf-16"), "is not written in utf-8"),
        (b"SELECT 1;\nSELECT '\0'", "line 2 has a zero byte"),
    ],
)
def test_what_cannot_run_is_refused_with_its_line(tmp_path: Path, sql: str | bytes, told: str) -> None:
    with pytest.raises(CatmaidError) as caught:
        read(tmp_path, sql)
    assert told in str(caught.value) and "Nothing was changed." in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO note VALUES ('BEGIN; COMMIT; \\i x', E'it\\'s; ROLLBACK', $$; VACUUM; $$, $a$;\n\\copy$a$)",
        "UPDATE note SET text = 'session_replication_role' -- and session_replication_role in a comment; COMMIT;",
        '/* RESET ALL; */ DELETE FROM "commit" WHERE "begin" = 1',
        "SELECT set_config('statement_timeout', '1s', true)",
        "CREATE TEMPORARY TABLE ids AS SELECT 1",
        "UPDATE note SET setvalue = CASE WHEN a THEN 1 ELSE 2 END",
        "DO $$ BEGIN PERFORM 1; END $$",
        "WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a",
    ],
)
def test_what_only_looks_like_it_is_not_refused(tmp_path: Path, sql: str) -> None:
    assert len(read(tmp_path, sql)) == 1
    assert len(read(tmp_path, f"{sql}\n;\n")) == 1


def test_a_file_in_another_encoding_becomes_utf_8(tmp_path: Path) -> None:
    assert read(tmp_path, "SELECT 'Zoë'".encode("latin-1"), "latin-1") == ["SELECT 'Zoë'\n;"]
    assert read(tmp_path, "\ufeffSELECT 1;\nSELECT 2") == ["SELECT 1;", "SELECT 2\n;"]
    with pytest.raises(CatmaidError, match="there is no encoding klingon"):
        read(tmp_path, "SELECT 1", "klingon")
    with pytest.raises(CatmaidError, match="No such file"):
        statements.read(str(tmp_path / "nowhere"), "nowhere", "utf-8")
