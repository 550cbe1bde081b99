# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where statements of a plain dump end, and what is done with each."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import plain, statements
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.script import Item, Script

HEAD = b"--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.18 (Debian 15.18-0)\n"
FOOT = b"--\n-- PostgreSQL database dump complete\n--\n\n"


class Pieces:
    """A file that gives so many bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._pieces = [content[at : at + size] for at in range(0, len(content), size)]

    def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def read(content: bytes, size: int = 7) -> tuple[list[Item], list[bytes], Script]:
    """Return the items of a script, the rows behind each COPY, and the script."""
    script = Script("it", Pieces(content, size))
    items, rows = [], []
    for item in script.items():
        items.append(item)
        if item.rows:
            rows.append(b"".join(script.rows()))
    return items, rows, script


WHOLE = [
    b"SELECT 1;",
    b"SELECT ';', 'it''s; \\', \"a;\"\"b\\\";",
    b"SELECT E'\\';\\\\', e'''; \\'';",
    b"SELECT E'a'\n  -- more\n 'b\\';c';",
    b"SELECT $$;'$$, $a$ $$;\\! $b$ ; $a$, a$b$;",
    b"SELECT 1 -- ;' \\!\n;",
    b"SELECT 1 /* ; /* ' */ \\! ; */ ;",
    b"CREATE RULE r AS ON INSERT TO t DO INSTEAD (SELECT 1; SELECT 2);",
    b"CREATE FUNCTION f() RETURNS int\n BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n SELECT 2;\nEND;",
    b"CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); END;",
    b"CREATE VIEW v AS SELECT 1 AS begin;",
    b"INSERT INTO t VALUES ('\n-- Name: x; Type: INDEX; Schema: y; Owner: z\nDROP DATABASE live;\n\\connect x\n');",
    "INSERT INTO ü VALUES ('é;');".encode(),
]


@pytest.mark.parametrize("size", [1, 5, 1000000])
@pytest.mark.parametrize("text", WHOLE)
def test_a_statement_ends_where_the_server_ends_it(text: bytes, size: int) -> None:
    items, _rows, _script = read(b"-- before\n" + text + b"\nSELECT 'after';\n", size)
    assert [item.text.strip() for item in items] == [text, b"SELECT 'after';"]
    assert not any(item.command for item in items)


@pytest.mark.parametrize("size", [1, 3, 1000000])
def test_rows_are_nothing_but_rows(size: int) -> None:
    rows = b"\\\\connect x\nDROP DATABASE live;\n'\t$$\n\\\\.\n\\.x\nx\\.\n-- PostgreSQL database dump complete\n\\N\n"
    content = b'COPY public.t (a, "b;c") FROM stdin;\n' + rows + b"\\.\n\n\nCOPY u FROM stdin;\n\\.\nSELECT 1;\n"
    items, found, script = read(content, size)
    assert [item.rows for item in items] == [True, True, False]
    assert found == [rows, b""]
    assert not script.complete
    assert items[-1].line == content[: content.index(b"SELECT 1")].count(b"\n") + 1
    passed = Script("it", Pieces(content, size))
    assert [item.text for item in passed.items()] == [item.text for item in items]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"COPY t FROM stdin;\n1\n2", "middle of the rows"),
        (b"COPY t FROM stdin;\n", "middle of the rows"),
        (b"COPY t FROM stdin; SELECT 1;\n\\.\n", "behind COPY"),
        (b"CREATE TABLE t (\n a int", "middle of the statement in line 1"),
        (b"SELECT 1;\nSELECT 'a\n", "middle of the statement in line 2"),
    ],
)
def test_what_is_cut_short_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(CatmaidError, match=message):
        read(content)


def test_sections_and_entries_are_those_of_pg_dump() -> None:
    items, _rows, script = read(
        HEAD + b"SET lock_timeout = 0;\n"
        b"--\n-- Name: t; Type: TABLE; Schema: public; Owner: some one; Tablespace: fast\n--\n\nCREATE TABLE t ();\n"
        b"--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: some one\n--\n\nCOPY t FROM stdin;\n\\.\n\n"
        b"--\n-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: x\n--\n\nSELECT pg_catalog.setval('s', 1);\n"
        b"--\n-- Name: t i; Type: CONSTRAINT; Schema: public; Owner: x\n--\n\nALTER TABLE t ADD PRIMARY KEY (i);\n"
        b"--\n-- Name: t; Type: ACL; Schema: -; Owner: -\n--\n\nGRANT ALL ON TABLE t TO x;\n" + FOOT
    )
    assert [item.section for item in items] == ["pre-data", "pre-data", "data", "data", "post-data", "post-data"]
    assert [entry.line for entry in script.entries][:2] == ["TABLE public t some one", "TABLE DATA public t some one"]
    assert items[0].entry is None
    assert script.complete
    assert script.versions == {"from database version": "15.18"}


def decision(text: str, named: bool = True) -> str:
    """Return what is done with one statement."""
    name = b"-- Name: t; Type: TABLE; Schema: public; Owner: x\n" if named else b""
    items, _rows, script = read(name + text.encode() + b"\n")
    return statements.decide(items[0], script)


@pytest.mark.parametrize(
    "text",
    [
        "DROP DATABASE catmaid;",
        'DROP  DATABASE\n IF EXISTS "cat maid";',
        "/* x */ drop /**/ database catmaid;",
        "CREATE DATABASE catmaid WITH TEMPLATE = template0;",
        "ALTER DATABASE catmaid OWNER TO x;",
        "COMMENT ON DATABASE catmaid IS 'x';",
        "GRANT CONNECT,TEMPORARY ON DATABASE catmaid TO x;",
        "REVOKE ALL ON DATABASE catmaid FROM PUBLIC;",
        "SECURITY LABEL FOR x ON DATABASE catmaid IS 'y';",
        "ALTER ROLE \"x\" IN DATABASE catmaid SET a TO 'b';",
    ],
)
def test_leaves_out_what_is_about_another_database(text: str) -> None:
    assert decision(text) == statements.OTHER_DATABASE


@pytest.mark.parametrize(
    "text",
    [
        "DO $$ BEGIN END $$;",
        "DELETE FROM pg_database;",
        "UPDATE pg_catalog.pg_database SET datistemplate = true;",
        "VACUUM;",
        "CALL x();",
        "WITH x AS (SELECT 1) SELECT 1;",
        "COPY t FROM '/etc/passwd';",
        "COPY t TO PROGRAM 'id';",
        "COPY t TO PROGRAM 'id' -- FROM stdin\n;",
        "COPY (SELECT 1) TO '/tmp/x';",
        "CREATE ROLE x SUPERUSER;",
        "ALTER USER postgres PASSWORD 'x';",
        "ALTER ROLE postgres SET search_path TO x;",
        "ALTER SYSTEM SET fsync = off;",
        "DROP TABLESPACE x;",
        "GRANT postgres TO x;",
        "SELECT pg_read_file('/etc/passwd');",
        "SELECT pg_catalog.set_config('standard_conforming_strings', 'off', false);",
        "SELECT pg_catalog.setval('s', 1), pg_terminate_backend(1);",
        "SELECT lo_export(1, '/tmp/x');",
        "SET standard_conforming_strings = off;",
        "SET SESSION standard_conforming_strings = off;",
        "SET ROLE postgres;",
    ],
)
def test_refuses_what_pg_dump_does_not_write(text: str) -> None:
    with pytest.raises(CatmaidError, match="Look where the file comes from"):
        decision(text)


@pytest.mark.parametrize(
    "text",
    [
        "SET statement_timeout = 0;",
        "SET standard_conforming_strings = on;",
        "SET SESSION AUTHORIZATION 'x';",
        "SELECT pg_catalog.set_config('search_path', '', false);",
        "SELECT pg_catalog.setval('public.s', 5, true);",
        "SELECT pg_catalog.setval('public.\"it''s)\"', 5, false);",
        "SELECT pg_catalog.lo_create('16');",
        "CREATE TABLE database (a int);",
        "CREATE USER MAPPING FOR x SERVER y;",
        "GRANT SELECT ON TABLE public.database TO x;",
        "GRANT SELECT(a) ON TABLE public.t TO x WITH GRANT OPTION;",
        "INSERT INTO t VALUES (1);",
        "REFRESH MATERIALIZED VIEW v;",
        "ALTER TABLE t DROP COLUMN a;",
    ],
)
def test_runs_what_pg_dump_writes(text: str) -> None:
    assert decision(text) == statements.RUN


def test_leaves_out_what_clean_writes_in_front_of_all() -> None:
    for text in ("DROP TABLE t;", "ALTER TABLE t DROP CONSTRAINT c;", "CREATE OR REPLACE VIEW v AS SELECT 1;"):
        assert decision(text, named=False) == statements.CLEANING
    assert decision("CREATE SCHEMA public;") == statements.SCHEMA_THERE
    assert decision("BEGIN;") == statements.SILENT


def test_knows_the_roles_that_are_needed() -> None:
    for text, wanted in {
        'ALTER TABLE public.t OWNER TO "o ""1";': {'o "1'},
        "ALTER FUNCTION public.f(a text) OWNER TO o2;": {"o2"},
        "GRANT ALL ON TABLE t TO g WITH GRANT OPTION;": {"g"},
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;": set(),
        "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA public GRANT SELECT ON TABLES TO b;": {"a", "b"},
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT ' OWNER TO x' $$;": set(),
    }.items():
        assert statements.roles(read(text.encode())[0][0]) == wanted


def write(folder: Path, content: bytes) -> str:
    path = folder / "dump.sql"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\\! touch /tmp/owned\n", r"line 6: it holds the command \\! of psql"),
        (b"SELECT 1 \\! touch /tmp/owned\n;\n", r"\\! of psql"),
        (b"SELECT 'a' \\g | sh\n", r"\\g of psql"),
        (b"\\copy t from program 'id'\n", r"\\copy of psql"),
        (b"\\i /etc/passwd\n", r"\\i of psql"),
        (b"\\connect a \\! id\n", r"\\connect of psql"),
        (b"\\connect one\n\\connect -reuse-previous=on \"dbname='t w\\'o'\"\n", "several databases: one, t w'o"),
        (b"DROP DATABASE one;\n\\connect two\n", "several databases: one, two"),
        (b"-- PostgreSQL database cluster dump\nCREATE ROLE a;\n", "pg_dumpall wrote it.*only roles"),
        (b"-- PostgreSQL database cluster dump\n\\connect a\nCREATE ROLE a;\n\\connect b\n", "in it are: a, b"),
    ],
)
def test_surveys_no_dump_that_does_more_than_it_should(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(CatmaidError, match=message):
        plain.survey(write(tmp_path, HEAD + text + FOOT))


def test_surveys_one_dump(tmp_path: Path) -> None:
    content = (
        HEAD
        + b"\\restrict abc\nSET client_encoding = 'SQL_ASCII';\nSET transaction_timeout = 0;\nDROP DATABASE \"a b\";\n"
        b"CREATE DATABASE \"a b\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = icu LOCALE = 'C'"
        b" ICU_LOCALE = 'de';\nALTER DATABASE \"a b\" OWNER TO o;\n\\unrestrict abc\n"
        b"\\encoding SQL_ASCII\n\\connect -reuse-previous=on \"dbname='a b'\"\n\\restrict abc\n"
        b"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 FROM treenode_edge $$;\n"
        + FOOT
        + b"\\unrestrict abc\n"
    )
    found = plain.survey(write(tmp_path, content), ["treenode_edge", "edge"])
    assert found.databases == ["a b"]
    assert found.properties == {"encoding": "UTF8", "collate": "C", "ctype": "C", "owner": "o"}
    assert found.settings == {"client_encoding", "transaction_timeout"}
    assert found.mentioned == {"treenode_edge"}
    assert set(found.left_out.values()) == {statements.OTHER_DATABASE}
    assert "\\connect a b" in found.left_out
    for cut_short in (content.replace(FOOT, b""), content + HEAD + b"SELECT pg_catalog.setval('s', 1);\n"):
        with pytest.raises(CatmaidError, match="lacks the last line"):
            plain.survey(write(tmp_path, cut_short))


@pytest.mark.parametrize("size", [1, 1000000])
def test_rows_are_counted_by_their_tables(size: int) -> None:
    content = b"""
-- Data for Name: old style; Type: TABLE DATA; Schema: my schema; Owner: some body
COPY "old style" (a) FROM stdin;
1
\\.
COPY public.empty (a) FROM stdin;
\\.
COPY "a ""b"".c"."d.e" (a, "f(") FROM stdin;
(1\t2)
\\.x
\\.
INSERT INTO public.t VALUES (1, ('(2')), (2, ')');
INSERT INTO public.t (a, "VALUES") OVERRIDING SYSTEM VALUE VALUES
\t(1, 2),
\t(3, length('x'));
INSERT INTO public.t DEFAULT VALUES;
-- Data for Name: other; Type: TABLE DATA; Schema: my schema; Owner: some body
INSERT INTO other VALUES (1);
"""
    script = Script("it", Pieces(content, size))
    for _item in script.items():
        pass
    assert script.counted == {
        ("my schema", "old style"): 1,
        ("public", "empty"): 0,
        ('a "b".c', "d.e"): 2,
        ("public", "t"): 5,
        ("my schema", "other"): 1,
    }
