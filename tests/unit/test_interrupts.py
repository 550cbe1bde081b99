# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""catmaid-admin ends by a SIGTERM, also by one that comes where Python passes over exceptions."""

from __future__ import annotations

import subprocess
import sys

# The signal arrives within a function that Python calls by itself after a fork, as logging has one.
PROGRAM = """
import os, signal, subprocess, time
from ansible_collections.catmaid.admin.plugins.module_utils.engine.cli import main

def _releaseLock():
    os.kill(os.getpid(), signal.SIGTERM)

main._end_politely()
os.register_at_fork(after_in_parent=_releaseLock)
try:
    subprocess.run(["true"], preexec_fn=os.getpid)
    time.sleep(60)
except KeyboardInterrupt as error:
    print("interrupted", error)
"""


def test_no_sigterm_is_lost_around_a_fork() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ("interrupted by SIGTERM\n", "")
