# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""catmaid-admin as the tests run it: installed by its module, with a configuration and a state of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import run_module


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    rc: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.out + self.err


@dataclass(frozen=True)
class Program:
    """The installed program."""

    path: Path

    def argv(self, *words: str, config: Path | None = None) -> list[str]:
        """Return a command line."""
        return [str(self.path), *words, *(["--config", str(config)] if config else [])]

    def __call__(self, *words: str, config: Path | None = None) -> Done:
        """Run a command as a timer does: with nothing of ours in its environment."""
        done = subprocess.run(
            self.argv(*words, config=config), capture_output=True, text=True, env={}, cwd="/", timeout=120
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *words: str, config: Path, rc: int = 0) -> Any:
        """Return what a command prints with --json."""
        done = self(*words, "--json", config=config)
        assert done.rc == rc, done.text
        return json.loads(done.out)

    def start(self, *words: str, config: Path) -> subprocess.Popen[str]:
        """Start a command."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.argv(*words, config=config), text=True, env={}, cwd="/", **pipes)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Install catmaid-admin once."""
    path = tmp_path_factory.mktemp("bin") / "catmaid-admin"
    assert run_module("command_line", path=str(path)).changed
    return Program(path)


def configure(folder: Path, instance: str = "it", **values: Any) -> Path:
    """Write a configuration, readable by root alone."""
    path = folder / f"{instance}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"instance": instance, "state_dir": str(folder / "state"), **values}))
    return path
