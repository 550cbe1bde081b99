# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attribute of files that keeps the kernel from writing down when they were read (chattr +A)."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator

from ..errors import CatmaidError, of_system

# What ioctl knows it by: linux/fs.h
GET, SET = 0x80086601, 0x40086602
NO_ATIME = 0x80
DOING = "looking at the attributes of files"


def has(path: str) -> bool:
    """Tell whether the times of reading a file or folder are not written down."""
    handle = _open(path)
    try:
        return bool(_flags(handle, path) & NO_ATIME)
    finally:
        os.close(handle)


def put(path: str, wanted: bool) -> bool:
    """Give a file or folder the attribute, or take it; return whether that has changed anything."""
    handle = _open(path)
    try:
        flags = _flags(handle, path)
        if bool(flags & NO_ATIME) == wanted:
            return False
        try:
            fcntl.ioctl(handle, SET, struct.pack("l", flags ^ NO_ATIME))
        except OSError as error:
            raise of_system(f"changing the attributes of {path}", error) from error
        return True
    finally:
        os.close(handle)


def below(path: str) -> Iterator[str]:
    """Yield all files and folders of a tree on one file system, what is in a folder before the folder itself.

    New files have what their folder has. So a tree whose top has it, has it: a run that was broken off goes on.
    """
    device = os.lstat(path).st_dev
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    yield entry.path
                elif entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_dev == device:
                    yield from below(entry.path)
    except OSError as error:
        raise of_system(DOING, error) from error
    yield path


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise of_system(DOING, error) from error


def _flags(handle: int, path: str) -> int:
    try:
        return int(struct.unpack("l", fcntl.ioctl(handle, GET, struct.pack("l", 0)))[0])
    except OSError as error:
        remedy = "Its file system has no attributes: mount it with noatime instead."
        raise CatmaidError(DOING, f"{path}: {error.strerror}", remedy) from error
