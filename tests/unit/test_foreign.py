# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a foreign backup is, known by its contents."""

from __future__ import annotations

import bz2
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import foreign
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError

DUMP = b"--\n-- PostgreSQL database dump\n--\n" + b"".join(b"-- line %d\n" % n for n in range(200_000))


def scrambled() -> bytes:
    """Return a damaged file whose first bytes come out, as others, before its checksum tells of the damage."""
    good = bz2.compress(DUMP)
    for place in range(len(good) // 4, len(good)):
        damaged = good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :]
        try:
            start = bz2.BZ2Decompressor().decompress(damaged, 400)
        except OSError:
            continue
        if start and start != DUMP[: len(start)]:
            return damaged
    raise AssertionError("no such damage was found")


def test_a_damaged_file_is_called_damaged_and_not_unknown(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(scrambled())

    with pytest.raises(CatmaidError, match="cannot be decompressed"):
        foreign.kind(str(path))


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(bz2.compress(b"a letter"))

    with pytest.raises(CatmaidError, match="no archive of pg_dump"):
        foreign.kind(str(path))
