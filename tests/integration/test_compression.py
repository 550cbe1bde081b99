# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed dumps: whole after a restore, small on the disk while they are written, refused when damaged.

PostgreSQL 16 and later compress by themselves. Before, the program zstd stands behind pg_dump and before pg_restore.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import support
from tests.integration.cli import Program, configure
from tests.integration.support import names, processes, run_module, sql, value
from tests.integration.test_pg_dump import backups, dump
from tests.integration.test_pg_dump_faults import INCOMPRESSIBLE, wait_for

pytestmark = pytest.mark.once("trixie")

Unused = Callable[[], str]
PATIENCE = 60  # seconds
TEXT: dict[str, Any] = {"capture_output": True, "text": True, "cwd": "/"}
ZSTD = Path("/usr/bin/zstd")
# 40 MB as text, a tenth of that compressed; a small one that is compressed at the end; large objects.
BIG = """
    CREATE TABLE big AS SELECT n, repeat(md5((n / 7)::text), 4) AS words FROM generate_series(1, 300000) n;
    CREATE TABLE middle AS SELECT n, md5((n / 9)::text) AS words FROM generate_series(1, 3000) n;
    SELECT lo_from_bytea(1000 + n, convert_to(repeat('catmaid ' || n, 20000), 'UTF8')) FROM generate_series(1, 3) n;
"""
# Cheap to make and to compress, and yet more than 1 MiB on the disk each.
MANY = """
    DO $$ BEGIN FOR n IN 1..70 LOOP
        EXECUTE format('CREATE TABLE many_%s (content bytea)', n);
        EXECUTE format('ALTER TABLE many_%s ALTER content SET STORAGE EXTERNAL', n);
        EXECUTE format('INSERT INTO many_%s VALUES (decode(repeat(%L, 1200000), %L))', n, '2a', 'hex');
    END LOOP; END $$
"""
CONTENT = """
    SELECT (SELECT sum(hashtextextended(n || words, 0)) FROM big),
           (SELECT sum(hashtextextended(n || words, 0)) FROM middle),
           (SELECT sum(hashtextextended(id || '/' || coalesce(parent_id, 0) || '/' || x, 0)) FROM ONLY treenode),
           (SELECT string_agg(md5(lo_get(oid)), ',' ORDER BY oid) FROM pg_largeobject_metadata),
           (SELECT last_value FROM location_id_seq)
"""


@pytest.fixture
def big(database: str) -> str:
    """The small database with something that is worth compressing."""
    sql(database, BIG)
    return database


@pytest.fixture
def no_zstd() -> Iterator[None]:
    """No program zstd on this host."""
    away = ZSTD.with_name("zstd.away")
    ZSTD.rename(away)
    yield
    away.rename(ZSTD)


def old() -> bool:
    return int(value("postgres", "SHOW server_version_num")) < 160000


def restore(target: str, archive: str, **options: Any) -> support.Run:
    return run_module("pg_restore", login_db=target, archive=archive, **options)


def files(path: str, ending: str) -> list[Path]:
    return sorted(Path(path, "dump").glob(f"*{ending}"), key=lambda file: file.stat().st_size)


def pipes(folder: str) -> list[str]:
    return [str(path) for path in Path(folder).rglob("*") if path.is_fifo()]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "compression_level": 3, "jobs": 1},
        {"compression": "gzip"},
        {"compression": "lz4"},
        {"compression": "none"},
        {"format": "custom"},
    ],
    ids=lambda options: "-".join(str(part) for part in options.values()) or "auto",
)
def test_restores_what_it_compressed(big: str, dest: str, unused: Unused, options: dict[str, Any]) -> None:
    if options.get("compression") == "lz4" and old():
        assert "cannot compress with lz4" in dump(big, dest, **options).error
        return
    made = dump(big, dest, materializations="include", **options)
    assert made.changed
    for jobs in (1, 3) if not options else (2,):
        target = unused()
        assert restore(target, made.result["path"], jobs=jobs).changed
        assert sql(target, CONTENT) == sql(big, CONTENT)
        assert support.rows(target) == support.rows(big)
    assert not pipes(dest)
    assert not processes("zstd")


def test_is_small_and_of_regular_private_files(big: str, dest: str) -> None:
    made = dump(big, dest).result
    ending = ".dat.zst"
    biggest = files(made["path"], ending)[-1]
    assert 100_000 < biggest.stat().st_size < 8_000_000
    assert made["manifest"]["dump"]["compression"]["program"] == ("zstd" if old() else "pg_dump")
    for file in Path(made["path"], "dump").iterdir():
        assert file.is_file()
        assert not file.is_symlink()
        assert file.stat().st_mode & 0o777 == 0o600
        assert (file.stat().st_uid, file.stat().st_gid) == (0, 0)


def test_never_needs_room_for_the_uncompressed_data(big: str, tmp_path: Path) -> None:
    # The data are 40 MB as text. Beside the dump's 5 MB the disk has room for half of that.
    dest = tmp_path / "disk"
    dest.mkdir()
    sql(big, "ALTER TABLE big ALTER words SET STORAGE PLAIN")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(dest)], check=True)
    try:
        most, done = [0], threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                disk = os.statvfs(dest)
                most[0] = max(most[0], (disk.f_blocks - disk.f_bfree) * disk.f_frsize)

        watcher = threading.Thread(target=watch)
        watcher.start()
        made = dump(big, str(dest))
        done.set()
        watcher.join()
        assert made.changed
        plain = int(value(big, "SELECT sum(octet_length(n || words) + 2) FROM big"))
        assert plain > 39_000_000
        assert most[0] < plain / 2
    finally:
        subprocess.run(["umount", str(dest)], check=True)


def test_gets_along_with_the_pipes_that_the_kernel_allows(
    program: Program, database: str, dest: str, tmp_path: Path, unused: Unused
) -> None:  # fmt: skip
    # As the timer's job, or any user: without these rights the kernel lets nobody have 70 long pipes at once.
    limited = ["setpriv", "--bounding-set=-sys_resource,-sys_admin"]
    sql(database, MANY)
    config = configure(tmp_path, databases=[database], dest=dest)
    done = subprocess.run([*limited, *program.argv("backup", "--json", "--config", str(config))], **TEXT)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["databases"][database]
    assert len(files(made["path"], ".dat.zst")) >= 70
    target = unused()
    pipes = [os.pipe() for _number in range(70)]
    try:
        for _source, sink in pipes:
            fcntl.fcntl(sink, 1031, 1024 * 1024)  # F_SETPIPE_SZ: this user has had its share
        restoring = support.start_module("pg_restore", through=limited, login_db=target, archive=made["path"])
        assert support.finish_module(restoring).changed
    finally:
        for pipe in pipes:
            os.close(pipe[0])
            os.close(pipe[1])
    assert value(target, "SELECT sum(octet_length(content)) FROM many_70") == "1200000"
    assert support.rows(target)["public.many_1"] == 1


def test_says_that_the_disk_is_full(database: str, tmp_path: Path) -> None:
    dest = tmp_path / "disk"
    dest.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=36m", "tmpfs", str(dest)], check=True)
    try:
        kept = dump(database, str(dest), compression="gzip")  # the next one's size is a guess, and a bad one
        sql(database, INCOMPRESSIBLE + "; INSERT INTO noise SELECT * FROM noise")
        assert "No space left on device" in dump(database, str(dest)).error
        assert backups(str(dest), database) == [kept.result["id"]]
        assert not pipes(str(dest))
        assert not processes("zstd")
    finally:
        subprocess.run(["umount", str(dest)], check=True)


def test_refuses_a_damaged_file(big: str, dest: str, tmp_path: Path, unused: Unused) -> None:
    made, target = dump(big, dest).result["path"], unused()
    # As an archive without a manifest, so that nothing but the reading itself can find the damage.
    bare = tmp_path / "bare"
    shutil.copytree(Path(made, "dump"), bare)
    part = max(bare.glob("*.dat.zst"), key=lambda file: file.stat().st_size)
    whole = part.read_bytes()
    middle = len(whole) // 2
    # pg_dump itself writes no checksum: what lies under a changed byte, only our manifest can tell.
    changed = [whole[:middle] + bytes(64) + whole[middle + 64 :], whole[:-4] + b"\0\1\2\3"] if old() else []
    for damaged in (whole[:middle], whole[:-1], b"", *changed):
        part.write_bytes(damaged)
        assert "damaged" in restore(target, str(bare)).error
        assert target not in names()
    part.write_bytes(whole)
    assert restore(target, str(bare), owner=support.OWNER).changed
    assert sql(target, CONTENT) == sql(big, CONTENT)
    assert not processes("zstd")


def test_replaces_in_one_transaction(big: str, dest: str) -> None:
    made, before = dump(big, dest, materializations="include").result["path"], sql(big, CONTENT)
    sql(big, "DELETE FROM big WHERE n % 2 = 0; SELECT lo_unlink(1001)")
    assert restore(big, made, in_place=True).changed
    assert sql(big, CONTENT) == before


def test_leaves_nothing_when_killed(big: str, dest: str, unused: Unused) -> None:
    kept, target = dump(big, dest, materializations="include").result, unused()
    running = support.start_module("pg_dump", login_db=big, dest=dest)
    is_old = old()
    victim = wait_for(lambda: processes("zstd") if is_old else processes("pg_dump", dest), PATIENCE)
    os.kill(victim[0], signal.SIGKILL)
    assert ("zstd ended with -9" if is_old else "SIGKILL") in support.finish_module(running).error
    assert backups(dest, big) == [kept["id"]]

    running = support.start_module("pg_dump", login_db=big, dest=dest)
    wait_for(lambda: processes("pg_dump", dest), PATIENCE)
    running.kill()
    running.communicate()
    wait_for(lambda: not processes("pg_dump", dest) and not processes("zstd"), PATIENCE)
    assert [name for name in backups(dest, big) if not name.startswith(".partial-")] == [kept["id"]]

    running = support.start_module("pg_restore", login_db=target, archive=kept["path"])
    wait_for(lambda: target in names(), PATIENCE)
    running.kill()
    running.communicate()
    wait_for(lambda: not processes("pg_restore", target) and not processes("zstd"), PATIENCE)
    assert restore(target, kept["path"]).changed
    assert sql(target, CONTENT) == sql(big, CONTENT)
    dump(big, dest)
    assert not pipes(dest)


def test_says_that_zstd_is_missing(big: str, dest: str, unused: Unused, no_zstd: None) -> None:
    made = dump(big, dest)
    told = made.result["manifest"]["dump"]["compression"]
    assert (told["method"], told["level"], told["program"]) == ("gzip" if old() else "zstd", 1, "pg_dump")
    assert restore(unused(), made.result["path"]).changed
    explicit = dump(big, dest, compression="zstd")
    if old():
        assert "Install the package zstd, or choose gzip" in explicit.error
    else:
        assert explicit.changed


def test_says_that_zstd_is_missing_for_a_restore(big: str, dest: str, unused: Unused) -> None:
    made, target = dump(big, dest).result["path"], unused()
    away = ZSTD.with_name("zstd.away")
    ZSTD.rename(away)
    try:
        run = restore(target, made)
    finally:
        away.rename(ZSTD)
    if old():
        assert "Install the package zstd, or the programs of PostgreSQL 16" in run.error
        assert target not in names()
    else:
        assert run.changed
