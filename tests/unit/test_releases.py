# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of CATMAID's releases, and the filter that says it."""

from __future__ import annotations

import pytest
from ansible_collections.catmaid.admin.plugins.filter.release_facts import FilterModule
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import releases

OLD, NEW = "catmaid_populate_summary_tables", "catmaid_refresh_node_statistics"


@pytest.mark.parametrize(
    ("describe", "python_max", "command", "pip"),
    [
        ("2018.11.09", "3.7", OLD, "pip<24.1"),
        ("2019.06.20", "3.7", OLD, "pip<24.1"),
        ("2019.06.20-12-gabcdef0", "3.7", OLD, "pip<24.1"),
        ("2019.06.20-800-gabcdef0", "3.7", NEW, "pip<24.1"),
        ("2020.02.15", "3.7", NEW, "pip<24.1"),
        ("2020.02.15-109-gb8006b775", "3.7", NEW, "pip<24.1"),
        ("2020.02.15-1200-gabcdef0", "3.9", NEW, "pip<24.1"),
        ("2021.12.21", "3.9", NEW, "pip<24.1"),
        ("2021.12.21-43-g2964e04e6", "3.9", NEW, "pip<24.1"),
        ("2021.12.21-305-g7d9f83618", "3.10", NEW, "pip<24.1"),
        ("7d9f83618", "3.10", NEW, "pip<24.1"),
        ("lab-2022", "3.10", NEW, "pip<24.1"),
        ("2030.06.20", "", NEW, "pip"),
    ],
)
def test_facts(describe: str, python_max: str, command: str, pip: str) -> None:
    facts = releases.facts(describe)
    assert (facts.python_max, facts.statistics_command) == (python_max, command)
    assert releases.pip_constraint(describe) == pip


def test_filter() -> None:
    facts = FilterModule().filters()["release_facts"]("2021.12.21")
    # The last one: without it the real 2021.12.21 does not start on Python 3.7.
    assert facts["build_requirements"] == ["pip<24.1", "setuptools<58", "wheel", "importlib-metadata<5"]
    assert facts["postgresql_min"] == 12


def test_what_processes_need_follows_the_release() -> None:
    names = ("2019.06.20", "2021.12.21", "2030.01.15")
    found = {name: releases.as_dict(name)["process_requirements"] for name in names}
    assert {needs["uwsgi"][0] for needs in found.values()} == {"pyuwsgi"}
    # Those of its own list of asynchronous things; the newest ones do not go with its Channels.
    assert found["2021.12.21"]["websockets"] == ["daphne==2.4.1", "channels_redis==2.4.2"]
    assert found["2019.06.20"]["websockets"] == []
    assert found["2030.01.15"]["celery"] == ["celery[redis]"]


def test_what_processes_need_follows_the_broker() -> None:
    release_facts = FilterModule().filters()["release_facts"]
    names = ("2019.06.20", "2020.02.15", "2021.12.21", "2021.12.21-305-g7d9f83618", "2030.01.15")
    found = {name: release_facts(name, broker="rabbitmq")["process_requirements"] for name in names}
    layers = [needs["websockets"][1:] for needs in found.values()]
    pinned = [[f"channels_rabbitmq=={version}"] for version in ("1.2.0", "1.2.1", "4.0.0")]
    assert layers == [[], *pinned, ["channels_rabbitmq"]]
    # celery itself brings what it talks to RabbitMQ by
    assert {tuple(needs["celery"]) for needs in found.values()} == {(), ("celery",)}
