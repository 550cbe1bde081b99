# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a test host, as root, for upgrade_plays.py: ask the page 10 times a second, upgrade as documented, start over.

The documented procedure is done on the same instance, by the same service and web site as ours: it stops, fetches,
installs, migrates, collects static files and starts, in the release that serves.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import meter
from tests.integration import double_fixtures as double

ROOT, STATE, KEPT = Path("/opt/catmaid"), Path("/var/lib/catmaid"), Path("/opt/catmaid.kept")
REPOSITORY = "/srv/catmaid.git"
GIT_SETTINGS, CONSTRAINTS = Path("/var/tmp/catmaid-bench-gitconfig"), Path("/var/tmp/catmaid-bench-constraints")
SERVICE, DATABASE, SITE, PAGE = "catmaid", "catmaid", "catmaid.example.org", "/projects/"
INSTALLED = "bench_installed"  # the database as it was before any upgrade
EVERY = 0.1  # seconds
PATIENCE = 60.0
AT_ONCE = 20

Asked = tuple[float, float, int]  # when, how long it took, status; 0 without an answer


def main() -> int:
    """Do what the first argument says."""
    command, *arguments = sys.argv[1:]
    told = COMMANDS[command](*arguments)
    if told is not None:
        print(json.dumps(told), flush=True)
    return 0


def keep() -> None:
    """Keep the instance as it is, to start over from it."""
    # The repository belongs to somebody else than the service user, who is to fetch from it.
    # What the documentation does not say, and without which the real 2021.12.21 does not start on Python 3.7.
    CONSTRAINTS.write_text("importlib-metadata<5\n", encoding="utf-8")
    GIT_SETTINGS.write_text("[safe]\n\tdirectory = *\n", encoding="utf-8")
    double.run(["systemctl", "stop", SERVICE])
    for folder in (ROOT, STATE):
        double.run(["cp", "-a", str(folder), f"{KEPT}{folder.name}-{folder.parent.name}"])
    double.psql("postgres", f'CREATE DATABASE "{INSTALLED}" OWNER {double.ROLE} TEMPLATE "{DATABASE}"')


def fill(filled: str, treenodes: str) -> None:
    """Make a database with so many treenodes out of the one that was installed: bench.fill only knows the double's."""
    double.run(["systemctl", "stop", SERVICE])
    double.psql("postgres", f'CREATE DATABASE "{filled}" OWNER {double.ROLE} TEMPLATE "{INSTALLED}"')
    double.generate(filled, int(treenodes))
    double.psql(filled, "VACUUM (ANALYZE, PARALLEL 0)")


def reset(filled: str) -> dict[str, Any]:
    """Let the first release serve the data of the database ``filled``, with nothing left of an upgrade."""
    double.run(["systemctl", "stop", SERVICE])
    shutil.rmtree("/var/backups/catmaid/catmaid", ignore_errors=True)
    for folder in (ROOT, STATE):
        shutil.rmtree(folder)
        double.run(["cp", "-a", f"{KEPT}{folder.name}-{folder.parent.name}", str(folder)])
    for name in double.psql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'catmaid%'").splitlines():
        double.drop_database(name)
    double.psql("postgres", f'CREATE DATABASE "{DATABASE}" OWNER {double.ROLE} TEMPLATE "{filled}" STRATEGY file_copy')
    double.psql("postgres", "CHECKPOINT")
    double.run(["systemctl", "start", SERVICE])
    deadline = time.monotonic() + PATIENCE
    while ask()[2] != 200:
        assert time.monotonic() < deadline, double.run(["journalctl", "-n", "40", "-u", SERVICE]).stdout
        time.sleep(EVERY)
    return {"bytes": int(double.psql("postgres", f"SELECT pg_database_size('{DATABASE}')"))}


def ask() -> Asked:
    """Ask the web server for the page, which reads from the database."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=PATIENCE)
    try:
        connection.request("GET", PAGE, headers={"Host": SITE})
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException):
        status = 0
    finally:
        connection.close()
    return started, time.monotonic() - started, status


def watch() -> dict[str, Any]:
    """Ask the page 10 times a second, answered or not, until stdin is closed and it is back."""
    answers: list[Asked] = []
    over = threading.Event()
    asking: list[threading.Thread] = []

    def wait_for_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    due = ended = time.monotonic()
    # Who starts the application may be done long before it answers.
    while not over.is_set() or (answers and max(answers)[2] != 200 and time.monotonic() < ended + PATIENCE):
        ended = time.monotonic() if not over.is_set() else ended
        asking = [one for one in asking if one.is_alive()]
        if len(asking) < AT_ONCE:
            asking.append(threading.Thread(target=lambda: answers.append(ask()), daemon=True))
            asking[-1].start()
        else:  # more of them would only keep a slow machine from ever coming to an end
            answers.append((time.monotonic(), 0.0, 0))
        due = max(due + EVERY, time.monotonic() - EVERY)
        time.sleep(max(0.0, due - time.monotonic()))
    for thread in asking:
        thread.join(PATIENCE)
    return {**outage(answers), "load": meter.load()}


def outage(answers: Sequence[Asked]) -> dict[str, Any]:
    """Return for how long nobody was served: from each first question without an answer to the next one with it."""
    spans, since, ordered = [], None, sorted(answers)
    for when, _seconds, status in ordered:
        if status != 200 and since is None:
            since = when
        elif status == 200 and since is not None:
            spans.append(when - since)
            since = None
    if since is not None:
        raise SystemExit("the page did not come back")
    good = [seconds for _when, seconds, status in ordered if status == 200]
    statuses = [status for _when, _seconds, status in ordered]
    return {
        "down": round(sum(spans), 3),
        "asked": len(ordered),
        "unanswered": {str(status): statuses.count(status) for status in sorted(set(statuses) - {200})},
        "slowest": round(max(good), 3),
    }


def documented(version: str, pip: str) -> dict[str, Any]:
    """Do what CATMAID's documentation says, with packages from pip's cache (warm) or from the network (cold)."""
    current = ROOT / "current"
    source, env, projects = current / "source", current / "env", current / "source/django/projects"
    cache = [] if pip == "warm" else ["--no-cache-dir"]
    git = ["git", "-C", str(source)]
    manage = [f"{env}/bin/python", "manage.py"]
    return {
        "phases": _timed(
            {
                "stop": lambda: double.run(["systemctl", "stop", SERVICE]),
                "pull": lambda: (
                    _as_user([*git, "fetch", "--quiet", "--tags", REPOSITORY]),
                    _as_user([*git, "checkout", "--quiet", version]),
                ),
                "pip": lambda: _as_user(
                    [f"{env}/bin/pip", "install", *cache, "-r", f"{source}/django/requirements.txt"]
                ),
                "migrate": lambda: _as_user([*manage, "migrate", "--noinput"], projects),
                "collectstatic": lambda: _as_user([*manage, "collectstatic", "--noinput"], projects),
                "start": lambda: double.run(["systemctl", "start", SERVICE]),
            }
        )
    }


def history() -> dict[str, Any]:
    """Return what our own job says of itself."""
    line = (STATE / "upgrade-history.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    return dict(json.loads(line))


def _as_user(argv: list[str], cwd: Path = Path("/")) -> None:
    env = {"PATH": f"{ROOT}/current/env/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(ROOT)}
    env.update(PIP_CACHE_DIR="/var/cache/pip", PIP_CONSTRAINT=str(CONSTRAINTS), GIT_CONFIG_GLOBAL=str(GIT_SETTINGS))
    double.run(["/usr/sbin/runuser", "-u", double.SERVICE_USER, "--", *argv], cwd=cwd, env=env)


def _timed(steps: dict[str, Callable[[], Any]]) -> dict[str, float]:
    phases = {}
    for name, step in steps.items():
        started = time.monotonic()
        step()
        phases[name] = round(time.monotonic() - started, 3)
    return phases


COMMANDS: dict[str, Callable[..., Any]] = {
    "keep": keep,
    "fill": fill,
    "reset": reset,
    "watch": watch,
    "documented": documented,
    "history": history,
}

if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
