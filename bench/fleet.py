# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run beside run.py: playbooks on one host and on many at once, that are copies of it, with and without pipelining."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.upgrade_plays import Site

CHECKOUT = Path(__file__).resolve().parent.parent
HOSTS = int(os.environ.get("BENCH_HOSTS", "20"))
PLAYBOOKS = ("status", "backup")
TREENODES = 10_000
DATA = f"runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 -v treenodes={TREENODES} -d catmaid"

Row = dict[str, Any]


def rounds(site: Site, folder: Path, group: str, image: str, volumes: str, repetitions: int) -> Iterator[Row]:
    """Yield how long each playbook takes; before, let there be copies of the instance of ``site``."""
    site.run(f"{DATA} -f /opt/ansible_collections/catmaid/admin/tests/double/generate.sql")
    started = subprocess.run(
        [CHECKOUT / "tests/hosts/copies", group, image, str(HOSTS)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CATMAID_TEST_VOLUMES": volumes},
    )
    inventory = _inventory(folder, started.stdout.split()[-1])
    for _round in range(repetitions):
        for playbook in PLAYBOOKS:
            for pipelining in (True, False):
                for hosts in (1, HOSTS):
                    told = _play(folder, inventory, playbook, hosts, pipelining=pipelining)
                    yield {"variant": f"{playbook}, {'with' if pipelining else 'without'} pipelining", **told}


def _inventory(folder: Path, ssh_config: str) -> Path:
    """Write an inventory of the copies, with the variables of the one host."""
    path = folder / "fleet.json"
    site = json.loads((folder / "inventory.yml").read_text(encoding="utf-8"))["catmaid"]
    about = {"ansible_user": "root", "ansible_ssh_common_args": f"-F {ssh_config}"}
    hosts = {f"catmaid-{number}": about for number in range(1, HOSTS + 1)}
    path.write_text(json.dumps({"catmaid": {"hosts": hosts, "vars": site["vars"]}}), encoding="utf-8")
    return path


def _play(folder: Path, inventory: Path, playbook: str, hosts: int, *, pipelining: bool) -> Row:
    limit = ",".join(f"catmaid-{number}" for number in range(1, hosts + 1))
    argv = ["ansible-playbook", "-i", str(inventory), f"--limit={limit}", f"--forks={HOSTS}"]
    argv += ["-e", json.dumps({"catmaid_status_report": str(folder)})]
    environment = os.environ | {
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
        "ANSIBLE_PIPELINING": str(pipelining),
    }
    load = os.getloadavg()[0]
    started = time.monotonic()
    argv.append(f"catmaid.admin.{playbook}")
    done = subprocess.run(argv, check=False, env=environment, capture_output=True, text=True)
    seconds = round(time.monotonic() - started, 3)
    if done.returncode:
        raise SystemExit(f"the playbook {playbook} failed\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    print(f"    {playbook} on {hosts} hosts, pipelining {pipelining}: {seconds} s", flush=True)
    return {"hosts": hosts, "seconds": seconds, "load": load}
