# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people write by hand is read as they mean it: units, ini files, web sites, lines of cron, settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine import configs
from ansible_collections.catmaid.admin.plugins.module_utils.engine.adoption import (
    dumps,
    oddities,
    services,
    settings,
    sites,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.adoption.code import Code
from ansible_collections.catmaid.admin.plugins.module_utils.engine.adoption.found import Found
from ansible_collections.catmaid.admin.plugins.module_utils.engine.adoption.services import Service
from ansible_collections.catmaid.admin.plugins.module_utils.engine.adoption.settings import Settings

SOURCE = "/srv/my catmaid"


def found(unit: str = "", program: str = "", vassal: str = "", **named: str) -> list[Service]:
    """Return what these texts define, as far as it belongs to the checkout; ``named`` are files that they name."""
    files = {f"/srv/{name.replace('_', '.')}": text for name, text in named.items()}
    return services.of(
        services.find(
            {"/etc/systemd/system/fly.service": unit} if unit else {},
            {"/etc/supervisor/conf.d/fly.conf": program} if program else {},
            {"/etc/uwsgi/apps-enabled/fly.ini": vassal} if vassal else {},
            lambda path: files.get(path, ""),
        ),
        [SOURCE],
    )


UNITS = {
    "gunicorn, with a path in quotes": (
        '[Service]\nUser=lab\nExecStart="/srv/my catmaid/env/bin/gunicorn" \\\n  -b unix:/run/fly.sock mysite.wsgi\n',
        ("fly.service", "wsgi", "lab", "unix:/run/fly.sock", "/srv/my catmaid/env"),
    ),
    "a blank that systemd wants as \\x20": (
        "[Service]\nWorkingDirectory=/srv/my catmaid/django\nExecStart=/usr/bin/uwsgi --ini /srv/fly.ini\n",
        ("fly.service", "wsgi", "www", "127.0.0.1:8000", "/envs/fly"),
    ),
    "celery, found by an activated environment": (
        "[Service]\nExecStart=/bin/bash -c \"cd '/srv/my catmaid' && . /envs/fly/bin/activate && celery worker\"\n",
        ("fly.service", "", "root", "", "/envs/fly"),
    ),
    "a script that is called": (
        "[Service]\nExecStart=-/srv/start.sh\n",
        ("fly.service", "asgi", "root", "", "/srv/my catmaid/env"),
    ),
}
INI = """\
[uwsgi]
# every request in a process of its own
where = /srv/my catmaid
chdir = %(where)/django/projects
http-socket = 127.0.0.1:8000
home = /envs/%n
uid = www
"""
SCRIPT = '#!/bin/sh\nexec "/srv/my catmaid/env/bin/daphne" -p 8001 mysite.asgi:application\n'


@pytest.mark.parametrize("name", UNITS)
def test_units(name: str) -> None:
    text, wanted = UNITS[name]
    (one,) = found(unit=text, fly_ini=INI, start_sh=SCRIPT)
    assert (one.name, one.kind, one.user, one.address, one.virtualenv) == wanted


def test_of_supervisor_groups_remarks_and_numbers_are_understood() -> None:
    text = """\
; written in 2016
[program:wsgi]
command=/envs/fly/bin/uwsgi --ini %(here)s/fly.ini   ; ours
directory=/srv/my catmaid/django/projects
user=lab
stopsignal=INT
[program:worker]
command=/envs/fly/bin/celery
  -A mysite worker -l info
directory=/srv/my catmaid/django/projects
numprocs=2
process_name=%(program_name)s_%(process_num)02d
[program:other]
command=/usr/bin/other --of "/srv/my catmaid-2"
[group:fly]
programs=wsgi, other
"""
    one, two = found(program=text)
    assert (one.name, one.kind, one.user, one.stop_signal) == ("supervisor:fly:wsgi", "wsgi", "lab", "INT")
    assert (two.name, two.kind, two.user, two.stop_signal) == ("supervisor:worker:*", "celery worker", "root", "TERM")


def test_debian_starts_what_is_enabled_for_uwsgi() -> None:
    (one,) = found(vassal=INI + "socket = /run/fly.sock\nstats = /run/stats\n")
    assert (one.name, one.sockets, one.stats) == (
        "uwsgi.service", ("127.0.0.1:8000", "unix:/run/fly.sock"), "/run/stats",
    )  # fmt: skip


SITES = {
    "a socket with a blank, in an upstream": (
        (
            'upstream fly { server "unix:/run/my fly.sock" fail_timeout=0; }\n'
            "server { listen 80; server_name a.example.org; location / { uwsgi_pass fly; } }"
        ),
        (("a.example.org",), False, "127.0.0.1:80", "/", False),
    ),
    "below a path, by TLS, in old words": (
        (
            "server { listen 10.0.0.1:443; ssl on; server_name ~^x$ a.example.org *.example.org;\n"
            "location ^~ /fly/ { proxy_pass http://localhost:8000/; } # location / { proxy_pass http://elsewhere; }\n}"
        ),
        (("a.example.org",), True, "10.0.0.1:443", "/fly/", True),
    ),
    "TLS beside a redirection": (
        (
            "server { listen 80; server_name a.example.org; return 301 https://a.example.org$request_uri; }\n"
            "server { listen 443 ssl http2; listen [::]:443 ssl; server_name a.example.org;\n"
            "  location /channels/ { proxy_pass http://127.0.0.1:8001; }\n"
            "  location / { proxy_pass http://127.0.0.1:8000; } }"
        ),
        (("a.example.org",), True, "https:127.0.0.1:443", "/", False),
    ),
    "known by its files alone": (
        (
            "server { listen 8080 default_server; server_name _;\n"
            " location /static/ { alias '/srv/my catmaid/static/'; } }"
        ),
        ((), False, "127.0.0.1:8080", "", False),
    ),
    "below a path that goes along": (
        (
            "upstream fly { server 127.0.0.1:8000; }\n"
            "server { listen 80; server_name a.example.org; location /fly { proxy_pass http://fly; } }"
        ),
        (("a.example.org",), False, "127.0.0.1:80", "/fly", False),
    ),
    "below a path, by a socket": (
        (
            "server { listen 80; server_name a.example.org;\n"
            " location /fly/ { proxy_pass 'http://unix:/run/my fly.sock:/'; } }"
        ),
        (("a.example.org",), False, "127.0.0.1:80", "/fly/", True),
    ),
}


@pytest.mark.parametrize("name", SITES)
def test_sites(name: str) -> None:
    text, wanted = SITES[name]
    sockets = ["unix:/run/my fly.sock", "127.0.0.1:8000", "127.0.0.1:8001"]
    (site,) = sites.find({"/etc/nginx/sites-enabled/fly": text}, sockets, [SOURCE])
    assert (site.names, site.tls, site.web, site.prefix, site.strips) == wanted


FOLDERS = {
    # settings, location, what is passed: the folder, where else the application is asked, whether that is unusual
    "none": ({"CATMAID_URL": "/"}, "/", "http://127.0.0.1:8000", ("", ["127.0.0.1:8000"], False)),
    "told, and taken off": (
        {"CATMAID_URL": "/fly/", "FORCE_SCRIPT_NAME": "/fly"}, "/fly/", "http://127.0.0.1:8000/",
        ("fly", ["127.0.0.1:8000"], False),
    ),
    "told, and mounted by the server": ({"CATMAID_URL": "/fly/"}, "/fly/", "http://127.0.0.1:8000", ("fly", [], False)),
    "told by the site alone": ({}, "/lab/fly/", "http://127.0.0.1:8000/", ("lab/fly", ["127.0.0.1:8000"], False)),
    "told another": ({"CATMAID_URL": "/old/"}, "/fly/", "http://127.0.0.1:8000/", ("old", ["127.0.0.1:8000"], True)),
    "not to be told": ({"CATMAID_URL": "/"}, "^/f[l]y", "http://127.0.0.1:8000", ("", ["127.0.0.1:8000"], True)),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_the_url(name: str) -> None:
    values, location, passed, wanted = FOLDERS[name]
    text = f"server {{ listen 80; server_name a.example.org; location {location} {{ proxy_pass {passed}; }} }}"
    found = Found(
        SOURCE, Code("7d9f836", "2021.12.21", "", "", ""), Settings("settings.py", values=values), "lab", "lab"
    )
    found.services = [Service("fly", "/etc/fly", "gunicorn", "wsgi", address="127.0.0.1:8000")]
    found.sites = sites.find({"/etc/nginx/sites-enabled/fly": text}, ["127.0.0.1:8000"], [SOURCE])
    told = [line for line in oddities.of(found) if "folder of the URL" in line or "ask it for pages" in line]
    assert (found.subdirectory, found.direct, bool(told)) == wanted


def test_sites_of_others_are_left_alone() -> None:
    text = "server { listen 80; root /var/www/html; location / { proxy_pass http://127.0.0.1:9; } }"
    assert sites.find({"/etc/nginx/sites-enabled/default": text}, ["127.0.0.1:8000"], [SOURCE]) == []


def test_image_data_are_what_is_neither_the_applications_nor_pages() -> None:
    text = """server { root /var/www/html; location / { proxy_pass http://127.0.0.1:8000; }
        location /more/ { alias /srv/media2/; }
        location /static/ { alias "/srv/my catmaid/static/"; }
        location /files/ { alias /srv/media/; }
        location ~ "^/\\"t{2}/" { root /data/one; }
        location /tiles/ { alias "/data/two/"; } }"""
    (site,) = sites.find({"fly": text}, ["127.0.0.1:8000"], [SOURCE])
    assert sites.image_data(site, [SOURCE, "/srv/media"]) == {
        "/more/": "/srv/media2/", '^/"t{2}/': "/data/one", "/tiles/": "/data/two/",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        (r'0 3 * * * sudo -u postgres pg_dump --clean fly -f "/b/fly_$(date +\%Y\%m).sql"', "/b/fly_*.sql"),
        ("@daily postgres pg_dump -Fc fly > /b/fly.dump", "/b/fly.dump"),
        ("0 3 * * * root pg_dump --file='/my b/fly-`date`.gz' -Z9 fly 2>/dev/null", "/my b/fly-*.gz"),
        ("0 3 * * * root pg_dump fly | gzip > /b/${DAY}/fly.sql.gz && touch /b/done", "/b/*/fly.sql.gz"),
        ("0 3 * * * BASE_DIR=/b /srv/backup-min-database.sh", "/b/*"),
        ("0 3 * * * pg_dump fly | ssh far 'cat > fly'", ""),
    ],
)
def test_where_dumps_go(line: str, pattern: str) -> None:
    assert dumps.target(line) == pattern
    (old,) = dumps.find({"/etc/crontab": f"SHELL=/bin/sh\n# {line}\n{line}\n0 4 * * * root pg_dump flyer\n"}, "fly")
    assert (old.line, old.count) == (line, 0)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("PGPASSWORD='h u\"sh' pg_dump fly > /b", "PGPASSWORD=******** pg_dump fly > /b"),
        ('export DB_PASSWD="hush"; pg_dump fly', "export DB_PASSWD=********; pg_dump fly"),
        ("pg_dump postgresql://lab:hu:sh@db/fly -f /b", "pg_dump postgresql://lab:********@db/fly -f /b"),
        ("pg_dump 'dbname=fly password=hush'", "pg_dump 'dbname=fly password=********'"),
        ("pg_dump --no-password fly -f /b", "pg_dump --no-password fly -f /b"),
    ],
)
def test_a_line_is_shown_without_its_passwords(line: str, shown: str) -> None:
    (old,) = dumps.find({"/etc/crontab": f"0 3 * * * root {line}\n"}, "fly")
    assert old.line == f"0 3 * * * root {shown}"
    assert "hush" not in repr(old) and "h u" not in repr(old)


CONFIGURATION = "abs_catmaid_path = '/srv/fly'\ncatmaid_database_name = 'fly'\ncatmaid_database_password = 'hush'\n"


def told(tmp_path: Path, text: str, configuration: str = "") -> settings.Settings:
    """Return what a settings file says."""
    folder = tmp_path / "django" / "projects" / "mysite"
    folder.mkdir(parents=True)
    (folder / "settings.py").write_text(text)
    if configuration:
        (tmp_path / "django" / "configuration.py").write_text(configuration)
    return settings.read(str(folder / "settings.py"))


def test_settings_that_are_put_together(tmp_path: Path) -> None:
    here = told(
        tmp_path,
        "import os, sys\nfrom configuration import *\nfrom mysite.settings_base import *\n"
        "DATABASES = dict()\n"
        "DATABASES = {'default': {'NAME': catmaid_database_name, 'HOST': 'db.' + 'example.org', 'PORT': 5433}}\n"
        "DATABASES['default']['USER'] = 'u_%s' % catmaid_database_name\n"
        "DATABASES['default']['PASSWORD'] = catmaid_database_password\n"
        "MEDIA_ROOT = os.path.join(abs_catmaid_path, 'media')\n"
        "STATIC_ROOT = f'{abs_catmaid_path}/static'\n"
        "HDF5_STORAGE_PATH = os.environ['HDF5']\n"
        "if DEBUG:\n    ALLOWED_HOSTS = ['a']\nALLOWED_HOSTS += ['b.example.org']\n",
        CONFIGURATION,
    )
    assert here.database == {"NAME": "fly", "HOST": "db.example.org", "PORT": "5433", "USER": "u_fly"}
    assert (here.password, here.problem) == (settings.WRITTEN, "")
    assert (here.values["MEDIA_ROOT"], here.values["STATIC_ROOT"]) == ("/srv/fly/media", "/srv/fly/static")
    assert here.values["ALLOWED_HOSTS"] == ["a", "b.example.org"]
    assert list(here.unknown) == ["HDF5_STORAGE_PATH"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("print 'hush'\n", "line 1 is no Python 3"),
        ("DATABASES = load()\n", ""),
        ("DATABASES = {'default': read(), **more}\n", ""),
    ],
)
def test_settings_that_would_have_to_run(tmp_path: Path, text: str, problem: str) -> None:
    here = told(tmp_path, text)
    assert (here.database, here.problem) == ({}, problem)
    assert "hush" not in repr(here)


def test_a_file_of_nginx_that_is_cut_off_ends_with_its_last_word() -> None:
    (server,) = configs.nginx("server { listen 80; location / { root /a")
    assert [item.name for item in server.block] == ["listen", "location"]
