# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A password arrives in a job as it was typed into AWX, whatever characters it has."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.contracts.house import CHECKOUT, ROLES, read

from .injection import inject

HOSTILE = {
    "quotes": 'it\'s a "test"',
    "backslashes": "C:\\new\\table \\' \\\" \\\\",
    "dollars": "$HOME ${PATH} $(id) `id`",
    "templates": "{{ 7 * 7 }}{% raw %}{# gone #}{{ lookup('pipe', 'id') }}",
    "colons": ": a: b #c",
    "blanks": "  two before, two after  ",
    "percents": "%s%d 100%",
    "yaml": "!unsafe - [x, {y: z}] & * | > @",
    "numbers": "0123",
    "times": "1:30",
    "lists": "[1, 2]",
    "truth": "yes",
    "umlauts": "Schlüssel→鍵",
    "lines": "-----BEGIN\nAGE-SECRET-KEY-1\n-----END\n",
}


def types() -> list[dict[str, Any]]:
    """Return the credential types."""
    return read(CHECKOUT / "awx/vars/credential_types.yml")["catmaid_awx_credential_types"]


def seen(folder: Path, variables: dict[str, str], names: list[str], environment: dict[str, str]) -> list[str]:
    """Return the values that a play sees of its variables."""
    task = {
        "ansible.builtin.copy": {
            "dest": str(folder / "seen"),
            "content": "{{ query('ansible.builtin.vars', *names) | to_json }}",
            "mode": "0600",
        },
        "no_log": True,
    }
    own = {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "names": names, **variables}
    play = {"hosts": "localhost", "gather_facts": False, "vars": own, "tasks": [task]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    argv = ["ansible-playbook", str(folder / "play.yml")]
    done = subprocess.run(argv, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "seen").read_text(encoding="utf-8"))


def readers() -> dict[str, str]:
    """Return how each variable of the environment is read: by a role's default, or by what docs/awx.md says."""
    texts = [str(value) for role in ROLES for value in read(CHECKOUT / f"roles/{role}/defaults/main.yml").values()]
    texts += re.findall(r'secret_access_key: "(.*)"', (CHECKOUT / "docs/awx.md").read_text(encoding="utf-8"))
    return {name: text for text in texts for name in re.findall(r"'(CATMAID_\w+_FILE)'", text)}


def test_passwords_arrive_as_they_were_typed(tmp_path):
    injected = tmp_path / "env"
    injected.mkdir()
    variables, expected, environment = {}, {}, {}
    for number, password in enumerate(HOSTILE.values()):
        for type_ in types():
            values = {field["id"]: password for field in type_["inputs"]["fields"]}
            assert set(type_["injectors"]) == {"file", "env"}  # what comes as a variable is read as YAML
            for name, path in inject(type_["injectors"], values, injected).items():
                # All at once: under names of their own
                environment[f"{name}_{number}"] = path
                variables[f"{name}_{number}"] = readers()[name].replace(name, f"{name}_{number}")
                expected[f"{name}_{number}"] = password
    assert len(expected) == 5 * len(HOSTILE)
    assert dict(zip(expected, seen(tmp_path, variables, list(expected), environment))) == expected
    assert {path.stat().st_mode & 0o077 for path in injected.iterdir()} == {0}


def test_without_a_credential_there_is_no_password(tmp_path):
    variables = {name: text for name, text in readers().items() if name != "CATMAID_STORE_SECRET_FILE"}
    assert seen(tmp_path, variables, list(variables), {}) == [""] * 4


def test_a_file_that_cannot_be_read_is_said_so(tmp_path):
    with pytest.raises(AssertionError, match=r"Reading the secret that CATMAID_GONE_FILE names: .*No such file"):
        text = "{{ lookup('catmaid.admin.secret_file', 'CATMAID_GONE_FILE') }}"
        seen(tmp_path, {"gone": text}, ["gone"], {"CATMAID_GONE_FILE": str(tmp_path / "gone")})
