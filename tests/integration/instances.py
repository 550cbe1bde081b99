# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance of the double as the modules see it, and what must not change in a database that is only looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.integration.double_fixtures import PASSWORD, Release, psql, run

MODULES = "ansible_collections.catmaid.admin.plugins.modules"
HISTORY_TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%history_reg'"

# Every row of every table, sequences aside: a read that takes a number from one changes nothing that anybody sees.
ROWS = """
SELECT string_agg(relname || ' ' || (xpath('//n/text()', query_to_xml(format(
         'SELECT count(*) || '':'' || coalesce(sum(hashtext(t::text)), 0) AS n FROM ONLY %I.%I t', nspname, relname),
         false, true, '')))[1]::text, E'\\n' ORDER BY relname)
  FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace WHERE relkind = 'r' AND nspname = 'public'"""


def start(name: str, **parameters: Any) -> subprocess.Popen[str]:
    """Start a module as Ansible would on this host; its parameters come by standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"{MODULES}.{name}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": "/opt"},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": parameters}))
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a module and return its result. No password of the double may be in it."""
    stdout, stderr = process.communicate()
    assert PASSWORD not in stdout + stderr
    assert stdout.strip(), stderr
    result: dict[str, Any] = json.loads(stdout)
    return result


@dataclass
class Instance:
    """A release of the double on a database."""

    release: Release
    database: str

    def parameters(self, **more: Any) -> dict[str, Any]:
        """Return what every module is called with."""
        where = {"project_path": str(self.release.source), "virtualenv": str(self.release.env)}
        return {"login_db": self.database, **where, **more}

    def start(self, name: str, **parameters: Any) -> subprocess.Popen[str]:
        """Start a module."""
        return start(name, **self.parameters(**parameters))

    def fail(self, name: str, check: bool = False, **parameters: Any) -> dict[str, Any]:
        """Run a module that has to fail, and return its result."""
        result = finish(self.start(name, _ansible_check_mode=check, **parameters))
        assert result.get("failed"), result
        return result

    def run(self, name: str, **parameters: Any) -> dict[str, Any]:
        """Run a module that has to succeed."""
        result = finish(self.start(name, _ansible_diff=True, **parameters))
        assert not result.get("failed"), result
        return result

    def check(self, name: str, **parameters: Any) -> dict[str, Any]:
        """Run a module in check mode; the database and the source code must be as before, to the last trigger."""
        before = snapshot(self.database), self.files()
        result = self.run(name, _ansible_check_mode=True, **parameters)
        assert (snapshot(self.database), self.files()) == before
        return result

    def files(self) -> str:
        """Return all files of the source code and the media folder; compiled Python counts too."""
        return run(["find", str(self.release.source), str(self.release.media), "-not", "-path", "*/.git/*"]).stdout


def snapshot(database: str) -> str:
    """Return the schema and the rows of a database."""
    dump = ["runuser", "-u", "postgres", "--", "pg_dump", "--schema-only", "-d", database]
    schema = [
        line for line in run(dump, cwd="/").stdout.splitlines() if not line.startswith(("\\restrict", "\\unrest"))
    ]
    return "\n".join(schema) + psql(database, ROWS)


def without_history(database: str) -> None:
    """Switch history tracking off: system checks, if anything ran them, would switch it on again."""
    psql(database, "SELECT disable_history_tracking()")
    assert psql(database, HISTORY_TRIGGERS) == "0"


@contextmanager
def session_that_runs(database: str, sql: str, application: str = "a stranger") -> Iterator[None]:
    """Hold a transaction open in which these statements have run."""
    argv = ["runuser", "-u", "postgres", "--", "psql", "-XqAt", f"dbname={database} application_name='{application}'"]
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


# What the module does, with a pause between looking and rebuilding: both read the tables that the test locks.
REBUILD = """
import sys
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import rebuild
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.project import Project
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server
path, env, database, name = sys.argv[1:]
runner = Runner(Project(path, env), Server(), database)
before = rebuild.survey(runner, [name])
print("surveyed", flush=True)
sys.stdin.readline()
rebuild.rebuild(runner, [name], before, 0)
"""


@contextmanager
def surveyed(here: Instance, name: str) -> Iterator[subprocess.Popen[str]]:
    """Start a rebuild that has looked at a materialization, and waits for :func:`go_on`."""
    arguments = [str(here.release.source), str(here.release.env), here.database, name]
    with subprocess.Popen(
        [sys.executable, "-c", REBUILD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "surveyed\n"
        yield process


def go_on(process: subprocess.Popen[str]) -> None:
    """Let it rebuild."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
