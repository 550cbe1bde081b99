#!/usr/bin/env python3
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance's life on a throw-away host, by the collection's own playbooks: ``tests/tools tests/journey.py``.

Install, fill, back up, upgrade, destroy, restore, compare. Without variables it is the demo, on the CATMAID double.
With them it is the acceptance test, on a real CATMAID:

CATMAID_REPO                  URL of a git repository, or its path on this machine
CATMAID_FROM, CATMAID_TO      tag, branch or commit to install, and to upgrade to
CATMAID_PYTHON_FROM, CATMAID_PYTHON_TO   interpreters on the host
CATMAID_TEST_VOLUMES          what else of this machine the host shall see, "/outside:/inside:ro ..."
CATMAID_TREENODES             size of the data that are made, 100000
CATMAID_IMAGE                 bookworm (PostgreSQL 15) or trixie (PostgreSQL 17)
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PYTHON = "/usr/bin/python3"
GROUP = f"catmaid-journey-{os.getpid()}"
SITE = "catmaid.example.org"
# The journey goes on whatever the notes say; they are in its log.
ACKNOWLEDGED = "{{ (__catmaid_upgrade_plan | default({})).acknowledge | default('') }}"
TABLES = ("treenode", "treenode_edge", "connector", "treenode_connector", "review", "catmaid_skeleton_summary")
# Compared by content: what tracers made, and what a careless rebuild of materializations would lose.
CONTENT = """SELECT
    (SELECT sum(hashtext(concat_ws('/', id, parent_id, skeleton_id, user_id, location_x, location_y, location_z)))
       FROM ONLY treenode),
    (SELECT sum(hashtext(concat_ws('/', id, treenode_id, connector_id, relation_id))) FROM ONLY treenode_connector),
    (SELECT sum(num_imported_nodes) FROM catmaid_skeleton_summary)"""


class Failed(Exception):
    """A step that did not do what it should."""


class Journey:
    """One host, and the steps that were taken on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = os.environ.get("CATMAID_IMAGE", "bookworm")
        self.treenodes = os.environ.get("CATMAID_TREENODES", "100000")
        self.repository = os.environ.get("CATMAID_REPO", "")
        self.version_from = os.environ.get("CATMAID_FROM", "2030.01.15")
        self.version_to = os.environ.get("CATMAID_TO", "2030.06.20")
        self.python_from = os.environ.get("CATMAID_PYTHON_FROM", PYTHON)
        self.python_to = os.environ.get("CATMAID_PYTHON_TO", PYTHON)
        self.ssh: list[str] = []
        self.steps: list[tuple[str, float, str]] = []
        self.rows: dict[str, list[str]] = {}
        self.content: dict[str, str] = {}

    def step(self, title: str, work: Callable[[], str]) -> None:
        """Do one thing, say so, and remember how long it took and what came of it."""
        print(f"\n=== {title} ===", flush=True)
        start = time.monotonic()
        result = work()
        self.steps.append((title, time.monotonic() - start, result))
        print(result, flush=True)

    def on_host(self, command: str, stdin: Path | None = None) -> str:
        """Run a command as root on the host and return what it printed."""
        with open(stdin or os.devnull, encoding="utf-8") as text:
            done = subprocess.run([*self.ssh, command], check=False, stdin=text, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout.strip()

    def sql(self, query: str) -> str:
        """Return what a query gives, as psql's bare text."""
        return self.on_host(f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d catmaid -c {shlex.quote(query)}")

    def start_host(self) -> str:
        """Start the host, with the repository and the interpreters on it."""
        if not self.repository:
            double = self.folder / "double.git"
            subprocess.run([sys.executable, "tests/double/build.py", str(double), "--bare"], cwd=CHECKOUT, check=True)
            self.repository = str(double)
        volumes = os.environ.get("CATMAID_TEST_VOLUMES", "")
        if self.repository.startswith("/"):
            volumes += f" {self.repository}:/srv/catmaid.git:ro"
            self.repository = "/srv/catmaid.git"
        started = subprocess.run(
            ["tests/hosts/up", GROUP, self.image],
            cwd=CHECKOUT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"CATMAID_TEST_VOLUMES": volumes},
        )
        self.ssh = ["ssh", "-F", started.stdout.split()[-1], f"catmaid-{self.image}"]
        self.link_interpreters()
        self.write_site(started.stdout.split()[-1])
        return self.on_host("echo $(. /etc/os-release; echo $PRETTY_NAME), PostgreSQL $(ls /usr/lib/postgresql)")

    def link_interpreters(self) -> None:
        """Let interpreters from elsewhere find their shared libraries: in a folder that the linker knows."""
        for python in {self.python_from, self.python_to} - {PYTHON}:
            self.on_host(f"ln -sf {shlex.quote(str(Path(python).parent.parent))}/lib/libpython*.so* /usr/local/lib/")
        self.on_host("ldconfig")

    def write_site(self, ssh_config: str, **more: object) -> None:
        """Write what a lab keeps: an inventory. And let Ansible find this checkout as the collection."""
        hosts = {f"catmaid-{self.image}": {"ansible_user": "root", "ansible_ssh_common_args": f"-F {ssh_config}"}}
        variables = {
            "ansible_python_interpreter": PYTHON,
            "catmaid_repository": self.repository,
            "catmaid_server_name": SITE,
            # What is measured is the jobs and the web server's way; each environment takes half a minute less.
            "catmaid_processes": ["gunicorn"],
            "catmaid_instance_workers": 2,
            "catmaid_upgrade_notes_acknowledged": ACKNOWLEDGED,
            **more,
        }
        site = {"catmaid": {"hosts": hosts, "vars": variables}}
        (self.folder / "inventory.yml").write_text(json.dumps(site), encoding="utf-8")
        link = self.folder / "collections/ansible_collections/catmaid/admin"
        link.parent.mkdir(parents=True)
        link.symlink_to(CHECKOUT)

    def play(self, name: str, **variables: str) -> str:
        """Run one of the collection's playbooks, showing what it changes, and return Ansible's own summary."""
        argv = ["ansible-playbook", "-i", str(self.folder / "inventory.yml"), f"catmaid.admin.{name}"]
        for key, value in variables.items():
            argv += ["-e", f"{key}={value}"]
        environment = os.environ | {
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            # Its default is shared: another run's connection to a host of the same name would be taken for ours.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_DISPLAY_OK_HOSTS": "false",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        }
        with subprocess.Popen(argv, env=environment, cwd=self.folder, stdout=subprocess.PIPE, text=True) as playbook:
            assert playbook.stdout is not None
            recap = ""
            for line in playbook.stdout:
                recap = line if re.search(r"ok=\d+ +changed=", line) else recap
                if line.strip():
                    print(f"    {line}", end="", flush=True)
        if playbook.returncode:
            raise Failed(f"the playbook {name} failed")
        return " ".join(re.findall(r"(?:ok|changed)=\d+", recap))

    def fill(self) -> str:
        """Make tracing data, with all triggers on."""
        self.on_host(
            f"runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 -v treenodes={self.treenodes} -d catmaid -f -",
            CHECKOUT / "tests/double/generate.sql",
        )
        return self.count("filled")

    def count(self, moment: str) -> str:
        """Remember rows and content at a moment."""
        counts = self.sql("SELECT " + ", ".join(f"(SELECT count(*) FROM ONLY {table})" for table in TABLES))
        self.rows[moment] = counts.split("|")
        self.content[moment] = self.sql(CONTENT)
        size = self.sql("SELECT pg_size_pretty(pg_database_size(current_database()))")
        return f"{self.rows[moment][0]} treenodes, database {size}"

    def page(self) -> str:
        """Return what a browser would see of the start page."""
        answer = f"curl -sS -m 30 -H 'Host: {SITE}' -w '%{{http_code}}' http://127.0.0.1"
        version = self.on_host(f"{answer}/version")
        page = self.on_host(f"{answer}/")
        title = re.search(r"<title>(.*?)</title>", page, re.S)
        if not page.endswith("200") or not title:
            raise Failed(f"the start page is not served: {page[-300:]}")
        return f"HTTP 200 {title.group(1).strip()!r}, /version {version[:-3]}"

    def destroy(self) -> str:
        """Do what nobody should: drop the treenodes."""
        self.sql("DROP TABLE treenode CASCADE")
        return "DROP TABLE treenode CASCADE"

    def compare(self) -> str:
        """Fail unless the rows are back and their content is the same."""
        self.count("restored")
        if self.rows["restored"] != self.rows["filled"] or self.content["restored"] != self.content["filled"]:
            raise Failed(f"filled {self.rows['filled']} {self.content['filled']}\nrestored {self.rows} {self.content}")
        return f"{self.page()}; rows and content are the same as before"

    def backup_size(self) -> str:
        """Return the size of the newest backup."""
        return self.on_host("du -sh --apparent-size /var/backups/catmaid/catmaid/catmaid_* | tail -n 1 | cut -f 1")

    def run(self) -> None:
        """Take all steps."""
        there, then = self.version_from, self.version_to
        install = {"catmaid_version": there, "catmaid_python": self.python_from}
        upgrade = {"catmaid_version": then, "catmaid_python": self.python_to}
        self.step("Start a host", self.start_host)
        self.step(f"Install {there}", lambda: self.play("provision", **install))
        self.step("Make tracing data", self.fill)
        self.step("Look at the page", self.page)
        self.step("Back up", lambda: f"{self.play('backup')}, {self.backup_size()}")
        self.step(f"Upgrade to {then}", lambda: self.play("upgrade", **upgrade))
        self.step("Upgrade again: nothing to do", lambda: self.play("upgrade", **upgrade))
        self.step("Look at the page again", self.page)
        self.step("Back up the new release", lambda: f"{self.play('backup')}, {self.backup_size()}")
        self.step("Destroy a table", self.destroy)
        self.step("Restore", lambda: self.play("restore", catmaid_restore_confirm="catmaid"))
        self.step("Compare", self.compare)

    def report(self) -> None:
        """Print what was done."""
        print(f"\n{'step':<34}{'seconds':>8}  result")
        for title, seconds, result in self.steps:
            print(f"{title:<34}{seconds:8.1f}  {result}")
        print(f"\n{'rows':<34}" + "".join(f"{moment:>12}" for moment in self.rows))
        for number, table in enumerate(TABLES):
            print(f"{table:<34}" + "".join(f"{counts[number]:>12}" for counts in self.rows.values()))


def main() -> int:
    """Run the journey on a host of its own, and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="catmaid-journey-") as folder:
        os.chmod(folder, 0o755)  # the double's repository is read by the host's service user
        journey = Journey(Path(folder))
        try:
            journey.run()
        except (Failed, subprocess.CalledProcessError) as error:
            print(f"\nFAILED: {error}", flush=True)
            return 1
        finally:
            subprocess.run([CHECKOUT / "tests/hosts/down", GROUP], check=False)
        journey.report()
    return 0


if __name__ == "__main__":
    sys.exit(main())
