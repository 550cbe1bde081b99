# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tile_storage: reading a tile writes nothing, on a real ext4, and all goes back to what it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import Run, run_module

FSTAB = Path("/etc/fstab")
RULES = Path("/etc/udev/rules.d/61-catmaid-tiles.rules")
POINT = Path("/srv/it tiles")
NOTE = Path("/var/lib/it-tiles/tiles.json")
LONG_AGO = 1_000_000_000
pytestmark = pytest.mark.once("bookworm")


def shell(text: str) -> str:
    return subprocess.run(["sh", "-c", text], check=True, capture_output=True, text=True).stdout


def store(*paths: dict[str, Any], check: bool = False) -> Run:
    return run_module("tile_storage", check=check, diff=True, paths=list(paths), note=str(NOTE))


def read(path: Path) -> bool:
    """Read a tile that was last read long ago, and tell whether that was written down."""
    os.utime(path, (LONG_AGO, LONG_AGO + 10))
    path.read_bytes()
    return path.stat().st_atime != LONG_AGO


def attributes(path: Path) -> str:
    return shell(f"lsattr -d '{path}'").split()[0]


@pytest.fixture
def tiles(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in fstab, with some tiles."""
    before = FSTAB.read_bytes()
    image = tmp_path / "image"
    shell(f"truncate -s 16M {image} && mkfs.ext4 -q {image} && mkdir -p '{POINT}'")
    device = shell(f"losetup --find --show {image}").strip()
    FSTAB.write_bytes(before + f"# tiles\n{device}\t/srv/it\\040tiles  ext4\tdefaults,relatime 0  2 # ours\n".encode())
    shell(f"mount '{POINT}'")
    for name in ("1/2/3.jpg", "1/2/4.jpg", "own/5.jpg"):
        (POINT / name).parent.mkdir(parents=True, exist_ok=True)
        (POINT / name).write_text("tile")
    yield POINT / "1"
    shell(f"umount '{POINT}'; losetup --detach {device}")
    FSTAB.write_bytes(before)
    for path in (RULES, NOTE):
        path.unlink(missing_ok=True)


def test_reading_writes_nothing_by_the_mount(tiles: Path) -> None:
    before = FSTAB.read_bytes()
    tile = tiles / "2/3.jpg"
    assert read(tile)
    predicted = store({"path": str(tiles)}, check=True)
    assert predicted.changed and read(tile) and FSTAB.read_bytes() == before and not NOTE.exists()
    done = store({"path": str(tiles)})
    assert done.result["diff"] == predicted.result["diff"]
    assert done.result["changes"][-1] == {"what": str(POINT), "before": "relatime", "after": "noatime"}
    assert not read(tile)
    assert FSTAB.read_bytes() == before.replace(b"defaults,relatime 0  2 # ours", b"defaults,noatime 0  2 # ours")
    assert not store({"path": str(tiles)}).changed
    # What a boot does
    shell(f"umount '{POINT}' && mount '{POINT}'")
    assert not read(tile)
    assert not store({"path": str(tiles)}).changed
    shell(f"mount -o remount,strictatime '{POINT}'")  # somebody else
    assert store({"path": str(tiles)}).changed
    assert store(check=True).changed
    assert store().changed
    assert FSTAB.read_bytes() == before
    assert read(tile)
    assert "relatime" in shell(f"findmnt -no OPTIONS '{POINT}'")
    assert not store().changed and not NOTE.parent.exists()


def test_other_options_stay_and_fstab_may_have_been_right(tiles: Path) -> None:
    FSTAB.write_text(FSTAB.read_text().replace("defaults,relatime 0", "nosuid,noatime 0"))
    before = FSTAB.read_bytes()
    shell(f"mount --options-mode ignore -o remount,bind,rw,nosuid,strictatime '{POINT}'")
    assert store({"path": str(tiles)}).result["changes"] == [
        {"what": str(POINT), "before": "strictatime", "after": "noatime"}
    ]
    assert "nosuid,noatime" in shell(f"findmnt -no OPTIONS '{POINT}'")
    assert store().changed
    assert shell(f"findmnt -no OPTIONS '{POINT}'").strip() == "rw,nosuid"  # strictatime has no word of its own
    assert FSTAB.read_bytes() == before


def test_reading_writes_nothing_by_the_attribute(tiles: Path) -> None:
    before = FSTAB.read_bytes()
    tile, other, mine = tiles / "2/3.jpg", POINT / "own/5.jpg", tiles / "2/4.jpg"
    shell(f"chattr +A '{mine}'")
    (tiles / "link").symlink_to(other)
    wanted = {"path": str(tiles), "method": "attribute"}
    assert store(wanted, check=True).changed and "A" not in attributes(tile)
    assert store(wanted).changed
    assert "A" in attributes(tile) and "A" in attributes(tiles) and not read(tile)
    new = tiles / "2/new.jpg"
    new.write_text("tile")
    assert "A" in attributes(new)
    assert "A" not in attributes(other) and read(other)
    assert not store(wanted).changed
    # A run that was broken off goes on, and does not take what it has done for somebody else's.
    shell(f"chattr -A '{tiles}' '{tile}'")
    assert store(wanted).changed and "A" in attributes(tile)
    assert store().changed
    assert "A" not in attributes(tile) + attributes(tiles) + attributes(new) and read(tile)
    assert "A" in attributes(mine)
    assert FSTAB.read_bytes() == before and not store().changed


def test_more_is_read_ahead(tiles: Path) -> None:
    device, uuid = shell(f"findmnt -no SOURCE,UUID '{POINT}'").split()
    before = int(shell(f"blockdev --getra {device}")) // 2
    wanted = {"path": str(tiles), "method": "attribute", "read_ahead_kb": before + 512}
    assert store(wanted).changed
    assert int(shell(f"blockdev --getra {device}")) // 2 == before + 512
    assert (
        f'ENV{{ID_FS_UUID}}=="{uuid}", RUN+="/usr/sbin/blockdev --setra {2 * (before + 512)} $devnode"'
        in RULES.read_text()
    )
    assert not store(wanted).changed
    assert store({**wanted, "read_ahead_kb": before + 1024}).changed
    assert store().changed
    assert int(shell(f"blockdev --getra {device}")) // 2 == before
    assert not RULES.exists() and not store().changed


def test_what_would_not_last_is_refused(tiles: Path) -> None:
    FSTAB.write_text("")
    for check in (True, False):
        assert "is not mounted by /etc/fstab" in store({"path": str(tiles)}, check=check).error
    assert "relatime" in shell(f"findmnt -no OPTIONS '{POINT}'")
    assert "there is no /no/such/tiles" in store({"path": "/no/such/tiles"}).error
    assert "mount it with noatime instead" in store({"path": "/proc/self", "method": "attribute"}).error
    asked = {"path": "/proc", "method": "attribute", "read_ahead_kb": 64}
    assert store(asked).failed and not RULES.exists()


def test_what_others_have_changed_since_is_not_guessed(tiles: Path) -> None:
    store({"path": str(tiles)})
    FSTAB.write_text("# all new\n")
    assert "the line that was written is not there any more" in store().error
    assert FSTAB.read_text() == "# all new\n"
    NOTE.write_text("{")
    assert "what was before cannot be read" in store().error
