# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of authorities that tests make themselves, by openssl."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Debian's libfaketime is not on the hosts: openssl makes a certificate of any time by its own means.
LONG_AGO = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]
CONFIG = """
[ca]
default_ca = here
[here]
dir = {folder}
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
default_days = 60
policy = any
copy_extensions = copy
unique_subject = no
email_in_dn = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
[site]
basicConstraints = CA:false
"""


@dataclass(frozen=True)
class Made:
    """A certificate and its key, as files and as text."""

    path: Path
    key_path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="ascii")

    @property
    def key(self) -> str:
        return self.key_path.read_text(encoding="ascii")


class Authority:
    """A root, and an intermediate authority that signs for sites."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "index").touch()
        (folder / "ca.cnf").write_text(CONFIG.format(folder=folder), encoding="ascii")
        self.root = self._make("root", ["-selfsign"], "authority", "Test root")
        self.intermediate = self._make("intermediate", self._by(self.root), "authority", "Test intermediate")

    def site(self, name: str, *options: str) -> Made:
        """Return a new certificate for a host name, without the chain."""
        stem = f"site-{len(list(self.folder.iterdir()))}"
        return self._make(stem, [*self._by(self.intermediate), *options], "site", name)

    def full(self, made: Made) -> str:
        """Return a site's certificate with its chain."""
        return made.text + self.intermediate.text

    def _by(self, signer: Made) -> list[str]:
        return ["-cert", str(signer.path), "-keyfile", str(signer.key_path)]

    def _make(self, stem: str, signed: list[str], extensions: str, name: str) -> Made:
        made = Made(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        request = self.folder / f"{stem}.csr"
        new = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        new += ["-keyout", str(made.key_path), "-out", str(request), "-subj", f"/CN={name}"]
        call([*new, *(["-addext", f"subjectAltName=DNS:{name}"] if extensions == "site" else [])])
        if signed == ["-selfsign"]:
            signed = ["-selfsign", "-keyfile", str(made.key_path)]
        sign = ["openssl", "ca", "-batch", "-notext", "-config", str(self.folder / "ca.cnf"), "-extensions", extensions]
        call([*sign, *signed, "-in", str(request), "-out", str(made.path)])
        os.chmod(made.key_path, 0o600)
        return made


def call(argv: list[str]) -> None:
    """Run a program that must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
