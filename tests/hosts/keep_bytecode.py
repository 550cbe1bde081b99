# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test hosts keep what Python compiles from zip files, as it does itself from any other.

Ansible sends a module with all that it imports in a zip file, and Python compiles that for every task: half of the work
of a host. Loaded at each start of the host's own Python, by keep_bytecode.pth.
"""

import _imp
import importlib.util
import marshal
import os
import zipimport
from contextlib import suppress

FOLDER = "/var/cache/zip-bytecode"
KEY = int.from_bytes(importlib.util.MAGIC_NUMBER, "little")

compile_source = zipimport._compile_source


def kept(path, source):
    """Return a module's code, compiled only if nobody has done so before whose file this user may read."""
    file = os.path.join(FOLDER, _imp.source_hash(KEY, source).hex() + "-" + os.path.basename(path))
    with suppress(OSError), open(file, "rb") as found:
        return marshal.loads(found.read())
    code = compile_source(path, source)
    unfinished = f"{file}.{os.getpid()}"
    with suppress(OSError):
        with open(unfinished, "wb") as made:
            made.write(marshal.dumps(code))
        os.rename(unfinished, file)
    return code


zipimport._compile_source = kept
