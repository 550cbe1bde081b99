# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all scenarios use: the instances as users see them, and the collection's playbooks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import testinfra
from playwright.sync_api import Browser, sync_playwright

INVENTORY = Path(__file__).parent / "shared/inventory"
HOSTS = Path(__file__).parents[1] / "tests/hosts"
SITE = "catmaid.test"
NAMES = ("catmaid-bookworm", "catmaid-trixie")
# As the inventory has it
FOLDERS = {} if os.environ.get("MOLECULE_SCENARIO_NAME") == "nginx_ssl" else {"catmaid-trixie": "/lab/fly"}


class Instance:
    """An instance on one of the test hosts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = FOLDERS.get(name, "")
        self.host = testinfra.get_host(f"ssh://{name}", ssh_config=os.environ["CATMAID_SSH_CONFIG"])

    def crash(self) -> None:
        """Let its power fail, and let it boot. Nobody is told that connections are lost by that."""
        argv = [str(HOSTS / "crash"), os.environ["CATMAID_HOSTS"], self.name.rpartition("-")[2]]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        for socket in Path(os.environ["ANSIBLE_SSH_CONTROL_PATH_DIR"]).glob("*"):
            socket.unlink()

    def __repr__(self) -> str:
        return self.name

    def run(self, command: str) -> str:
        """Return what a command prints that must succeed."""
        return self.host.check_output(command)

    def sql(self, query: str, database: str = "catmaid") -> str:
        """Return what a query gives, as psql's bare text."""
        return self.host.check_output("cd / && runuser -u postgres -- psql -XAtqc %s %s", query, database)

    def get(self, path: str, *options: str) -> tuple[int, str]:
        """Return status and body of a page of the instance, asked through the web server by the site's name."""
        return self.follow(self.folder + path, *options)

    def follow(self, link: str, *options: str) -> tuple[int, str]:
        """Return status and body of what a page links to."""
        more = " ".join(options)
        answer = self.host.check_output(
            f"curl -sS -m 30 {more} -w '\\n%{{http_code}}' -H 'Host: {SITE}' http://127.0.0.1{link}"
        )
        body, status = answer.rsplit("\n", 1)
        return int(status), body

    def has_its_style(self) -> bool:
        """Tell whether the start page links to a style sheet in the instance's folder, and that is there."""
        link = self.get("/")[1].split('<link rel="stylesheet" href="')[1].split('"')[0]
        return link.startswith(f"{self.folder}/static/") and self.follow(link)[0] == 200

    def version(self) -> str:
        """Return the release that serves."""
        return json.loads(self.get("/version")[1])["SERVER_VERSION"]

    def treenodes(self) -> int:
        """Return the number of treenodes in the live database."""
        return int(self.sql("SELECT count(*) FROM ONLY treenode"))

    def databases(self) -> set[str]:
        """Return the names of the instance's databases, the live one and those beside it."""
        return set(self.sql("SELECT datname FROM pg_database WHERE datname LIKE 'catmaid%'", "postgres").splitlines())

    def is_in_maintenance(self) -> bool:
        """Tell whether visitors see the maintenance page."""
        return self.get("/")[0] == 503


@dataclass
class Play:
    """How a playbook ended, on all hosts."""

    rc: int
    output: str
    shown: str = ""  # while it ran, before the results of its tasks

    def tasks(self, name: str) -> list[tuple[str, dict]]:
        """Return the tasks that ran on a host, with their results."""
        plays = json.loads(self.output)["plays"]
        return [(t["task"]["name"], t["hosts"][name]) for p in plays for t in p["tasks"] if name in t["hosts"]]

    def results(self, name: str) -> dict:
        """Return what AWX would keep of a host as results of the job."""
        return json.loads(self.output)["global_custom_stats"].get("catmaid_results", {}).get(name, {})

    def changed(self, name: str) -> list[str]:
        """Return the tasks that changed a host, or would."""
        return [task for task, result in self.tasks(name) if result.get("changed")]

    def messages(self, name: str) -> str:
        """Return what the failed tasks of a host said."""
        return "\n".join(str(result.get("msg")) for _, result in self.tasks(name) if result.get("failed"))


def start(playbook: str, *options: str, callback: str = "ansible.posix.json", **variables: object) -> subprocess.Popen:
    """Start one of the collection's playbooks on all hosts."""
    argv = ["ansible-playbook", "-i", str(INVENTORY), f"catmaid.admin.{playbook}", *options]
    # Upgrades go from host to host unless told otherwise; most tests want both at once.
    argv += ["-e", json.dumps({"catmaid_serial": "100%", **variables})]
    environment = os.environ | {
        "ANSIBLE_STDOUT_CALLBACK": callback,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SHOW_CUSTOM_STATS": "1",
    }
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> Play:
    """Wait for a playbook, as long as it may still end on a busy machine."""
    output, _ = process.communicate(timeout=1200)
    begin = output.find("{\n") if output.rstrip().endswith("}") else 0
    return Play(process.returncode, output[begin:], output[:begin])


def kill(process: subprocess.Popen) -> None:
    """Kill a playbook and all that it runs on this machine, as when the controller is gone."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = dict(map(int, line.split()) for line in listed.splitlines())
    wanted = {process.pid}
    while more := {child for child, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    for pid in wanted:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


class Player:
    """Runs the collection's playbooks on the hosts of some instances."""

    inventory = INVENTORY
    finish = staticmethod(finish)
    kill = staticmethod(kill)

    def __init__(self, instances: list[Instance]) -> None:
        self.hosts = ",".join(instance.name for instance in instances)
        self.started: list[subprocess.Popen] = []

    def start(self, playbook: str, *options: str, **variables: object) -> subprocess.Popen:
        """Start one; a limit of the test's own comes after this one, and wins."""
        self.started.append(start(playbook, "--limit", self.hosts, *options, **variables))
        return self.started[-1]

    def tidy_up(self) -> None:
        """Kill what a test that failed has left running: it would hold the lock of the instance."""
        while self.started:
            process = self.started.pop()
            if process.poll() is None:
                self.kill(process)

    def __call__(self, *arguments: str, **variables: object) -> Play:
        """Run one to its end."""
        return finish(self.start(*arguments, **variables))


@pytest.fixture(scope="module")
def instances(request) -> list[Instance]:
    """The instances on both hosts, or on the one that is enough for what a file tests."""
    marker = request.node.get_closest_marker("once")
    return [Instance(name) for name in NAMES if not marker or name.endswith(marker.args)]


@pytest.fixture(scope="module")
def play(instances) -> Player:
    """Run one of the collection's playbooks on the hosts of these instances, and return how it ended."""
    return Player(instances)


@pytest.fixture(scope="module")
def browser(instances) -> Iterator[Browser]:
    """Chromium, of the system's own packages, on this machine. It finds the site on the first of these hosts."""
    subprocess.run(["bash", "-c", f"source '{HOSTS}/lib.sh'; apt_install chromium fonts-dejavu-core"], check=True)
    address = instances[0].run("hostname -I").split()[0]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", f"--host-resolver-rules=MAP {SITE} {address}"],
        )
        yield found
        found.close()


@pytest.fixture(autouse=True)
def _nothing_goes_on(play):
    """A test's plays end with it."""
    yield
    play.tidy_up()
