# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""examples/site as AWX runs it: by ansible-runner, as somebody who owns nothing, from a project that is read-only."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
PASSWORD = """it's "\\a $HOME {{ 7 * 7 }} #%: ü  """
SECRET = "another 'secret' {% raw %}"
SOMEBODY = pwd.getpwnam("nobody")
HOLDER = "pgrep -fc 'catmaid.admin job [l]ock' || true"
# What is the project, the collection and the tools is there to be read; nothing of root's home is there otherwise.
ISOLATE = """set -e
stage=$(mktemp -d)
for path in $TOOLS; do mkdir -p "$stage/tools$path"; mount --bind "$path" "$stage/tools$path"; done
mkdir -p "$stage/checkout"; mount --bind "$CHECKOUT" "$stage/checkout"
mount -t tmpfs -o mode=0755 tmpfs "$ROOT_HOME"
for path in $TOOLS; do mkdir -p "$path"; mount --bind "$stage/tools$path" "$path"; done
mount_readonly() { mount --bind "$1" "$2"; mount -o remount,bind,ro "$2"; }
mount_readonly "$stage/checkout" "$JOB/requirements_collections/ansible_collections/catmaid/admin"
mount_readonly "$stage/checkout/examples/site" "$JOB/project"
cd "$JOB/project"
exec setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs env -i "$@"
"""


def injection():
    """Return what AWX makes of credentials, which tests/awx knows."""
    spec = importlib.util.spec_from_file_location("injection", CHECKOUT / "tests/awx/injection.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Job:
    """A job, and what is left of it."""

    folder: Path
    process: subprocess.Popen

    def wait(self) -> int:
        """Return its exit code."""
        output, _ = self.process.communicate(timeout=600)
        assert (self.folder / "artifacts/job/rc").exists(), output
        return self.process.returncode

    @property
    def status(self) -> str:
        return (self.folder / "artifacts/job/status").read_text()

    def output(self) -> str:
        return (self.folder / "artifacts/job/stdout").read_text()

    def events(self) -> list[dict]:
        paths = (self.folder / "artifacts/job/job_events").glob("*.json")
        return [json.loads(path.read_text()) for path in paths if "partial" not in path.name]

    def results(self) -> dict:
        """Return what AWX keeps as the job's artifacts."""
        (end,) = [event["event_data"] for event in self.events() if event["event"] == "playbook_on_stats"]
        return end["artifact_data"].get("catmaid_results", {})

    def kept(self) -> str:
        """Return everything that AWX keeps or shows of the job."""
        files = [path for path in (self.folder / "artifacts").rglob("*") if path.is_file()]
        return "\n".join(path.read_text(errors="replace") for path in files)


class Launcher:
    """Starts jobs as AWX does."""

    def __init__(self, top: Path) -> None:
        self.top, self.number = top, 4700

    def start(
        self,
        playbook: str,
        *options: str,
        hosts: dict | None = None,
        credentials: dict[str, dict[str, str]] | None = None,
        **variables: object,
    ) -> Job:
        """Start a job with credentials, by their types, and the answers of a survey."""
        self.number += 1
        folder = self.top / str(self.number)
        for name in ("env", "inventory", "project", "artifacts", "home", "requirements_collections"):
            (folder / name).mkdir(parents=True)
        (folder / "requirements_collections/ansible_collections/catmaid/admin").mkdir(parents=True)
        config = Path(os.environ["CATMAID_SSH_CONFIG"]).read_text()
        self.write(folder / "inventory/hosts.yml", self.inventory(config, hosts or {}))
        extra = {"awx_job_id": self.number, "awx_user_name": "ada", "awx_job_template_name": playbook, **variables}
        self.write(folder / "env/extravars", extra)
        self.write(folder / "env/envvars", self.environment(folder, credentials or {}))
        (folder / "env/cmdline").write_text(" ".join(options))
        key = re.search(r"IdentityFile (.*)", config)[1]
        shutil.copy(key, folder / "env/ssh_key")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, SOMEBODY.pw_uid, SOMEBODY.pw_gid)
        return Job(folder, self.launch(folder, playbook))

    def run(self, playbook: str, *options: str, **wanted: object) -> Job:
        """Run a job to its end."""
        job = self.start(playbook, *options, **wanted)
        job.wait()
        return job

    @staticmethod
    def write(path: Path, content: object) -> None:
        path.write_text(yaml.safe_dump(content))

    @staticmethod
    def inventory(config: str, hosts: dict) -> dict:
        """Return the test hosts as AWX knows them, without our ssh configuration."""
        found = dict(re.findall(r"^Host (\S+)\n +HostName (\S+)", config, re.MULTILINE))
        there = {name: {"ansible_host": address} for name, address in found.items()} | hosts
        variables = yaml.safe_load((CHECKOUT / "molecule/shared/inventory/group_vars/catmaid.yml").read_text())
        variables |= {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
        return {"catmaid": {"hosts": there, "vars": variables}}

    @staticmethod
    def environment(folder: Path, credentials: dict[str, dict[str, str]]) -> dict[str, str]:
        """Return the environment of a job with its credentials."""
        types = yaml.load(
            (CHECKOUT / "awx/vars/credential_types.yml").read_text().replace("!unsafe", ""), yaml.SafeLoader
        )["catmaid_awx_credential_types"]
        injectors = {type_["name"]: type_["injectors"] for type_ in types}
        found = {"ANSIBLE_HOST_KEY_CHECKING": "False", "AWX_PRIVATE_DATA_DIR": str(folder)}
        for name, values in credentials.items():
            found |= injection().inject(injectors[name], values, folder / "env")
        return found

    @staticmethod
    def launch(folder: Path, playbook: str) -> subprocess.Popen:
        """Start ansible-runner without a terminal, where root's home is not to be seen."""
        home = pwd.getpwuid(0).pw_dir
        tools = {str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix)}
        here = {
            "PATH": os.environ["PATH"],
            "CHECKOUT": str(CHECKOUT),
            "ROOT_HOME": home,
            "JOB": str(folder),
            "TOOLS": " ".join(path for path in tools if path.startswith(f"{home}/")),
        }
        inside = {
            "HOME": f"{folder}/home",
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": f"{folder}/requirements_collections",
        }
        runner = ["ansible-runner", "run", str(folder), "--ident", "job", "--playbook", f"{playbook}.yml"]
        words = [*(f"{name}={value}" for name, value in inside.items()), *runner]
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ISOLATE, "isolate", *words]
        return subprocess.Popen(
            argv,
            env=here,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def awx(instances):
    """What launches jobs, where PostgreSQL knows the password of its administrator."""
    literal = PASSWORD.replace("'", "''")
    for instance in instances:
        instance.sql(f"ALTER ROLE postgres PASSWORD E'{literal}'".replace("\\", "\\\\"), "postgres")
    top = Path(tempfile.mkdtemp(prefix="awx-"))
    top.chmod(0o755)
    yield Launcher(top)
    shutil.rmtree(top)


def target() -> dict:
    """Return a place for copies that has a secret, as a lab's variables would have it."""
    secret = "{{ lookup('catmaid.admin.secret_file', 'CATMAID_STORE_SECRET_FILE') }}"
    return {"name": "shelf", "backend": "local", "path": "/srv/awx", "encrypt": False, "secrets": {"token": secret}}


def test_a_backup_says_whose_it_is_and_shows_no_secret(awx, instances):
    given = {"CATMAID database": {"password": PASSWORD}, "CATMAID backup store": {"secret": SECRET}}
    # The server wants the password where it is asked by TCP.
    wanted = {"catmaid_backup_db_host": "127.0.0.1", "catmaid_backup_targets": [target()]}
    job = awx.run("backup", "-vvv", credentials=given, **wanted)
    assert (job.process.returncode, job.status) == (0, "successful"), job.output()
    results = job.results()
    for instance in instances:
        told = results[instance.name]["catmaid_backups"]["catmaid"]
        manifest = json.loads(instance.run(f"cat {told['path']}/manifest.json"))
        assert manifest["requested_by"] == f"AWX job {awx.number}"
        assert (told["id"], told["bytes"]) == (manifest["id"], manifest["bytes"])
        assert told["rows"] > 10000 and told["seconds"] > 0
        instance.run(f"test -e /srv/awx/catmaid/{told['id']}.tar && rm -r /srv/awx")
        assert told["id"] in job.kept()
    kept = job.kept()
    for secret in (PASSWORD, SECRET):
        # As it is, as JSON has it, and as Python shows it
        for form in {secret, secret.strip(), json.dumps(secret)[1:-1], json.dumps(json.dumps(secret))[3:-3]}:
            assert form not in kept
    assert {path.owner() for path in (job.folder / "artifacts").rglob("*")} == {"nobody"}


def test_a_plan_is_kept_and_an_unreachable_host_fails_the_job(awx, instances):
    gone = {"catmaid-gone": {"ansible_host": "127.0.0.1", "ansible_port": 9}}
    wanted = {"catmaid_version": "2030.06.20", "catmaid_serial": "100%"}
    job = awx.run("upgrade", "--tags plan", hosts=gone, **wanted)
    assert (job.process.returncode, job.status) == (4, "failed"), job.output()
    for instance in instances:
        assert instance.name in job.results(), job.output()
        plan = job.results()[instance.name]["catmaid_plan"]
        assert plan["needed"] is True
        assert plan["version"] == "2030.06.20"
        assert "2030.01.15" in plan["report"]


def test_the_second_of_two_jobs_fails_at_once_and_names_the_first(awx, instances):
    instance = instances[0]
    first = awx.start("restore", f"--limit {instance.name}", catmaid_restore_confirm="catmaid")
    number = awx.number
    deadline = time.monotonic() + 120
    while instance.run(HOLDER).strip() == "0":
        assert time.monotonic() < deadline and first.process.poll() is None
        time.sleep(0.2)
    second = awx.run("backup", f"--limit {instance.name}")
    assert (second.process.returncode, second.status) == (2, "failed")
    assert f"is locked by restore of latest by AWX job {number}" in second.output()
    assert first.process.poll() is None  # it has not waited for it
    assert (first.wait(), first.status) == (0, "successful"), first.output()
    told = first.results()[instance.name]
    assert told["catmaid_version_after"] == "2030.01.15"
    assert told["catmaid_restore_archive"].startswith("/var/backups/catmaid/")
    assert instance.treenodes() == 10000


def test_an_upgrade_that_fails_fails_the_job_and_one_that_arrives_tells_how_long_it_took(awx, instances):
    instance = instances[1]
    wanted = {"catmaid_version": "2030.06.20", "catmaid_upgrade_notes_acknowledged": "2030.06.20"}
    failing = {"catmaid_upgrade_hook": "/bin/false", "catmaid_upgrade_backup": False}
    failed = awx.run("upgrade", f"--limit {instance.name}", **wanted, **failing)
    assert (failed.process.returncode, failed.status) == (2, "failed"), failed.output()
    assert "it failed and it was undone" in failed.output()
    assert instance.version() == "2030.01.15"
    job = awx.run("upgrade", f"--limit {instance.name}", **wanted)
    assert (job.process.returncode, job.status) == (0, "successful"), job.output()
    told = job.results()[instance.name]
    assert (told["catmaid_version_before"], told["catmaid_version_after"]) == ("2030.01.15", "2030.06.20")
    assert 0 < told["catmaid_downtime_seconds"] < 120
    assert told["catmaid_backups"]["catmaid"]["bytes"] > 0
    assert instance.version() == "2030.06.20"
