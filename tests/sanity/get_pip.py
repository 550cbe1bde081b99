# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a bare virtual environment the pip that Python brings, and let that install the version ansible-test asks for.

ansible-test downloads a script that does so; tests/run.py puts this one where it would be kept, so that a machine
that reaches no more than a package index can run it too.
"""

from __future__ import annotations

import os
import subprocess
import sys

# Set by ansible-test for the downloaded script, and taken for an option by pip.
environment = {name: value for name, value in os.environ.items() if name != "GET_PIP"}
subprocess.run([sys.executable, "-m", "ensurepip"], env=environment, check=True, stdout=subprocess.DEVNULL)
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], env=environment).returncode)
