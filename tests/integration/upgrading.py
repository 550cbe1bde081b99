# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A served instance of the double on this host, to be upgraded: releases side by side, unit, web site, database."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli import Program
from tests.integration.double_fixtures import ROLE, SERVICE_USER, Release, drop_database, psql, run
from tests.integration.support import Run, run_module

OLD, NEW = "2030.01.15", "2030.06.20"
DATABASE = "upgraded"
SERVICE = "catmaid-it"
PORT, APPLICATION, WEBSOCKETS, MORE_WEBSOCKETS = 8097, 8098, 8099, 8100
TABLESPACE = "small"
# In a hook: whoever has called it, the job or what undoes it, is killed, and waits for nothing.
KILL = "kill -KILL $PPID; sleep 60"

SERVER = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from mysite.wsgi import application

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

make_server("127.0.0.1", int(sys.argv[1]), application, Server).serve_forever()
"""

UNIT = """\
[Service]
User={user}
WorkingDirectory={root}/current/source/django/projects
Environment=PATH={root}/current/env/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
Environment=PYTHONPATH={root}/current/source/django/projects
ExecStart={root}/current/env/bin/python {root}/server.py {port}

[Install]
WantedBy=multi-user.target
"""

SITE = """\
server {{
    listen {web};
    server_name localhost;
    location /static/ {{ alias {root}/current/static/; }}
    location / {{
        if (-f {root}/state/maintenance.html) {{ return 503; }}
        proxy_set_header Host localhost;
        proxy_pass http://127.0.0.1:{application};
    }}
    location /channels/ {{
        proxy_pass http://127.0.0.1:{websockets};
        proxy_http_version 1.1;
        proxy_set_header Host localhost;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
    }}
    error_page 503 @maintenance;
    location @maintenance {{ root {root}/state; rewrite ^ /maintenance.html break; }}
}}
"""


@dataclass
class Served:
    """The instance."""

    root: Path
    program: str
    release: Callable[..., Release]
    template: Callable[..., str]
    service: str = SERVICE
    database: str = DATABASE
    port: int = PORT
    application: int = APPLICATION
    made: dict[str, Path] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.root / "state"

    def install(self) -> None:
        """Define unit and web site."""
        self.root.chmod(0o755)
        self.state.mkdir(exist_ok=True)
        (self.root / "server.py").write_text(SERVER)
        Path(f"/etc/systemd/system/{self.service}.service").write_text(
            UNIT.format(user=SERVICE_USER, root=self.root, port=self.application)
        )
        Path(f"/etc/nginx/sites-enabled/{self.service}").write_text(
            SITE.format(root=self.root, web=self.port, application=self.application, websockets=WEBSOCKETS)
        )
        # What undoes tries again every 10 seconds, which is long for a test.
        soon = Path(f"/etc/systemd/system/{self.service}-upgrade-undo.service.d/soon.conf")
        soon.parent.mkdir()
        soon.write_text("[Service]\nRestartSec=0.2\n")
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "restart", "nginx"])

    def remove(self) -> None:
        """Take it all away."""
        run(["systemctl", "stop", self.service], check=False)
        run(["systemctl", "disable", "--quiet", f"{self.service}-recover"], check=False)
        for path in (
            f"/etc/nginx/sites-enabled/{self.service}",
            *map(str, Path("/etc/systemd/system").glob(f"{self.service}*")),
        ):
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "restart", "nginx"])
        self.drop_databases()
        shutil.rmtree(self.root)

    def prepare(self, version: str) -> Path:
        """Return the folder of a release that is ready to serve, made once."""
        if version not in self.made:
            release = self.release(version, self.database)
            folder = release.source.parent
            os.symlink(release.env, folder / "env")
            with (release.projects / "mysite" / "settings.py").open("a") as file:
                file.write("MIDDLEWARE += ['catmaid.middleware.PrivateProjects']\n")
            release.manage("collectstatic", "--noinput")
            commit = run(["git", "-C", str(release.source), "-c", "safe.directory=*", "rev-parse", "HEAD"]).stdout
            about = {"version": version, "commit": commit.strip(), "describe": self.describe(release)}
            (folder / "release.json").write_text(json.dumps(about))
            self.made[version] = folder
        return self.made[version]

    def describe(self, release: Release) -> str:
        return run(["git", "-C", str(release.source), "-c", "safe.directory=*", "describe"]).stdout.strip()

    def drop_databases(self) -> None:
        for name in self.databases():
            drop_database(name)

    def databases(self) -> set[str]:
        """Return the live database and those beside it."""
        return set(
            psql("postgres", f"SELECT datname FROM pg_database WHERE datname LIKE '{self.database}%'").splitlines()
        )

    def reset(self, version: str = OLD) -> None:
        """Let this release serve fresh data, with nothing left of an upgrade."""
        run(["systemctl", "stop", self.service, f"{self.service}-upgrade-undo", f"{self.service}-upgrade"], check=False)
        shutil.rmtree(self.state)
        self.state.mkdir()
        self.drop_databases()
        psql("postgres", f'CREATE DATABASE "{self.database}" OWNER {ROLE} TEMPLATE "{self.template(version, 1000)}"')
        psql(self.database, "UPDATE auth_user SET is_superuser = true WHERE username = 'tracer1'")
        self.point(version)
        run(["systemctl", "start", self.service])
        self.wait(lambda: self.get("/version")[0] == 200)

    def point(self, version: str) -> None:
        current = self.root / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(self.prepare(version))

    def get(self, page: str) -> tuple[int, str]:
        """Get a page through the web server."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def options(self, **more: Any) -> dict[str, Any]:
        """Return what the module is told."""
        return {
            "login_db": self.database, "current": str(self.root / "current"), "state_dir": str(self.state),
            "services": [self.service], "project_user": SERVICE_USER, "web": f"127.0.0.1:{self.port}",
            "direct": [f"127.0.0.1:{self.application}"], "program": self.program, "maintenance": "<p>back soon",
            "requested_by": "the test", **more,
        }  # fmt: skip

    def upgrade(self, version: str = NEW, check: bool = False, **more: Any) -> Run:
        """Run the module."""
        options = self.options(release=str(self.prepare(version)), **more)
        return run_module("upgrade_switch", check=check, diff=True, **options)

    def verify(self, **more: Any) -> Run:
        """Run the module to ask what serves."""
        return run_module("upgrade_switch", **self.options(direction="verify", **more))

    def current(self) -> str:
        """Return the version that is linked to."""
        about: dict[str, str] = json.loads((self.root / "current" / "release.json").read_text())
        return about["version"]

    def history(self) -> list[dict[str, Any]]:
        """Return the lines of the history."""
        if not (self.state / "upgrade-history.jsonl").exists():
            return []
        return [json.loads(line) for line in (self.state / "upgrade-history.jsonl").read_text().splitlines()]

    @contextmanager
    def small_disks(self) -> Iterator[Path]:
        """Put the instance on disks of its own: state and database; yield the folder of the database's."""
        disk = Path(tempfile.mkdtemp(dir="/var/tmp"))
        mounts = {disk: "size=160m,mode=0777", self.state: "size=256k"}
        for folder, options in mounts.items():
            run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)])
        try:
            run(["install", "-d", "-o", "postgres", "-m", "0700", str(disk / "pg")])
            psql("postgres", f"CREATE TABLESPACE {TABLESPACE} LOCATION '{disk}/pg'")
            psql("postgres", f"ALTER DATABASE {self.database} SET TABLESPACE {TABLESPACE}")
            yield disk
        finally:
            (disk / "fill").unlink(missing_ok=True)
            run(["systemctl", "stop", self.service])
            self.drop_databases()
            psql("postgres", f"DROP TABLESPACE {TABLESPACE}")
            for folder in mounts:
                run(["umount", str(folder)])
            disk.rmdir()
            self.reset()

    def hook(self, script: str) -> str:
        """Write a hook; ``$1`` is the phase."""
        path = self.root / "hook"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def wait(self, condition: Callable[[], bool], seconds: float = 180) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, run(["journalctl", "-n", "60", "--no-pager"]).stdout
            time.sleep(0.2)

    def assert_serves(self, version: str = OLD, treenodes: int = 1000) -> None:
        """Whatever happened: this release serves these data, and nothing is under way."""
        self.wait(lambda: not (self.state / "upgrade.json").exists())
        self.wait(lambda: self.get("/version")[0] == 200)
        assert json.loads(self.get("/version")[1])["SERVER_VERSION"] == version
        status, page = self.get("/")
        assert status == 200, page
        assert self.get(page.split('<link rel="stylesheet" href="')[1].split('"')[0])[0] == 200
        assert psql(self.database, "SELECT count(*) FROM ONLY treenode") == str(treenodes)
        migrated = psql(self.database, "SELECT count(*) FROM django_migrations WHERE name LIKE '0006_add_deep%'")
        assert migrated == ("0" if version == OLD else "1")
        assert not (self.state / "maintenance.html").exists()
        assert not Path(f"/run/catmaid-admin/{self.service}.start").exists()
        assert run(["systemctl", "is-active", self.service]).stdout.strip() == "active"
        assert not any(name.endswith(".unfinished") for name in self.databases())


@pytest.fixture(scope="session")
def installed(
    program: Program, double_release: Callable[..., Release], double_template: Callable[..., str]
) -> Iterator[Served]:
    """The instance, once for all tests."""
    served = Served(Path(tempfile.mkdtemp(dir="/var/tmp")), str(program.path), double_release, double_template)
    served.install()
    yield served
    served.remove()


@pytest.fixture
def neighbour(
    program: Program, double_release: Callable[..., Release], double_template: Callable[..., str]
) -> Iterator[Served]:
    """Another instance on the same host."""
    root = Path(tempfile.mkdtemp(dir="/var/tmp"))
    about = {"service": "catmaid-next", "database": "neighbour", "port": PORT + 10, "application": APPLICATION + 10}
    second = Served(root, str(program.path), double_release, double_template, **about)
    second.install()
    second.reset()
    yield second
    second.remove()


@pytest.fixture
def served(installed: Served) -> Served:
    """The instance as it was before any upgrade."""
    installed.reset()
    return installed
