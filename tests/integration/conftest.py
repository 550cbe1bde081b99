# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that run inside a test host, as root, beside a real PostgreSQL."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server

from tests.integration import support

pytest_plugins = [
    f"tests.integration.{name}" for name in ("double_fixtures", "cluster_fixtures", "offsite", "cli", "upgrading")
]

FOLDER = "tests/integration"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is tested in the other image, when all tests run. Who names a file gets all that is in it."""
    if [argument for argument in config.args if argument != FOLDER]:
        return
    image = platform.freedesktop_os_release()["VERSION_CODENAME"]
    left = [item for item in items for marker in item.iter_markers("once") if marker.args != (image,)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@pytest.fixture
def server() -> Server:
    """This host's PostgreSQL, as postgres by peer authentication."""
    return Server()


@pytest.fixture(scope="session", autouse=True)
def _hurry() -> Iterator[None]:
    """Let PostgreSQL not wait for the disk: every test makes and drops databases, and a host is thrown away."""
    support.sql("postgres", "ALTER SYSTEM SET fsync TO off")
    support.sql("postgres", "SELECT pg_reload_conf()")
    yield
    support.sql("postgres", "ALTER SYSTEM RESET fsync")
    support.sql("postgres", "SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def template() -> Iterator[str]:
    """A database with the schema of support.py, for others to be copied from."""
    name = support.unused("template")
    escaped = support.PASSWORD.replace("'", "''")
    support.sql(
        "postgres",
        f"DO $$ BEGIN CREATE ROLE {support.quoted(support.OWNER)} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL;"
        f" END $$; ALTER ROLE {support.quoted(support.OWNER)} PASSWORD '{escaped}'",
    )
    support.sql("postgres", f"CREATE DATABASE {support.quoted(name)} OWNER {support.quoted(support.OWNER)}")
    support.sql(name, support.SCHEMA)
    yield name
    support.drop(name)


@pytest.fixture
def unused() -> Iterator[Callable[[], str]]:
    """A function that gives names for databases, which are dropped in the end."""
    given: list[str] = []

    def give() -> str:
        given.append(support.unused())
        return given[-1]

    yield give
    for name in given:
        support.drop(name)


@pytest.fixture
def database(template: str, unused: Callable[[], str]) -> str:
    """A fresh database of that schema, whose name and tables need quotes."""
    name = unused()
    support.sql(
        "postgres",
        f"CREATE DATABASE {support.quoted(name)} TEMPLATE {support.quoted(template)} OWNER"
        f" {support.quoted(support.OWNER)}",
    )
    return name


@pytest.fixture
def dest(tmp_path: Path) -> str:
    """A folder for backups that does not exist yet, below one that only root may enter, with a blank in its name."""
    return str(tmp_path / "back ups")


@pytest.fixture
def spatial(database: str) -> str:
    """The same with PostGIS and a table that needs it."""
    support.sql(database, support.SPATIAL)
    return database
