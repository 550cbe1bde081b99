# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CATMAID double on this test host: its repository, checked-out releases with virtualenvs, filled databases."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support

DOUBLE = Path(__file__).resolve().parents[1] / "double"
CACHE = Path("/var/cache/catmaid-double")
SERVICE_USER = "catmaid"
ROLE = "catmaid_user"
PASSWORD = "double's password"
OLDEST = "2030.01.15"

SETTINGS = """\
from mysite.settings_base import *

DATABASES = {{"default": {{
    "ENGINE": "custom_postgresql_psycopg2", "HOST": "localhost", "USER": {role!r}, "PASSWORD": {password!r},
    "NAME": {database!r}, "ATOMIC_REQUESTS": True,
}}}}
SECRET_KEY = "a secret of the double"
ALLOWED_HOSTS = ["localhost"]
TIME_ZONE = "UTC"
CATMAID_URL = "/"
MEDIA_URL, MEDIA_ROOT = "/files/", {media!r}
STATIC_URL, STATIC_ROOT = "/static/", {static!r}
"""

# Django's own server would run the system checks, which CATMAID's WSGI servers don't.
SERVER = """
import sys
from wsgiref.simple_server import make_server
from mysite.wsgi import application
server = make_server("localhost", 0, application)
print(server.server_port, flush=True)
server.serve_forever()
"""


def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said; its failure is the test's failure unless ``check`` is false."""
    options = {"check": True, **options}
    check = options.pop("check")
    result = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    assert not check or result.returncode == 0, (
        f"{argv} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
    )
    return result


def psql(database: str, sql: str, variables: tuple[str, ...] = ()) -> str:
    """Run SQL as the superuser and return its rows, with columns separated by ``|``."""
    argv = [*support.AS_POSTGRES, support.PSQL, "-XqAt", "-v", "ON_ERROR_STOP=1", *variables, "-d", database]
    return run(argv, input=sql, cwd="/").stdout.strip()


def generate(database: str, treenodes: int, project: int = 1) -> None:
    """Fill a migrated database, as its owner."""
    env = {**os.environ, "PGPASSWORD": PASSWORD}
    argv = ["psql", "-X", "-h", "localhost", "-U", ROLE, "-d", database, "-v", f"treenodes={treenodes}"]
    run([*argv, "-v", f"project={project}", "-f", str(DOUBLE / "generate.sql")], env=env)


@dataclass(frozen=True)
class Site:
    """A served release."""

    url: str

    def __call__(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
        """Get a page: its status and text."""
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@dataclass(eq=False)
class Release:
    """A checkout of one release that belongs to the service user, with its virtualenv and settings."""

    version: str
    source: Path
    env: Path
    python: Path = field(init=False)
    media: Path = field(init=False)
    static: Path = field(init=False)
    projects: Path = field(init=False)

    def __post_init__(self) -> None:
        self.python = self.env / "bin" / "python"
        self.media = self.source.parent / "media"
        self.static = self.source.parent / "static"
        self.projects = self.source / "django" / "projects"

    def configure(self, database: str, more: str = "") -> None:
        """Write settings.py for a database; ``more`` is appended to it."""
        self.media.mkdir(exist_ok=True)
        self.static.mkdir(exist_ok=True)
        shutil.chown(self.media, SERVICE_USER)
        shutil.chown(self.static, SERVICE_USER)
        values = {"database": database, "media": str(self.media), "static": str(self.static)}
        text = SETTINGS.format(role=ROLE, password=PASSWORD, **values) + more
        (self.projects / "mysite" / "settings.py").write_text(text)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return what a shell with the activated virtualenv has."""
        path = f"{self.env}/bin:/usr/bin:/bin"
        return {"PATH": path, "LANG": "C.UTF-8", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", **variables}

    def as_service_user(self, *arguments: str) -> list[str]:
        return ["/usr/sbin/runuser", "-u", SERVICE_USER, "--", str(self.python), *arguments]

    def manage(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run manage.py as the service user; stdin is empty unless given."""
        options = {"env": self.environment(), "stdin": subprocess.DEVNULL, **options}
        if "input" in options:
            del options["stdin"]
        return run(self.as_service_user("manage.py", *arguments), cwd=self.projects, **options)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start manage.py and don't wait for it. Kill the process, which is Python itself, when done."""
        return self.popen("manage.py", *arguments)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        account = pwd.getpwnam(SERVICE_USER)
        return subprocess.Popen(
            [str(self.python), *arguments],
            cwd=self.projects,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
        )

    @contextmanager
    def serve(self) -> Iterator[Site]:
        """Serve the pages while the block runs."""
        server = self.popen("-c", SERVER)
        assert server.stdout is not None
        try:
            yield Site(f"http://localhost:{server.stdout.readline().strip()}")
        finally:
            server.kill()
            server.communicate()


def virtualenv(requirements: Path) -> Path:
    """Return the virtualenv for these requirements, which is made once and then kept on the host."""
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    env = CACHE / f"env-py{sys.version_info[0]}.{sys.version_info[1]}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (env / "complete").exists():
            run([sys.executable, "-m", "venv", "--clear", str(env)])
            pip = [str(env / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
            run([*pip, "--requirement", str(requirements)])
            (env / "complete").touch()
    return env


@pytest.fixture(scope="session")
def double_folder() -> Iterator[Path]:
    """A folder that the service user can read: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="catmaid-double-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def double_repo(double_folder: Path) -> Path:
    """The double's bare repository, to be cloned from."""
    repository = double_folder / "double.git"
    run([sys.executable, str(DOUBLE / "build.py"), str(repository), "--bare"])
    return repository


@pytest.fixture(scope="session")
def double_accounts() -> None:
    """The service user of the host and the role of the database, made when they are missing."""
    try:
        pwd.getpwnam(SERVICE_USER)
    except KeyError:
        run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER])
    if not psql("postgres", f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}'"):
        psql("postgres", f"CREATE ROLE {ROLE} LOGIN")
    password = PASSWORD.replace("'", "''")
    psql("postgres", f"ALTER ROLE {ROLE} PASSWORD '{password}'")


@pytest.fixture(scope="session")
def double_release(double_folder: Path, double_repo: Path, double_accounts: None) -> Callable[..., Release]:
    """A function that checks out a version, for a database if one is named."""

    def check_out(version: str = OLDEST, database: str = "", more: str = "") -> Release:
        folder = Path(tempfile.mkdtemp(prefix=f"{version.replace('/', '-')}-", dir=double_folder))
        folder.chmod(0o755)
        source = folder / "source"
        run(["git", "clone", "-q", str(double_repo), str(source)])
        run(["git", "-C", str(source), "-c", "advice.detachedHead=false", "checkout", "-q", version])
        run(["chown", "-R", f"{SERVICE_USER}:", str(source)])
        release = Release(version, source, virtualenv(source / "django" / "requirements.txt"))
        if database:
            release.configure(database, more)
        return release

    return check_out


def drop_database(name: str) -> None:
    psql("postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def empty_database(name: str) -> None:
    """Make a database with CATMAID's extensions for the role."""
    drop_database(name)
    psql("postgres", f'CREATE DATABASE "{name}" OWNER {ROLE} TEMPLATE template0 ENCODING UTF8')
    psql(name, "CREATE EXTENSION postgis; CREATE EXTENSION pg_trgm")


@pytest.fixture(scope="session")
def double_template(double_release: Callable[..., Release]) -> Iterator[Callable[..., str]]:
    """A function that makes a migrated and filled database once, for others to be copied from."""
    made: list[str] = []

    def make(version: str, treenodes: int) -> str:
        name = f"double_template_{version.replace('/', '-')}_{treenodes}"
        if name not in made:
            made.append(name)
            empty_database(name)
            double_release(version, name).manage("migrate", "--noinput")
            if treenodes:
                generate(name, treenodes)
        return name

    yield make
    for name in made:
        drop_database(name)


@pytest.fixture
def double_database(double_template: Callable[..., str]) -> Iterator[Callable[..., str]]:
    """A function that makes a fresh database of a version with so many treenodes, and returns its name."""
    made: list[str] = []

    def make(version: str = OLDEST, treenodes: int = 10000) -> str:
        made.append(f"double_{uuid.uuid4().hex[:8]}")
        psql("postgres", f'CREATE DATABASE "{made[-1]}" OWNER {ROLE} TEMPLATE "{double_template(version, treenodes)}"')
        return made[-1]

    yield make
    for name in made:
        drop_database(name)


def fingerprint(database: str, table: str, without: tuple[str, ...] = (), where: str = "true") -> str:
    """Return rows and checksum of a table's named columns, whatever their order is; ``without`` leaves some out."""
    removed = "".join(f" - '{column}'" for column in without)
    row = f"(to_jsonb(t){removed})::text"
    digest = f"md5(string_agg({row}, ' ' ORDER BY {row}))"
    return psql(database, f"SELECT count(*), {digest} FROM ONLY {table} t WHERE {where}")


def wait_for(database: str, condition: str, seconds: float = 20) -> None:
    """Wait until a query of one boolean says so."""
    deadline = time.monotonic() + seconds
    while psql(database, f"SELECT {condition}") != "t":
        assert time.monotonic() < deadline, f"{database} never got to: {condition}"
        time.sleep(0.1)


def parsed(page: tuple[int, str]) -> Any:
    """Return the JSON of a page that was served well."""
    status, text = page
    assert status == 200, text
    return json.loads(text)
