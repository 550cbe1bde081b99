# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Media and files with settings in a backup: they come back by standard tools, and secrets are never readable here."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.offsite import Key
from tests.integration.support import run_module
from tests.integration.test_pg_dump import backups, dump

pytestmark = pytest.mark.once("bookworm")

MARKER = "SECRET_KEY = 'do not show'"


@pytest.fixture
def media(tmp_path: Path) -> Iterator[Path]:
    """A MEDIA_ROOT with what can be in one, and what cannot be kept."""
    folder = tmp_path / "media root"
    for name in ("uploads/Ü mlaut", "cache", "tmp", "uploads/cache"):
        (folder / name).mkdir(parents=True)
    (folder / "uploads/Ü mlaut/a mesh.hdf5").write_bytes(os.urandom(100_000))
    (folder / "uploads/cache/kept").write_text("only the one at the top is a cache")
    (folder / "uploads/link").symlink_to("Ü mlaut")
    for name in ("cache", "tmp"):
        (folder / name / "again").write_text("CATMAID makes it again")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "a socket"))
    yield folder
    listener.close()


def test_keeps_media(database: str, dest: str, media: Path, tmp_path: Path) -> None:
    assert dump(database, dest, media_path=str(media), check=True).changed
    made = dump(database, dest, media_path=str(media)).result
    archive = Path(made["path"], "media.tar.zst")
    entry = {"kind": "media", "path": "media.tar.zst", "bytes": archive.stat().st_size, "encrypted": "none"}
    assert made["manifest"]["extras"] == [entry]
    assert made["missing"] == []
    assert archive.stat().st_mode & 0o777 == 0o600
    back = tmp_path / "back"
    back.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(back)], check=True)
    different = subprocess.run(["diff", "-r", str(media), str(back)], check=False, capture_output=True, text=True)
    assert sorted(line.rsplit(": ", 1)[-1] for line in different.stdout.splitlines()) == ["a socket", "cache", "tmp"]
    assert os.readlink(back / "uploads/link") == "Ü mlaut"
    listed = run_module("backup_info", dest=dest, database=database, verify=True).result["backups"]
    assert [one["problems"] for one in listed] == [[]]


def test_is_not_disturbed_by_what_vanishes(database: str, dest: str, media: Path) -> None:
    victims = [media / "uploads" / f"{number:04}" for number in range(400)]
    for victim in victims:
        victim.write_bytes(os.urandom(20_000))
    running = threading.Event()

    def meddle() -> None:
        # From the end on, so that some of them are listed and gone when their turn comes.
        for victim in reversed(victims):
            victim.unlink()
            victim.write_bytes(b"")
            victim.unlink()
            running.set()

    meddler = threading.Thread(target=meddle)
    meddler.start()
    running.wait()
    made = dump(database, dest, media_path=str(media))
    meddler.join()
    assert made.changed
    path = Path(made.result["path"], "media.tar.zst")
    assert subprocess.run(["tar", "--zstd", "-tf", str(path)], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("method", ["age", "gpg"])
def test_keeps_settings_encrypted(
    database: str, dest: str, tmp_path: Path, method: str, age_key: Key, gpg_key: Key
) -> None:
    settings = tmp_path / "my settings.py"
    settings.write_text(MARKER)
    front = tmp_path / "front end"
    front.mkdir()
    (front / "lab.js").write_text("let a = 1;")
    args: dict[str, Any] = {"files": [str(settings), str(front)]}
    for check in (True, False):
        assert "there is nobody to encrypt them to" in dump(database, dest, check=check, **args).error
    assert backups(dest, database) == []
    key = age_key if method == "age" else gpg_key
    made = dump(database, dest, encryption=key.encryption(method), **args).result
    sealed = Path(made["path"], f"files.tar.{method}")
    assert [one["encrypted"] for one in made["manifest"]["extras"]] == [method]
    for path in Path(dest).rglob("*"):
        assert path.is_dir() or MARKER.encode() not in path.read_bytes()
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = f"gpg --homedir {home} --batch --quiet"
    decrypt = {"age": f"age -d -i {key.path} '{sealed}'", "gpg": f"{gpg} --import {key.path} && {gpg} -d '{sealed}'"}
    back = tmp_path / "back"
    back.mkdir()
    subprocess.run(f"({decrypt[method]}) | tar -x -C {back}", shell=True, check=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    assert (back / str(settings).lstrip("/")).read_text() == MARKER
    assert (back / str(front).lstrip("/") / "lab.js").read_text() == "let a = 1;"


def test_refuses_what_is_not_there(database: str, dest: str, tmp_path: Path, age_key: Key) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert f"{nowhere} is not there" in dump(database, dest, media_path=nowhere).error
    assert f"{nowhere} is not there" in dump(database, dest, files=[nowhere], encryption=age_key.encryption()).error
    assert backups(dest, database) == []
