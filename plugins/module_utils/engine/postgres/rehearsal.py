# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal of a server's configuration: PostgreSQL itself reads a copy of it, and takes the memory that it asks for.

Nothing that is in use changes. What only a start can show is tried by a start in an empty folder that takes no
connections and reads no data.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .. import command, files
from ..errors import CatmaidError, of_system
from .cluster import Cluster

FIRST_WITH_CHECK = 15
AUTO = "postgresql.auto.conf"
INCLUDE_DIR = re.compile(r"^\s*include_dir\s*(?:=\s*|\s+)'((?:[^'\n]|'')*)'", re.MULTILINE | re.IGNORECASE)
SAID = re.compile(r"(?:FATAL|PANIC|ERROR|LOG):\s+(.*)")
# At the end of a list of what is wrong in a file; alone it tells nothing.
SUMMARY = re.compile(r"configuration file \".*\" contains errors")
BEHIND_EVERYTHING = "skipping missing configuration file"


def folder(cluster: Cluster) -> str:
    """Return the folder whose files the server reads beside its configuration."""
    doing = "looking for a folder of settings"
    try:
        with open(cluster.config_file, encoding="utf-8", errors="replace") as file:
            found = INCLUDE_DIR.findall(file.read())
    except OSError as error:
        raise of_system(doing, error) from error
    if not found:
        raise CatmaidError(
            doing,
            f"{cluster.config_file} names none",
            f"Add the line include_dir = 'conf.d' at its end, make the folder "
            f"{os.path.join(os.path.dirname(cluster.config_file), 'conf.d')}, and try again.",
        )
    # The last one is read last.
    return os.path.normpath(os.path.join(os.path.dirname(cluster.config_file), found[-1].replace("''", "'")))


@contextmanager
def copied(cluster: Cluster, path: str, content: str | None) -> Iterator[str]:
    """Yield the main file of a copy of the configuration in which ``path`` is as it is to be, or is not."""
    above = os.path.dirname(cluster.config_file)
    # In memory, as there may be passwords in it; mkdtemp lets nobody else in.
    top = tempfile.mkdtemp(prefix="catmaid-postgres-", dir="/run")
    try:
        copy = os.path.join(top, "conf")
        os.makedirs(_inside(copy, above, os.path.dirname(path)))
        for source in _sources(above, os.path.dirname(path)):
            target = _inside(copy, above, source)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _copy(source, target, above, copy)
        ours = _inside(copy, above, path)
        if content is not None:
            files.write_atomically(ours, content, mode=0o644)
        elif os.path.exists(ours):
            os.unlink(ours)
        for where, _folders, names in os.walk(top):
            for name in (where, *(os.path.join(where, name) for name in names)):
                shutil.chown(name, cluster.owner)
        yield _inside(copy, above, cluster.config_file)
    except OSError as error:
        raise of_system("copying PostgreSQL's configuration", error) from error
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _sources(above: str, included: str) -> list[str]:
    found = []
    for where in dict.fromkeys((above, included)):
        names = sorted(os.listdir(where))
        found += [os.path.join(where, name) for name in names if name.endswith(".conf") and name != AUTO]
    return [path for path in found if os.path.isfile(path)]


def _inside(copy: str, above: str, path: str) -> str:
    """Return where a file is in the copy; one that is elsewhere keeps its path below it."""
    if path.startswith(f"{above}/"):
        return os.path.join(copy, os.path.relpath(path, above))
    return os.path.join(copy, "elsewhere", path.lstrip("/"))


def _copy(source: str, target: str, above: str, copy: str) -> None:
    """Copy a file, its absolute includes led into the copy."""
    with open(source, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines):
        match = re.match(r"\s*include(?:_dir|_if_exists)?\s*(?:=\s*|\s+)'(/[^']*)'", line, re.IGNORECASE)
        if (match and os.path.exists(_inside(copy, above, match[1]))) or (match and match[1].startswith(f"{above}/")):
            lines[number] = line.replace(match[1], _inside(copy, above, match[1]))
    with open(target, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join(lines))


def values(cluster: Cluster, main: str, names: Sequence[str], doing: str) -> dict[str, str]:
    """Return what a start with these files would give each setting; fail when they are no configuration.

    postgresql.auto.conf has its part in it. A name that is unknown fails, too.
    """
    found = {}
    for name in names or ["port"]:
        argv = [cluster.postgres, "-D", cluster.data_directory, "-c", f"config_file={main}", "-C", name]
        said = command.run(argv, doing=doing, user=cluster.owner, ok=None)
        if said.rc != 0:
            raise CatmaidError(doing, complaint(said.stderr, main, cluster.config_file))
        found[name] = said.stdout.rstrip("\n")
    return found


def start(cluster: Cluster, main: str, doing: str) -> None:
    """Let the server take the memory that these files ask for, beside the one that runs, and give it back."""
    scratch = tempfile.mkdtemp(prefix="catmaid-postgres-", dir="/run")
    try:
        _skeleton(cluster, scratch)
        check = ["--check"] if cluster.major >= FIRST_WITH_CHECK else ["--boot", "-x0"]
        # The server that runs has the huge pages, if there are any.
        forced = [f"config_file={main}", f"data_directory={scratch}", "log_destination=stderr", "huge_pages=off"]
        argv = [cluster.postgres, *check, "-D", scratch, *(word for one in forced for word in ("-c", one))]
        said = command.run(argv, doing=doing, user=cluster.owner, ok=None)
        if said.rc != 0:
            raise CatmaidError(doing, complaint(said.stderr, main, cluster.config_file))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _skeleton(cluster: Cluster, scratch: str) -> None:
    """Make the empty folders that a start wants to see."""
    for name in ("PG_VERSION", AUTO):
        source = os.path.join(cluster.data_directory, name)
        if os.path.exists(source):
            shutil.copyfile(source, os.path.join(scratch, name))
    for name in sorted(os.listdir(cluster.data_directory)):
        inner = os.path.join(cluster.data_directory, name)
        if name.startswith("pg_") and os.path.isdir(inner):
            below = [one for one in os.listdir(inner) if os.path.isdir(os.path.join(inner, one))]
            for one in ["", *(below if name in ("pg_wal", "pg_logical", "pg_multixact") else [])]:
                os.makedirs(os.path.join(scratch, name, one), mode=0o700, exist_ok=True)
    for where, _folders, names in os.walk(scratch):
        for name in (where, *(os.path.join(where, name) for name in names)):
            shutil.chown(name, cluster.owner)


def complaint(said: str, main: str, config_file: str) -> str:
    """Return what PostgreSQL finds wrong, by the paths of the real files."""
    words = [word for word in SAID.findall(said) if not word.startswith(BEHIND_EVERYTHING)]
    telling = [word for word in words if not SUMMARY.match(word)] or words or [said]
    copy, above = os.path.dirname(main), os.path.dirname(config_file)
    text = "; ".join(dict.fromkeys(telling))
    return text.replace(os.path.join(copy, "elsewhere"), "").replace(copy, above)
