# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Visitors of the sites, who come from outside, and what the playbook of the scenario has set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

CONVERGE = Path(__file__).parents[1] / "converge.yml"


@dataclass
class Answer:
    """What a visitor got: headers by their names in small letters, each with all its values."""

    status: int
    headers: dict[str, list[str]]
    body: str

    def header(self, name: str) -> str:
        """Return a header that comes once at most; an empty text when there is none."""
        values = self.headers.get(name, [])
        assert len(values) < 2, self.headers
        return values[0] if values else ""

    @property
    def told(self) -> dict:
        """What the application was told."""
        return json.loads(self.body)


def ask(instance, url: str, *options: str, text: bool = True) -> Answer:
    """Ask for a page as somebody on another host does."""
    address = "$(hostname -I | cut -d' ' -f1)"
    names = " ".join(
        f"--resolve {name}:{port}:{address}" for name in ("catmaid.test", "second.test") for port in (80, 443)
    )
    keep = "/tmp/answer" if text else "/dev/null"
    command = f"curl -sSk -m 60 {names} -D /tmp/headers -o {keep} {' '.join(options)} '{url}' && cat /tmp/headers"
    status, *lines = instance.run(f"rm -f /tmp/answer; {command}").strip().split("\r\n\r\n")[-1].splitlines()
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _colon, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    body = instance.run("cat /tmp/answer 2>/dev/null || true") if text else ""
    return Answer(int(status.split()[1]), headers, body)


@pytest.fixture(scope="session")
def visit():
    """Ask for a page as somebody on another host does."""
    return ask


@pytest.fixture(scope="session")
def wanted() -> dict:
    """The variables that the scenario's playbook sets."""
    # Scans have an environment of their own, which the next run of the tests finds again.
    scan = {"catmaid_nginx_ssl_scan_env": "~/.cache/catmaid.admin/sslyze-of-tests"}
    return yaml.safe_load(CONVERGE.read_text(encoding="utf-8"))[0]["vars"] | scan
