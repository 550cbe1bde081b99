# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate and its key: whether they are good for a site, before anything uses them."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import stat
import tempfile
import time
from dataclasses import dataclass

from .. import command, files
from ..errors import CatmaidError, of_system

DOING = "checking the certificate"
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
DAY = 86400.0
FOLDER = re.compile("[0-9a-f]{16}")  # what install() makes


@dataclass(frozen=True)
class Pair:
    """A certificate with those that lead to its authority, and its key, as PEM."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Facts:
    """What a certificate says of itself; times are seconds since 1970."""

    fingerprint: str
    subject: str
    issuer: str
    names: list[str]
    begins: float
    ends: float
    public_key: str

    @property
    def days_left(self) -> float:
        """Days until it has expired."""
        return round((self.ends - time.time()) / DAY, 1)


def read(certificate: str, key: str) -> Pair:
    """Return the pair of two files. A key that others can read is none."""
    try:
        if os.stat(key).st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise CatmaidError(DOING, f"the key {key} can be read or changed by others", f"chmod 600 {key}")
        texts = []
        for path in (certificate, key):
            with open(path, encoding="ascii", errors="replace") as file:
                texts.append(file.read())
    except OSError as error:
        raise of_system(DOING, error) from error
    return Pair(*texts)


def facts(certificate: str) -> Facts:
    """Return what the first certificate of a PEM text says."""
    blocks = BLOCK.findall(certificate)
    if not blocks:
        raise CatmaidError(
            DOING, "there is no certificate in it", "Give it in PEM, as text that begins with -----BEGIN."
        )
    wanted = ["-fingerprint", "-sha256", "-subject", "-issuer", "-dates", "-ext", "subjectAltName", "-pubkey"]
    form = ["-nameopt", "RFC2253"]
    said = command.run(["openssl", "x509", "-noout", *wanted, *form], doing=DOING, stdin=blocks[0]).stdout
    found = dict(re.findall(r"^(\w[\w ]*?)(?: Fingerprint)?=(.*)$", said, re.MULTILINE))
    digest = next(value for name, value in found.items() if name.lower() == "sha256")
    return Facts(
        fingerprint=digest.replace(":", "").lower(),
        subject=found["subject"].strip(),
        issuer=found["issuer"].strip(),
        names=re.findall(r"(?:DNS|IP Address):([^\s,]+)", said),
        begins=ssl.cert_time_to_seconds(found["notBefore"]),
        ends=ssl.cert_time_to_seconds(found["notAfter"]),
        public_key=_public_key(said),
    )


def _public_key(text: str) -> str:
    return text[text.index("-----BEGIN PUBLIC KEY") : text.index("-----END PUBLIC KEY")]


def check(pair: Pair, names: list[str], *, chain: bool, authorities: str = "") -> Facts:
    """Return what a pair says of itself if it is good for a site with these names.

    ``chain`` wants it to lead to one of the ``authorities`` (PEM), without which it is those that the host trusts.
    """
    found = facts(pair.certificate)
    who = f"that of {', '.join(found.names) or found.subject}"
    if found.ends <= time.time():
        raise CatmaidError(DOING, f"{who} has expired on {_day(found.ends)}", "Give one that is valid.")
    if found.begins > time.time():
        raise CatmaidError(DOING, f"{who} is valid from {_day(found.begins)} on only", "Is the host's clock right?")
    missing = [name for name in names if not any(covers(pattern, name) for pattern in found.names)]
    if missing:
        raise CatmaidError(DOING, f"{who} is not for {', '.join(missing)}", "Give one with that name.")
    # A passphrase that is asked for would be waited for.
    asked = ["openssl", "pkey", "-pubout", "-passin", "pass:"]
    public = command.run(asked, doing=DOING, stdin=pair.key, ok=None)
    if public.rc != 0:
        raise CatmaidError(DOING, "its key cannot be read", "Give a private key in PEM, without a passphrase.")
    if _public_key(public.stdout) != found.public_key:
        raise CatmaidError(DOING, f"the key is not the one of {who}", "Give the key that its request was made with.")
    if chain:
        _check_chain(pair, authorities)
    return found


def covers(pattern: str, name: str) -> bool:
    """Tell whether a name of a certificate, such as *.example.org, is good for a host name."""
    pattern, name = pattern.lower(), name.lower()
    if pattern.startswith("*."):
        first, _dot, rest = name.partition(".")
        return bool(first) and rest == pattern[2:]
    return pattern == name


def _check_chain(pair: Pair, authorities: str) -> None:
    first, *others = BLOCK.findall(pair.certificate)
    with tempfile.TemporaryDirectory(prefix="catmaid-chain-") as folder:
        paths = {}
        for part, text in (("own", first), ("others", "\n".join(others)), ("authorities", authorities)):
            paths[part] = os.path.join(folder, part)
            files.write_atomically(paths[part], text)
        argv = ["openssl", "verify", "-purpose", "sslserver"]
        argv += ["-untrusted", paths["others"]] if others else []
        argv += ["-no-CApath", "-CAfile", paths["authorities"]] if authorities else []
        said = command.run([*argv, paths["own"]], doing=DOING, ok=None)
    if said.rc != 0:
        words = re.findall(r"error \d+ at \d+ depth lookup: *(.+)", said.stderr + said.stdout) or [said.stderr]
        raise CatmaidError(
            DOING,
            f"it does not lead to an authority that is trusted: {words[0]}",
            "Append the intermediate certificates that its authority gave you, or name the authority itself.",
        )


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def install(pair: Pair, found: Facts, dest: str, *, check_only: bool) -> tuple[bool, str, str]:
    """Put a pair into a folder of its own below ``dest``, so that nothing that is in use is ever overwritten.

    Return whether that changes anything, and the paths of certificate and key.
    """
    folder = os.path.join(dest, found.fingerprint[:16])
    certificate, key = (os.path.join(folder, name) for name in ("fullchain.pem", "key.pem"))
    try:
        wanted = ((key, pair.key, 0o600), (certificate, pair.certificate, 0o644))
        changed = not all(_is(path, text, mode) for path, text, mode in wanted)
        if changed and not check_only:
            os.makedirs(folder, mode=0o755, exist_ok=True)
            for path, text, mode in wanted:
                files.write_atomically(path, text, mode)
        elif not check_only:
            os.utime(folder)  # the newest is the one that was wanted last
    except OSError as error:
        raise of_system("installing the certificate", error) from error
    return changed, certificate, key


def surplus(dest: str, current: str, keep: int, config_dir: str = "/etc/nginx") -> list[str]:
    """Return the folders of older certificates, but for the newest ``keep`` of them and for what nginx uses.

    ``current`` is the folder of the one that is wanted now.
    """
    if not os.path.isdir(dest):
        return []
    others = [os.path.join(dest, name) for name in os.listdir(dest) if FOLDER.fullmatch(name)]
    others = sorted((path for path in others if path != current), key=os.path.getmtime, reverse=True)
    used = _sites(config_dir)
    return [path for path in others[keep:] if f"{path}/" not in used]


def remove(folders: list[str]) -> None:
    """Remove certificates with their keys."""
    try:
        for path in folders:
            shutil.rmtree(path)
    except OSError as error:
        raise of_system("removing an old certificate", error) from error


def _sites(config_dir: str) -> str:
    texts = []
    for folder, _folders, names in os.walk(config_dir, followlinks=True):
        for name in names:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
    return "\n".join(texts)


def _is(path: str, text: str, mode: int) -> bool:
    if not os.path.exists(path) or stat.S_IMODE(os.stat(path).st_mode) != mode:
        return False
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read() == text
