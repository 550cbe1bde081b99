# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests share: real modules, SQL as the superuser, a small database with CATMAID's names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
AS_POSTGRES = ["runuser", "-u", "postgres", "--"]
# Not by way of Debian's wrapper, which is a program in Perl: tests ask some thousand times.
(PSQL,) = map(str, Path("/usr/lib/postgresql").glob("*/bin/psql"))
NAMESPACE = "ansible_collections.catmaid.admin.plugins.modules"
# Names that need quotes in SQL, in a shell, in a URL and in libpq's connection strings.
ODD = 'Odd "na\'me" = Ü.\\x'
OWNER = "it owner"
PASSWORD = "a secret, of \"it\" 'owner'"

# Tables by CATMAID's names, with what makes them hard: inheritance, triggers that need a derived table, one trigger
# that is switched off, one constraint that was never validated, history, names that need quotes.
SCHEMA = f"""
SET ROLE "{OWNER}";
CREATE TABLE location (id bigserial PRIMARY KEY, x float8 NOT NULL);
CREATE TABLE treenode (parent_id bigint, PRIMARY KEY (id)) INHERITS (location);
CREATE TABLE treenode__history (id bigint, x float8, at timestamptz);
CREATE TABLE treenode_edge (id bigint PRIMARY KEY, parent_id bigint, edge lseg);
CREATE TABLE treenode_connector_edge (id bigint PRIMARY KEY);
CREATE TABLE connector_geom (id bigint);
CREATE TABLE catmaid_skeleton_summary (skeleton_id bigint PRIMARY KEY, num_imported_nodes bigint);
CREATE TABLE catmaid_stats_summary (id serial PRIMARY KEY, n_treenodes int);
CREATE TABLE node_query_cache (id serial PRIMARY KEY);
CREATE TABLE node_grid_cache_cell (id serial PRIMARY KEY);
CREATE TABLE django_migrations (id serial PRIMARY KEY, app text, name text, applied timestamptz DEFAULT now());
CREATE SCHEMA "Odd.Schema";
CREATE TABLE "Odd.Schema"."Odd.Table*" (a int);
CREATE TABLE "Odd.Schema"."odd_table" (a int);
CREATE TABLE "Odd.Schema".treenode_edge (a int);
CREATE TABLE "a.b" (a int);
CREATE FUNCTION on_treenode() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.treenode_edge VALUES (NEW.id, NEW.parent_id, lseg(point(NEW.x, 0), point(NEW.x, 1)));
  RETURN NEW;
END $$;
CREATE TRIGGER on_insert AFTER INSERT ON treenode FOR EACH ROW EXECUTE FUNCTION on_treenode();
CREATE TRIGGER switched_off AFTER UPDATE ON treenode FOR EACH ROW EXECUTE FUNCTION on_treenode();
ALTER TABLE treenode DISABLE TRIGGER switched_off;
CREATE VIEW roots AS SELECT id FROM treenode WHERE parent_id IS NULL;
INSERT INTO treenode (x, parent_id) SELECT n, nullif(n - 1, 0) FROM generate_series(1, 2000) n;
INSERT INTO location (x) SELECT n FROM generate_series(1, 7) n;
INSERT INTO treenode__history SELECT id, x, now() FROM treenode WHERE id % 10 = 0;
INSERT INTO catmaid_skeleton_summary SELECT n, n FROM generate_series(1, 20) n;
INSERT INTO catmaid_stats_summary (n_treenodes) SELECT n FROM generate_series(1, 9) n;
INSERT INTO node_query_cache SELECT n FROM generate_series(1, 5) n;
INSERT INTO node_grid_cache_cell SELECT n FROM generate_series(1, 6) n;
INSERT INTO django_migrations (app, name) VALUES ('contenttypes', '0001_initial'), ('catmaid', '0001_initial');
INSERT INTO "Odd.Schema"."Odd.Table*" SELECT n FROM generate_series(1, 3) n;
INSERT INTO "Odd.Schema"."odd_table" SELECT n FROM generate_series(1, 4) n;
INSERT INTO "Odd.Schema".treenode_edge VALUES (1);
INSERT INTO "a.b" VALUES (1), (2);
ALTER TABLE treenode__history ADD CONSTRAINT never_validated CHECK (x < 0) NOT VALID;
RESET ROLE;
"""
# Apart, because it makes everything slower: PostGIS, and a table that needs it.
SPATIAL = f"""
CREATE EXTENSION postgis;
SET ROLE "{OWNER}";
CREATE TABLE catmaid_volume (id serial PRIMARY KEY, geometry geometry(LineStringZ));
CREATE INDEX catmaid_volume_gix ON catmaid_volume USING gist (geometry);
INSERT INTO catmaid_volume (geometry)
  SELECT ST_MakeLine(ST_MakePoint(n, 0, 0), ST_MakePoint(n, 1, 1)) FROM generate_series(1, 100) n;
RESET ROLE;
"""


@dataclass(frozen=True)
class Run:
    """What a module left: its result, and everything that it wrote."""

    result: dict[str, Any]
    output: str

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return bool(self.result.get("failed"))

    @property
    def changed(self) -> bool:
        """Whether it says that it changed something."""
        assert not self.failed, self.result["msg"]
        return bool(self.result["changed"])

    @property
    def error(self) -> str:
        """The message of a module that failed."""
        assert self.failed, self.result
        return str(self.result["msg"])


def start_module(
    name: str, /, check: bool = False, diff: bool = False, through: Sequence[str] = (), **args: Any
) -> subprocess.Popen[str]:
    """Start a module as Ansible does: a process of its own with its arguments on standard input.

    ``through`` is a program that starts it, such as one that takes rights away.
    """
    internal = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_no_log": False}
    process = subprocess.Popen(
        [*through, sys.executable, "-m", f"{NAMESPACE}.{name}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=os.environ | {"PYTHONPATH": str(CHECKOUT.parents[2])},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {**args, **internal}}))
    process.stdin.close()
    process.stdin = None
    return process


def finish_module(process: subprocess.Popen[str]) -> Run:
    """Wait for a module and read its result."""
    output, _ = process.communicate(timeout=120)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    assert lines, output
    return Run(json.loads(lines[-1]), output)


def run_module(name: str, /, check: bool = False, diff: bool = False, **args: Any) -> Run:
    """Run a module to its end."""
    return finish_module(start_module(name, check, diff, **args))


def conninfo(database: str) -> str:
    """Return a database's name as a connection string."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def sql(database: str, text: str, *, port: int = 5432, host: str = "/var/run/postgresql") -> list[list[str]]:
    """Run SQL as the superuser; return the rows as text."""
    there = ["-h", host, "-p", str(port), conninfo(database)]
    done = subprocess.run(
        [*AS_POSTGRES, PSQL, "-XAtqF\x1f", "-R\x1e", "-v", "ON_ERROR_STOP=1", *there],
        input=text, capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = done.stdout.rstrip("\n").rstrip("\x1e")
    return [row.split("\x1f") for row in rows.split("\x1e")] if rows else []


def value(database: str, text: str) -> str:
    """Return the one value that a query gives."""
    return sql(database, text)[0][0]


def names() -> set[str]:
    """Return the names of all databases."""
    return {row[0] for row in sql("postgres", "SELECT datname FROM pg_database")}


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def unused(prefix: str = "it") -> str:
    """Return a name that no database has yet, and that needs quotes everywhere."""
    return f"{prefix} {ODD} {uuid.uuid4().hex[:6]}"


def drop(name: str) -> None:
    """Drop a database if it exists."""
    sql("postgres", f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


def rows(database: str) -> dict[str, int]:
    """Return the rows of every table of the test schema itself, those that inherit from it not counted."""
    listed = sql(
        database,
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'Odd.Schema')"
        " AND tablename <> 'spatial_ref_sys' ORDER BY 1",
    )
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM ONLY {name}" for (name,) in listed)
    return {name: int(number) for name, number in sql(database, counts)}


def processes(name: str, *words: str) -> list[int]:
    """Return the running processes of a program whose arguments hold all ``words``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if os.path.basename(argv[0]) == name and all(any(word in arg for arg in argv) for word in words):
                found.append(int(entry.name))
    return found


def is_proven(done: Run, database: str) -> bool:
    """Return whether all rows were compared with those that were counted in the archive."""
    there = rows(database)
    compared = (done.result["proved_by"], done.result["tables_compared"], done.result["rows_compared"])
    return compared == ("counted rows", len(there), sum(there.values())) and done.result["notes"] == []
