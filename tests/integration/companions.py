# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers beside a served instance: daphne, uvicorn and a Celery worker in units of their own, and a uWSGI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.double_fixtures import CACHE, run
from tests.integration.upgrading import MORE_WEBSOCKETS, SERVICE, WEBSOCKETS, Served

WEBSOCKET, UVICORN, WORKER = f"{SERVICE}-daphne", f"{SERVICE}-uvicorn", f"{SERVICE}-celery"
PACKAGES = ("celery", "daphne", "uvicorn", "websockets")

APPLICATION = """
import pathlib
REFUSING = pathlib.Path(__file__).with_name("refusing")

async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404})
        await send({"type": "http.response.body"})
        return
    await receive()
    if scope["type"] != "websocket" or scope["path"] != "/channels/updates/" or REFUSING.exists():
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass
"""

# Messages are files: no broker has to run.
WORK = """
import pathlib
from celery import Celery
FOLDER = pathlib.Path(__file__).with_name("messages")
FOLDER.mkdir(exist_ok=True)
application = Celery("work", broker="filesystem://")
application.conf.broker_transport_options = {
    name: str(FOLDER) for name in ("data_folder_in", "data_folder_out", "control_folder")
}
"""

# Answers at once, but for one page, which waits until a pipe is closed.
PAGES = """
import os
def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/slow":
        os.read(os.open(os.environ["PIPE"], os.O_RDONLY), 1)
    return [b"done"]
"""

UNIT = """\
[Service]
WorkingDirectory={folder}
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart={program}
"""


def environment() -> Path:
    """Return the virtual environment that they run in, made once."""
    env = CACHE / "-".join(["companions", *PACKAGES])
    if not (env / "complete").exists():
        run([sys.executable, "-m", "venv", "--clear", str(env)])
        run([str(env / "bin/pip"), "install", "--quiet", *PACKAGES])
        (env / "complete").touch()
    return env


@contextmanager
def beside(served: Served) -> Iterator[list[str]]:
    """Start them; yield all services of the instance, and take them away."""
    env = environment()
    folder = served.root / "companions"
    folder.mkdir(exist_ok=True)
    (folder / "site_of_websockets.py").write_text(APPLICATION)
    (folder / "work.py").write_text(WORK)
    programs = {
        WEBSOCKET: f"{env}/bin/daphne -b 127.0.0.1 -p {WEBSOCKETS} site_of_websockets:application",
        UVICORN: f"{env}/bin/python -m uvicorn --lifespan off --port {MORE_WEBSOCKETS} site_of_websockets:application",
        WORKER: f"{env}/bin/celery -A work worker --pool=solo --without-mingle --without-gossip",
    }
    for name, program in programs.items():
        Path(f"/etc/systemd/system/{name}.service").write_text(UNIT.format(folder=folder, program=program))
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "start", *programs])
    try:
        yield [SERVICE, *programs]
    finally:
        run(["systemctl", "stop", *programs])


def opened(pipe: Path) -> int:
    """Open a pipe as soon as somebody reads from it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < deadline, "the page was never asked for"
            time.sleep(0.1)


@contextmanager
def uwsgi(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a real uWSGI (from a wheel of it) with one slow page; yield its address and its stats socket."""
    env = CACHE / "uwsgi"
    if not (env / "complete").exists():
        run([sys.executable, "-m", "venv", "--clear", str(env)])
        run([str(env / "bin/pip"), "install", "--quiet", "pyuwsgi"])
        (env / "complete").touch()
    (folder / "site.py").write_text(PAGES)
    run(["mkfifo", str(folder / "pipe")])
    stats, address = folder / "stats.sock", folder / "address"
    argv = [str(env / "bin/uwsgi"), "--http-socket", "127.0.0.1:0", "--wsgi-file", str(folder / "site.py"), "--master"]
    argv += ["--workers", "2", "--stats", str(stats), "--memory-report", "--die-on-term"]
    variables = {**os.environ, "PIPE": str(folder / "pipe")}
    server = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=variables)
    assert server.stderr is not None and not address.exists()
    try:
        for line in server.stderr:
            if "bound to TCP address" in line:
                port = line.split("127.0.0.1:")[1].split()[0]
            if "spawned uWSGI worker 2" in line:
                break
        yield f"http://127.0.0.1:{port}", str(stats)
    finally:
        server.kill()
        server.communicate()
