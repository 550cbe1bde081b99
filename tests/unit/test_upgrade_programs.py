# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit starts is known, however it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import programs, supervisor, units
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades.programs import ASGI, BEAT, WORKER, WSGI


@pytest.mark.parametrize(
    ("line", "kind", "address"),
    [
        ("/env/bin/daphne -b 127.0.0.1 -p 8001 mysite.asgi:application", ASGI, "127.0.0.1:8001"),
        ("/env/bin/daphne --unix-socket=/run/daphne.sock mysite.asgi:application", ASGI, "unix:/run/daphne.sock"),
        ("/env/bin/python -u -m daphne -p 8001 mysite.asgi:application", ASGI, "127.0.0.1:8001"),
        ("/env/bin/python3.11 -W ignore /env/bin/daphne --bind=0.0.0.0 --port=9 x:y", ASGI, "127.0.0.1:9"),
        ("/env/bin/daphne mysite.asgi:application", ASGI, "127.0.0.1:8000"),
        ("/env/bin/daphne --fd 3 mysite.asgi:application", ASGI, ""),
        ("/env/bin/uvicorn mysite.asgi:application --host 10.0.0.1 --port 8001 --workers 2", ASGI, "10.0.0.1:8001"),
        ("/env/bin/uvicorn --uds /run/uvicorn.sock mysite.asgi:application", ASGI, "unix:/run/uvicorn.sock"),
        ("/usr/bin/env DJANGO_SETTINGS_MODULE=s uvicorn --host :: mysite.asgi:application", ASGI, "[::1]:8000"),
        ("/env/bin/hypercorn -b unix:/run/h.sock mysite.asgi:application", ASGI, "unix:/run/h.sock"),
        ("/env/bin/hypercorn --bind=[::]:8001 mysite.asgi:application", ASGI, "[::1]:8001"),
        ("/env/bin/hypercorn --bind fd://3 mysite.asgi:application", ASGI, ""),
        ("/env/bin/gunicorn -k uvicorn.workers.UvicornWorker -b :8001 mysite.asgi", ASGI, "127.0.0.1:8001"),
        ("/env/bin/gunicorn --worker-class=uvicorn_worker.UvicornWorker mysite.asgi", ASGI, "127.0.0.1:8000"),
        ("/env/bin/gunicorn -kgevent -b127.0.0.1:8000 mysite.wsgi", WSGI, "127.0.0.1:8000"),
        ("/env/bin/gunicorn --workers 2 --bind unix:/run/wsgi.sock mysite.wsgi", WSGI, "unix:/run/wsgi.sock"),
    ],
)
def test_servers(line: str, kind: str, address: str) -> None:
    program = programs.parse(line.split())
    assert (program.kind, programs.address(program)) == (kind, address)


@pytest.mark.parametrize(
    ("line", "kind", "call"),
    [
        ("/env/bin/celery -A mysite worker -l info", WORKER, "/env/bin/celery"),
        ("/env/bin/python -m celery -A mysite worker", WORKER, "/env/bin/python -m celery"),
        ("/env/bin/celery -A mysite beat", BEAT, "/env/bin/celery"),
        ("/env/bin/celery -A mysite flower", "", "/env/bin/celery"),
        ("/usr/bin/uwsgi --ini catmaid.ini", WSGI, "/usr/bin/uwsgi"),
        ("/env/bin/python manage.py catmaid_cache_update_worker", "", "/env/bin/python manage.py"),
        ("/usr/bin/redis-server", "", "/usr/bin/redis-server"),
        ("/env/bin/python", "", "/env/bin/python"),
        ("", "", ""),
    ],
)
def test_other_programs(line: str, kind: str, call: str) -> None:
    program = programs.parse(line.split())
    assert (program.kind, " ".join(program.call)) == (kind, call)


def test_a_group_of_supervisor_means_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = tmp_path / "supervisord.conf"
    configured.write_text("[include]\nfiles = *.ini\n")
    group = "[group:second]\nprograms = second, second-celery\n"
    (tmp_path / "second.ini").write_text(f"{group}[program:second]\ncommand = /env/bin/gunicorn mysite.wsgi\n")
    (tmp_path / "other.ini").write_text("[program:worker]\nnumprocs = 2\ncommand = /env/bin/celery worker\n")
    monkeypatch.setattr(supervisor, "CONFIGURED", (str(configured),))
    monkeypatch.setattr(units, "parts", lambda _instance: [])
    assert units.instance_of(["supervisor:second:*"]) == "second"
    assert units.all_of(["supervisor:second:*"]) == ["supervisor:second:second", "supervisor:second:second-celery"]
    assert units.program("supervisor:second:second").kind == WSGI
    # Several of one program are no group of programs
    assert units.all_of(["supervisor:worker:*", "redis"]) == ["supervisor:worker:*", "redis"]
