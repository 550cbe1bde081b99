# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the parts of an archive take in comparison with each other."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..postgres import decompress
from ..postgres.toc import Entry
from . import verify

# How much longer than reading its rows it takes to build an index, or to fill a table: measured, roughly.
# The first that is in its definition counts: the tree of an expression's ranges has to be built row by row, as that of
# three dimensions, while PostGIS sorts for that of two.
COSTS = {"gist (floatrange": 28.0, "gist_geometry_ops_nd": 12.0, "gist (": 3.0, "gin (": 8.0, "spgist (": 6.0}
OTHER_INDEX, FILLING = 1.0, 2.0


def sizes(source: verify.Source) -> dict[int, int]:
    """Return the bytes of each table's rows, by the number that the table has in the archive, as far as they are told.

    An archive in one file without a manifest does not tell them.
    """
    entries = [entry for entry in source.contents.entries if entry.kind == "TABLE DATA"]
    told = {f"{t['schema']} {t['name']} ": int(t["bytes"]) for t in (source.manifest or {}).get("tables", [])}
    found = {}
    for entry in entries:
        size = decompress.file_size(source.archive, f"{entry.dump_id}.dat") if os.path.isdir(source.archive) else 0
        size = next((bytes_ for name, bytes_ in told.items() if entry.text.startswith(name)), size)
        for table in entry.depends[:1]:
            found[table] = size
    return found


def of_index(entry: Entry, definitions: Mapping[str, str]) -> float:
    """Return what building an index costs, against reading its table; ``definitions`` are by schema and name."""
    text = next((text for name, text in definitions.items() if entry.text.startswith(f"{name} ")), "")
    return next((cost for part, cost in COSTS.items() if part in text.replace("public.", "")), OTHER_INDEX)
