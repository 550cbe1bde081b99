#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_settings
short_description: Set what the kernel has, now and after a boot, and know the way back
version_added: 1.0.0
description:
  - Writes a file of its own below C(sysctl.d), sets the kernel, and reads back that the kernel has the values.
  - Notes what was before, each value and each byte of the file, so that O(state=absent) brings it back.
  - What is wanted at least is left alone where it is higher already.
  - A file that the next boot reads later and that says something else is an error, as the values would be lost then.
  - Where the kernel's settings cannot be changed, as in a container, that is an error, and nothing is changed.
  - If one value is refused by the kernel, all is as it was before.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  settings:
    description:
      - What is wanted, all of it. What was set by an earlier run and is not in it any more gets its value from before.
      - Needed with O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name, such as V(vm.swappiness).
        type: str
        required: true
      value:
        description: Value, as the kernel shows it.
        type: str
        required: true
      at_least:
        description: Whether a higher value is left alone.
        type: bool
        default: false
      reason:
        description: Why, for the file.
        type: str
        default: ""
  state:
    description: Whether these settings are to be, or what was before them.
    type: str
    default: present
    choices: [present, absent]
  where_possible:
    description:
      - Set what can be set, and only warn about what cannot.
    type: bool
    default: false
  path:
    description: The file. Names are read in their order at boot.
    type: path
    default: /etc/sysctl.d/60-catmaid.conf
  note:
    description: File that keeps what was before.
    type: path
    default: /var/lib/catmaid/tuning/kernel.json
seealso:
  - module: ansible.posix.sysctl
"""

EXAMPLES = r"""
- name: Let data stay in memory
  catmaid.admin.kernel_settings:
    settings:
      - name: vm.swappiness
        value: "10"
        reason: data in memory is not swapped out for the page cache
      - name: fs.file-max
        value: "65536"
        at_least: true

- name: Bring back what was before
  catmaid.admin.kernel_settings:
    state: absent
"""

RETURN = r"""
before:
  description: Values that were changed, or would be, as they were.
  returned: success
  type: dict
  sample: {vm.swappiness: "60"}
after:
  description: The same as they are now, or would be.
  returned: success
  type: dict
  sample: {vm.swappiness: "10"}
kept:
  description: Values that are high enough already.
  returned: success
  type: dict
  sample: {fs.file-max: "9223372036854775807"}
refused:
  description: Settings that cannot be set here, with the reason.
  returned: when there are any
  type: dict
  sample: {vm.swappiness: "the kernel's settings are read-only here, as in a container"}
overridden:
  description: Settings that the next boot would undo, with the file and the value of it.
  returned: when there are any
  type: dict
  sample: {vm.swappiness: {file: /etc/sysctl.d/99-local.conf, value: "60"}}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning import kernel, sysctls

SETTING = {
    "name": {"type": "str", "required": True},
    "value": {"type": "str", "required": True},
    "at_least": {"type": "bool", "default": False},
    "reason": {"type": "str", "default": ""},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "list", "elements": "dict", "options": SETTING},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "where_possible": {"type": "bool", "default": False},
            "path": {"type": "path", "default": "/etc/sysctl.d/60-catmaid.conf"},
            "note": {"type": "path", "default": "/var/lib/catmaid/tuning/kernel.json"},
        },
        required_if=[("state", "present", ["settings"])],
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    place = kernel.Place(params["path"], params["note"])
    if params["state"] == "absent":
        outcome = kernel.undo(place, check=module.check_mode)
    else:
        outcome = kernel.apply(
            place, wanted(params["settings"]), where_possible=params["where_possible"], check=module.check_mode
        )
    for name, why in outcome.refused.items():
        module.warn(f"{name} is not set: {why}")
    before, after = outcome.file
    files = {"before_header": place.file, "after_header": place.file, "before": before or "", "after": after or ""}
    values = {"before_header": sysctls.PROC, "after_header": sysctls.PROC}
    return {
        "changed": outcome.changed,
        "before": outcome.before,
        "after": outcome.after,
        "kept": outcome.kept,
        **({"refused": outcome.refused} if outcome.refused else {}),
        "diff": [files, {**values, "before": lines(outcome.before), "after": lines(outcome.after)}],
    }


def wanted(settings: list[dict[str, Any]]) -> list[kernel.Wanted]:
    return [
        kernel.Wanted(
            sysctls.dotted(one["name"]), " ".join(one["value"].split()), at_least=one["at_least"], reason=one["reason"]
        )
        for one in settings
    ]


def lines(values: dict[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in sorted(values.items()))


if __name__ == "__main__":
    main()
