#!/usr/bin/env python3
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks and tests of this collection, each as a step with a name: ``tests/tools tests/run.py [STEP ...]``.

Without a name all steps run; ``lint`` stands for every step that starts with ``lint-``. A failing step does not stop
the others. The last line counts the steps: ``N passed, N failed``.

Steps with hosts wait more than they work, so those of different lanes (the integration tests of each image, the
scenarios) run side by side when several are wanted. What a lane's steps printed is shown when the lane has ended.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import ansible
from steps import RESULTS, Step, in_lanes, run_lanes, run_steps

CHECKOUT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catmaid.admin"
ARTIFACTS = CHECKOUT / ".artifacts"
MODULE_FOLDER = Path("ansible_collections/catmaid/admin")
IMAGES = ("bookworm", "trixie")
# Further PostgreSQLs and Pythons, for those who ask for them: 13 and 3.9, 14 and 3.10, 16 and 3.12
OTHER_IMAGES = ("bullseye", "jammy", "noble")
MOLECULE = "molecule-"
# Scenarios that follow other tests or have hosts of their own, so that all lanes take about the same time.
LANES = {"hosts": "first", "tuning": "first", "nginx_ssl": "first", "backup": "first"}
LANES |= {"instance": "awx", "schedule": "awx"}
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ENGINE = "plugins/module_utils/engine"
# What users get. Some rules of ansible-test make sense in plugins alone, so our own linters check the rest.
SHIPPED = ("changelogs/", "meta/", "playbooks/", "plugins/", "roles/")


def call(argv: list[str], cwd: Path = CHECKOUT, **environment: str) -> bool:
    """Run a command with its output going where ours goes, and return whether it succeeded."""
    return subprocess.run(argv, cwd=cwd, env=os.environ | environment, check=False).returncode == 0


def collections_path(folder: Path) -> str:
    """Return a collections path in which the checkout itself is catmaid.admin."""
    link = folder / "collections" / MODULE_FOLDER
    link.parent.mkdir(parents=True)
    link.symlink_to(CHECKOUT)
    return str(folder / "collections")


def ansible_environment(folder: Path) -> dict[str, str]:
    """Return variables with which Ansible tests this checkout, and not a copy of it that was installed some day."""
    return {
        "ANSIBLE_HOME": str(folder / "home"),
        # Or runs at the same time share connections: all have hosts of the same names.
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        "ANSIBLE_COLLECTIONS_PATH": collections_path(folder),
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
    }


def command(argv: list[str], folder: Path) -> bool:
    """Run one of the tools."""
    return call(argv, **ansible_environment(folder))


def pytest_arguments(folder: str) -> list[str]:
    """Return what PYTEST_ARGS asks for, in a folder when it names no test itself."""
    given = shlex.split(os.environ.get("PYTEST_ARGS", ""))
    return given if any(argument.startswith("tests/") for argument in given) else [folder, *given]


def tracked_files(*patterns: str) -> list[str]:
    """Return the files that are, or will be, in the repository."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(listed, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [name for name in dict.fromkeys(names) if (CHECKOUT / name).is_file()]


def shell_scripts() -> list[str]:
    """Return our shell scripts: they have no suffix, so it is the first line that tells."""
    return [name for name in tracked_files() if (CHECKOUT / name).read_bytes()[:40].startswith(b"#!/usr/bin/env bash")]


def lint_shell(folder: Path) -> bool:
    """Run shellcheck on every shell script."""
    return command(["shellcheck", *shell_scripts()], folder)


def sanity(folder: Path) -> bool:
    """Run ansible-test sanity on a copy, as it wants a git work tree at a certain place."""
    copy = folder / MODULE_FOLDER
    for name in tracked_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, copy / name, follow_symlinks=False)
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    subprocess.run(["git", "add", "--all", "--force"], cwd=copy, check=True)
    # It keeps its virtual environments below $HOME, and would download pip if nobody had put something there before.
    home = CACHE / f"sanity-{PYTHON}"
    bootstrap = home / ".ansible/test/cache/get_pip_24_2.py"
    bootstrap.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(CHECKOUT / "tests/sanity/get_pip.py", bootstrap)
    argv = ["ansible-test", "sanity", "--local", "--python", PYTHON, "--color", "no"]
    return call([*argv, *shlex.split(os.environ.get("SANITY_ARGS", "")), *SHIPPED], cwd=copy, HOME=str(home))


def pytest(tests: str, folder: Path) -> bool:
    """Run the tests of a folder on this machine."""
    path = collections_path(folder)
    # Or Python would find the ansible_collections of the package "ansible" only.
    (Path(path) / "ansible_collections/__init__.py").touch()
    return call(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *pytest_arguments(tests)],
        PYTHONPATH=path,
        **ansible_environment(folder / "ansible"),
    )


def collect_logs(name: str, folder: Path, **environment: str) -> None:
    """Fetch what the hosts of a failed step have to say, if it got as far as having some."""
    if not Path(environment["CATMAID_SSH_CONFIG"]).exists():
        return
    target = ARTIFACTS / name
    shutil.rmtree(target, ignore_errors=True)
    print(f"\nCollecting the hosts' logs in {target.relative_to(CHECKOUT)}/", flush=True)
    call(
        ["ansible-playbook", "-i", "molecule/shared/inventory", "molecule/shared/collect_logs.yml"],
        **ansible_environment(folder / "logs") | environment | {"CATMAID_ARTIFACTS": str(target)},
    )


@contextmanager
def fresh_host(image: str, volumes: str) -> Iterator[str]:
    """Start a test host, yield its ssh configuration, and remove it whatever happens."""
    group = f"catmaid-it-{os.getpid()}"
    environment = os.environ | {"CATMAID_TEST_VOLUMES": volumes}
    argv = ["tests/hosts/up", group, image]
    try:
        started = subprocess.run(argv, cwd=CHECKOUT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        yield started.stdout.strip()
    finally:
        call(["tests/hosts/down", group])


def integration(image: str, folder: Path) -> bool:
    """Run the integration tests inside a fresh host, with its own Python and its own PostgreSQL."""
    host = f"catmaid-{image}"
    terminal = "-tt" if sys.stdout.isatty() else "-T"
    remote = ["env", f"--chdir=/opt/{MODULE_FOLDER}", "PYTHONPATH=/opt", "COLUMNS=250"]
    # Not beside the sources, which are ours.
    remote += ["PYTHONPYCACHEPREFIX=/var/cache/python"]
    remote += ["python3", "-m", "pytest", "-p", "no:cacheprovider", *pytest_arguments("tests/integration")]
    # Modules run there with the ansible.module_utils of our ansible-core, as they do when Ansible sends them.
    with fresh_host(image, volumes=f"{Path(ansible.__file__).parent}:/opt/ansible:ro") as ssh_config:
        passed = call(["ssh", terminal, "-F", ssh_config, host, shlex.join(remote)])
        if not passed:
            collect_logs(f"integration-{image}", folder, CATMAID_SSH_CONFIG=ssh_config, CATMAID_LIMIT=host)
    return passed


def scenarios() -> list[str]:
    """Return the names of the Molecule scenarios, the one that proves the hosts themselves first."""
    names = [path.parent.name for path in (CHECKOUT / "molecule").glob("*/molecule.yml")]
    return sorted(names, key=lambda name: (name != "hosts", name))


class Molecule:
    """The hosts that all scenarios of a run share, and how a scenario is run on them."""

    def __init__(self) -> None:
        # A name given from outside means that somebody wants to keep the hosts, to look at them or for the next run.
        self.keep = "HOSTS" in os.environ
        self.group = os.environ.get("HOSTS") or f"catmaid-{os.getpid()}"
        self.ssh_config = str(CACHE / "hosts" / self.group / "ssh_config")

    def run(self, scenario: str, folder: Path) -> bool:
        """Run one scenario."""
        variables = {"CATMAID_HOSTS": self.group, "CATMAID_SSH_CONFIG": self.ssh_config}
        environment = ansible_environment(folder) | variables | {"MOLECULE_GLOB": "molecule/*/molecule.yml"}
        # Molecule writes a configuration of its own.
        del environment["ANSIBLE_CONFIG"]
        path = f"{CHECKOUT}/tests/bin:{os.environ['PATH']}"
        environment |= {"PATH": path, "CATMAID_PACKED_MODULES": tempfile.mkdtemp(dir=folder)}
        if not sys.stdout.isatty():
            environment |= {"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "MOLECULE_COMMAND_BORDERS": "0", "COLUMNS": "150"}
        argv = ["molecule", "-c", "molecule/shared/base.yml", "test", "--scenario-name", scenario, "--destroy", "never"]
        passed = call([*argv, *shlex.split(os.environ.get("MOLECULE_ARGS", ""))], **environment)
        if not passed:
            collect_logs(scenario, folder, **variables)
            if not self.keep:
                # The next scenario shall not stumble over what this one left behind.
                self.remove_hosts()
        return passed

    def lane(self, scenario: str) -> str:
        """Return the lane of a scenario: hosts with a name of somebody's own cannot be had twice."""
        return "molecule" if self.keep else LANES.get(scenario, "molecule")

    def remove_hosts(self) -> None:
        """Remove the hosts."""
        call(["tests/hosts/down", self.group])


def all_steps(molecule: Molecule) -> list[Step]:
    """Return every step, in the order in which they run: quick ones first."""
    commands = {
        "lint-python": ["ruff", "check"],
        "lint-format": ["ruff", "format", "--check"],
        "lint-types": ["mypy", ENGINE],
        "lint-yaml": ["yamllint", "--strict", "."],
        "lint-spelling": ["codespell"],
        "lint-changelog": ["antsibull-changelog", "lint"],
        "lint-docs": [
            *("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self"),
            *("--skip-rstcheck", "."),
        ],
        "lint-ansible": ["ansible-lint", "--offline"],
    }
    return [
        *(Step(name, partial(command, argv)) for name, argv in commands.items()),
        Step("lint-shell", lint_shell),
        Step("unit", partial(pytest, "tests/unit")),
        Step("sanity", sanity),
        Step("awx", partial(pytest, "tests/awx"), lane="awx"),
        *(Step(f"integration-{image}", partial(integration, image), lane=image) for image in IMAGES),
        *(Step(f"integration-{image}", partial(integration, image), image, extra=True) for image in OTHER_IMAGES),
        *(Step(f"{MOLECULE}{name}", partial(molecule.run, name), lane=molecule.lane(name)) for name in scenarios()),
    ]


def main() -> int:
    """Run the wanted steps and say how they ended."""
    # Like Ctrl-C, so that hosts are removed. Who is started in the background inherits that Ctrl-C is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    molecule = Molecule()
    steps = all_steps(molecule)
    wanted = sys.argv[1:]
    unknown = [name for name in wanted if not any(step.is_meant_by(name) for step in steps)]
    if unknown:
        print(f"No such step: {', '.join(unknown)}. There are: {', '.join(step.name for step in steps)}")
        return 2
    chosen = [step for step in steps if any(step.is_meant_by(name) for name in wanted) or not (wanted or step.extra)]
    lanes = in_lanes(chosen)
    complaints: list[str] = []
    try:
        if len(lanes) > 1:
            results, complaints = run_lanes(lanes)
        else:
            results = run_steps(chosen)
    except KeyboardInterrupt:
        print("\nInterrupted", flush=True)
        return 130
    finally:
        if not molecule.keep and len(lanes) < 2 and any(step.name.startswith(MOLECULE) for step in chosen):
            molecule.remove_hosts()

    if RESULTS in os.environ:
        Path(os.environ[RESULTS]).write_text(json.dumps([asdict(result) for result in results]), encoding="utf-8")
        return 0
    print(f"\n{'step':<32}{'result':<10}seconds")
    for result in results:
        print(f"{result.name:<32}{'passed' if result.passed else 'FAILED':<10}{result.seconds:7.1f}")
    if complaints:  # again, at the end: in half an hour's output nobody finds them
        print(*complaints, sep="\n")
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
