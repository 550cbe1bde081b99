# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""catmaid-admin as one file that Python can run: the engine, in a zip file with a first line for the shell.

What is packed are the very modules that run now, asked from whatever they were loaded from: a checkout, an installed
collection, or the zip file in which Ansible sends a module to a host.

Beside each source lies its bytecode, as Python keeps none of what it compiles from a zip file: half of a second at
every start. Another Python than the one that made it reads the sources.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import sys
import zipfile

from ..errors import CatmaidError

SHEBANG = b"#!/usr/bin/python3\n"
ROOT = "catmaid_admin"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files make the same bytes; not compressed, as libraries differ in that
# Of the formats of bytecode the newest in which it does not depend on what else happens to refer to an object, and the
# first Python that always writes a set of constants in the same order.
FORMAT = 2
ORDERLY = (3, 11)
UNCHECKED = 1  # its flag: that the source beside it has not changed need not be asked
MAIN = """\
# Made by the module catmaid.admin.command_line.
from {root}.cli import main

raise SystemExit(main.main(build="{build}"))
"""


def sources(package: str) -> dict[str, bytes]:
    """Return the source of every loaded module of ``package``, by its path below it."""
    found: dict[str, bytes] = {}
    for name, module in sorted(sys.modules.items()):
        if name != package and not name.startswith(f"{package}."):
            continue
        loader = getattr(module.__spec__, "loader", None)
        source = getattr(module, "__file__", None)
        if loader is None or source is None or not hasattr(loader, "get_data"):
            raise CatmaidError("packing catmaid-admin", f"{name} has no source", "Reinstall the collection.")
        inside = name[len(package) + 1 :].replace(".", "/")
        is_package = hasattr(module, "__path__")
        path = "/".join(part for part in (inside, "__init__") if part) if is_package else inside
        found[f"{path}.py"] = loader.get_data(source)
    return found


def bytecode(path: str, source: bytes) -> bytes:
    """Return what Python would keep of a source in a file of its own (PEP 552)."""
    code = compile(source, path, "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(source)
    return head + marshal.dumps(code, FORMAT)


def build() -> bytes:
    """Return the program: always the same bytes for the same engine."""
    package = (__package__ or "").rpartition(".")[0]
    files = {f"{ROOT}/{path}": content for path, content in sources(package).items()}
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    if sys.version_info >= ORDERLY:
        files |= {f"{path}c": bytecode(path, content) for path, content in files.items()}
    files["__main__.py"] = MAIN.format(root=ROOT, build=digest.hexdigest()[:12]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in sorted(files.items()):
            entry = zipfile.ZipInfo(path, LONG_AGO)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return SHEBANG + packed.getvalue()


def number(program: bytes) -> str:
    """Return which build a program is; nothing for a file that is none of ours."""
    try:
        with zipfile.ZipFile(io.BytesIO(program)) as archive:
            text = archive.read("__main__.py").decode()
    except (KeyError, ValueError, zipfile.BadZipFile):
        return ""
    return text.partition('build="')[2].partition('"')[0] if ROOT in text else ""
