# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's side of live progress: where its action plugin wants to read it.

Note that this module util is **PRIVATE** to the collection: it can change with any release.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .engine import progress

VARIABLE = "CATMAID_ADMIN_PROGRESS"  # set by plugin_utils/progress.py
SECONDS = 1.0


@contextmanager
def reporting() -> Iterator[progress.Report | None]:
    """Yield what to tell the progress to, or None if nobody looks at it.

    Somebody who looks may end the job too, by SIGTERM: as an exception, so that it cleans up behind itself.
    """
    path = os.environ.pop(VARIABLE, "")
    if not path:
        yield None
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with progress.to_file(os.path.expanduser(path)) as report:
            yield progress.every(SECONDS, report)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: cleaning up takes its time
    raise KeyboardInterrupt
