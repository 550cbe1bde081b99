# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that says what a release of CATMAID needs."""

from __future__ import annotations

from typing import Any

from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import releases

DOCUMENTATION = r"""
name: release_facts
short_description: Say what a release of CATMAID needs
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Returns what differs between the releases of CATMAID and matters to who installs one.
  - A name that is no release, such as a lab's own tag or a bare hash, is taken for the newest code that is known. Of
    releases after 2021.12.21 that are not known yet, nothing is assumed.
options:
  _input:
    description: What C(git describe) calls the release.
    type: str
    required: true
  broker:
    description: What carries the messages of websockets and Celery.
    type: str
    choices: [redis, rabbitmq]
    default: redis
"""

EXAMPLES = r"""
- name: Install what is needed to install the release
  ansible.builtin.pip:
    name: "{{ ('2021.12.21' | catmaid.admin.release_facts).build_requirements }}"
    virtualenv: /opt/catmaid/releases/2021.12.21/env
"""

RETURN = r"""
_value:
  description: Facts of the release.
  type: dict
  contains:
    python_min:
      description: Oldest Python on which it was seen to install and run.
      type: str
      sample: "3.8"
    python_max:
      description: Newest Python on which it was seen to install and run; empty if nothing is known.
      type: str
      sample: "3.8"
    pip:
      description: Requirement that pip itself has to meet.
      type: str
      sample: pip<24.1
    setuptools:
      description: Requirement that setuptools has to meet.
      type: str
      sample: setuptools<58
    pins:
      description: What the requirements of the release leave open, and must not be newer.
      type: list
      elements: str
      sample: [importlib-metadata<5]
    build_requirements:
      description: What to install before the requirements of the release.
      type: list
      elements: str
      sample: [pip<24.1, setuptools<58, wheel]
    websockets:
      description: What daphne needs besides the requirements of the release; nothing where the release cannot have it.
      type: list
      elements: str
      sample: [daphne==2.4.1]
    layers:
      description: What websockets need besides them, for each broker.
      type: dict
      sample: {redis: [channels_redis==2.4.2], rabbitmq: [channels_rabbitmq==1.2.1]}
    celery:
      description: What Celery needs besides them, for each broker.
      type: dict
      sample: {redis: ["redis>=3.4.1,<4"], rabbitmq: []}
    process_requirements:
      description: What to install after them, for each name in C(catmaid_processes), with this O(broker).
      type: dict
      sample: {uwsgi: [pyuwsgi], gunicorn: [gunicorn>=20.1]}
    postgresql_min:
      description: Oldest PostgreSQL that it supports.
      type: int
      sample: 12
    statistics_command:
      description: The C(manage.py) command that fills the node statistics.
      type: str
      sample: catmaid_refresh_node_statistics
"""


def release_facts(describe: str, broker: str = releases.REDIS) -> dict[str, Any]:
    """Return the facts of a release as plain values."""
    return releases.as_dict(str(describe), str(broker))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"release_facts": release_facts}
