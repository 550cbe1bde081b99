# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real daphne and a real Celery worker beside a served instance, in units of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.double_fixtures import CACHE, run
from tests.integration.upgrading import SERVICE, WEBSOCKETS, Served

WEBSOCKET, WORKER = f"{SERVICE}-daphne", f"{SERVICE}-celery"

APPLICATION = """
import pathlib
REFUSING = pathlib.Path(__file__).with_name("refusing")

async def application(scope, receive, send):
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

UNIT = """\
[Service]
WorkingDirectory={folder}
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart={program}
"""


@contextmanager
def beside(served: Served) -> Iterator[list[str]]:
    """Start both; yield all services of the instance, and take them away."""
    env = CACHE / "companions"
    if not (env / "complete").exists():
        run([sys.executable, "-m", "venv", "--clear", str(env)])
        run([str(env / "bin/pip"), "install", "--quiet", "daphne", "celery"])
        (env / "complete").touch()
    folder = served.root / "companions"
    folder.mkdir()
    (folder / "site_of_websockets.py").write_text(APPLICATION)
    (folder / "work.py").write_text(WORK)
    programs = {
        WEBSOCKET: f"{env}/bin/daphne -b 127.0.0.1 -p {WEBSOCKETS} site_of_websockets:application",
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
