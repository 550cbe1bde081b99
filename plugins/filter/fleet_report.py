# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that makes one report of what many hosts say of their instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.catmaid.admin.plugins.module_utils.engine.fleet import page, table

DOCUMENTATION = r"""
name: fleet_report
short_description: Make one report of all instances
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Takes what M(catmaid.admin.instance_status) has returned on each host, the worst first. Hosts that could not be
    reached, or where the module failed, are told as V(unreachable).
options:
  _input:
    description: Results by the names of hosts.
    type: dict
    required: true
  time:
    description: When they were looked at, as C(YYYY-MM-DDTHH:MM:SSZ).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show all instances
  ansible.builtin.debug:
    msg: "{{ (results | catmaid.admin.fleet_report('2026-11-30T06:00:00Z')).text }}"
  vars:
    results: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'found'))) }}"
"""

RETURN = r"""
_value:
  description: The report.
  type: dict
  contains:
    time:
      description: When they were looked at.
      type: str
    hosts:
      description: Each host with C(name), C(site), C(state), C(reasons) and all that its C(status) tells.
      type: list
      elements: dict
    counts:
      description: How many hosts are V(unreachable), V(failed), V(warning) and V(ok).
      type: dict
    brief:
      description: Each host with no more than C(name), C(state) and the texts of C(reasons).
      type: list
      elements: dict
    summary:
      description: How many there are, in a line.
      type: str
      sample: "3 hosts: 1 failed, 2 ok"
    text:
      description: The table for a terminal, line by line.
      type: list
      elements: str
    markdown:
      description: The table as a document.
      type: str
    html:
      description: The whole as a page that needs nothing else.
      type: str
"""


def fleet_report(results: Mapping[str, Mapping[str, Any]], time: str) -> dict[str, Any]:
    """Return the report in all its forms."""
    hosts = table.fleet(results)
    return {
        "time": time,
        "hosts": hosts,
        "brief": [table.brief(host) for host in hosts],
        "counts": table.counts(hosts),
        "summary": table.summary(hosts),
        "text": table.text(hosts),
        "markdown": table.markdown(hosts, time),
        "html": page.page(hosts, time),
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters of this file by name."""
        return {"fleet_report": fleet_report}
