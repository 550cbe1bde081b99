# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance as somebody sets it up by hand: a blank in its path, uWSGI under supervisor, a commit of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.integration.double_fixtures import PASSWORD, ROLE, SERVICE_USER, run

SUPERVISOR = """\
[program:catmaid-uwsgi]
command = {env}/bin/uwsgi --ini "{source}/django/projects/our uwsgi.ini" ; by hand
directory = {source}/django/projects
user = {user}

[program:catmaid-celery]
command = {env}/bin/celery -A mysite worker -l info
directory = {source}/django/projects
user = {user}
stopasgroup = true

[program:something-else]
command = /bin/sleep infinity

[group:lab]
programs = catmaid-uwsgi,catmaid-celery
"""

UWSGI = """\
[uwsgi]
; what the lab has found out in years
base = {source}/django
virtualenv = {env}
chdir = %(base)/projects
socket = /run/our catmaid.sock
stats = 127.0.0.1:9191
module = mysite.wsgi
"""

SITE = """\
upstream our-catmaid {{ server "unix:/run/our catmaid.sock" fail_timeout=0; }}
server {{
    listen 8077 ssl; # by hand
    server_name fly.example.org www.fly.example.org;
    ssl_certificate /etc/ssl/certs/fly.pem;
    location / {{ include uwsgi_params; uwsgi_pass our-catmaid; }}
    location /static/ {{ alias "{source}/django/static/"; }}
    location ~ ^/tiles/ {{ root /srv/images; expires max; }}
}}
"""

# Whatever of these is run leaves a file behind.
SETTINGS = """\
from mysite.settings_base import *
import os
open({trap!r}, "w").close()
HERE = os.path.dirname(os.path.abspath(__file__))
DATABASES = {{"default": {{"ENGINE": "custom_postgresql_psycopg2", "NAME": {database!r}, "USER": {role!r},
                         "PASSWORD": {password!r}, "HOST": "localhost", "PORT": "5432"}}}}
SECRET_KEY = "a secret of the double"
ALLOWED_HOSTS = ["*"]
MEDIA_ROOT = {media!r}
STATIC_ROOT = os.path.join(HERE, "..", "..", "static")
"""
GIT = """\
[core]
	fsmonitor = touch {trap}
	hooksPath = {hooks}
[filter "trap"]
	clean = touch {trap}; cat
[diff]
	external = touch {trap}
"""


@dataclass
class Handmade:
    """Where its parts are."""

    folder: Path
    database: str

    @property
    def source(self) -> Path:
        return self.folder / "my catmaid"

    @property
    def env(self) -> Path:
        return self.folder / "environments" / "catmaid"

    @property
    def trap(self) -> Path:
        return self.folder / "it was run"

    @property
    def dumps(self) -> Path:
        return self.folder / "dumps"

    def git(self, *arguments: str) -> str:
        author = ["-c", "user.name=A lab", "-c", "user.email=lab@example.org"]
        return run(["git", *author, "-c", "safe.directory=*", "-C", str(self.source), *arguments]).stdout.strip()

    def dump(self, stamp: str) -> Path:
        """Make a dump, as the line of cron does."""
        path = self.dumps / f"catmaid_{stamp}.sql"
        path.write_bytes(subprocess.run(
            ["runuser", "-u", "postgres", "--", "pg_dump", "--clean", self.database], check=True, capture_output=True,
            cwd="/").stdout)  # fmt: skip
        return path


def make(repository: Path, version: str, folder: Path, database: str) -> Iterator[Handmade]:
    """Set it up, and take it away afterwards."""
    made = Handmade(folder, database)
    folder.mkdir(mode=0o755)
    run(["git", "clone", "-q", str(repository), str(made.source)])
    made.git("checkout", "-q", "-b", "lab", version)
    (made.source / "README.md").write_text("Our own CATMAID\n")
    made.git("commit", "-q", "-a", "-m", "Say whose it is")
    for path in (made.env / "bin", made.dumps, folder / "media", folder / "hooks"):
        path.mkdir(parents=True)
    os.symlink("/usr/bin/python3", made.env / "bin" / "python")
    (made.env / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.2\n")
    values = {"source": made.source, "env": made.env, "user": SERVICE_USER, "trap": str(made.trap)}
    projects = made.source / "django" / "projects"
    (projects / "our uwsgi.ini").write_text(UWSGI.format(**values))
    more = {"database": database, "role": ROLE, "password": PASSWORD, "media": str(folder / "media")}
    (projects / "mysite" / "settings.py").write_text(SETTINGS.format(**values, **more))
    with (made.source / ".git" / "config").open("a") as file:
        file.write(GIT.format(trap=str(made.trap).replace(" ", "\\\\ "), hooks=folder / "hooks"))
    (made.source / ".git" / "info" / "attributes").write_text("* filter=trap\n")
    hook = folder / "hooks" / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch '{made.trap}'\n")
    hook.chmod(0o755)
    run(["chown", "-R", f"{SERVICE_USER}:", str(made.source)])
    line = (
        f'0 3 * * * root sudo -u postgres pg_dump --clean {database} -f "{made.dumps}/catmaid_$(date +\\%Y\\%m).sql"\n'
    )
    elsewhere = {
        Path("/etc/supervisor/conf.d/our-catmaid.conf"): SUPERVISOR.format(**values),
        Path("/etc/nginx/sites-enabled/our-catmaid"): SITE.format(**values),
        Path("/etc/cron.d/our-dumps"): line,
    }
    for path, text in elsewhere.items():
        path.write_text(text)
    try:
        yield made
    finally:
        for path in elsewhere:
            path.unlink()
        shutil.rmtree(folder)
