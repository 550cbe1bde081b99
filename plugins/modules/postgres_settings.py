#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_settings
short_description: Give a PostgreSQL server settings, or leave everything as it was
version_added: 1.0.0
description:
  - The settings are one file in the folder of settings that the server's configuration includes, C(conf.d) on Debian.
    The server itself is asked where that is. No other file is touched.
  - PostgreSQL reads a copy of its whole configuration with the new file first, and takes the memory that it would need,
    beside the server that runs. What it does not take is refused before anything changes; so is a configuration that
    somebody else has broken.
  - The server is reloaded. Settings that need a restart get one with O(restart=true) alone; without it they wait, and
    are told. A server that does not start with them gets the old ones back and is started again, also when the run
    itself had ended in the middle of it and the module runs once more.
  - What C(ALTER SYSTEM), the command line, a database or a role say otherwise stays, and is told as a conflict.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.lock
attributes:
  check_mode:
    details:
      - In check mode PostgreSQL reads the copy, too, so settings that it would not take are an error.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: full
options:
  login_db:
    description: Database whose jobs must not be disturbed by a restart. It need not exist.
  name:
    description: Name of the file, without C(.conf). Of several files in the folder, the last one by name counts.
    type: str
    default: zz-catmaid
  state:
    description: Whether the file is to be there.
    type: str
    default: present
    choices: [present, absent]
  settings:
    description:
      - Settings by their names. A value is a text or number, or a dictionary of C(value) and C(reason).
    type: dict
    default: {}
  plan:
    description:
      - Values that M(catmaid.admin.tuning_plan) has returned. With them come others that suit CATMAID and the server's
        version. Those in O(settings) count more.
      - What others have set higher already, such as C(max_connections), is not lowered.
    type: list
    elements: dict
  leave_out:
    description: Names that are not set, whatever the plan says.
    type: list
    elements: str
    default: []
  statements:
    description: Whether to load C(pg_stat_statements) beside the libraries that are loaded already.
    type: bool
    default: false
  restart:
    description: Whether the server may be restarted. It is restarted only when a setting of the file waits for it.
    type: bool
    default: false
  state_dir:
    description: Folder in which the file that the server started with last is kept until it has started with the new.
    type: path
    default: /var/lib/catmaid/tuning
requirements:
  - psycopg2
notes:
  - It runs on the host of the server, as root, and logs in as a superuser. For a server elsewhere it changes nothing
    and returns the text of the file in RV(content).
seealso:
  - module: catmaid.admin.database_settings
  - module: catmaid.admin.tuning_plan
"""

EXAMPLES = r"""
- name: More memory for sorting
  catmaid.admin.postgres_settings:
    login_db: catmaid
    settings:
      work_mem: {value: 32MB, reason: The spatial queries sort some ten thousand nodes}
      jit_above_cost: 1000000

- name: Take all of it back
  catmaid.admin.postgres_settings:
    login_db: catmaid
    state: absent
    restart: true
"""

RETURN = r"""
local:
  description: Whether the server runs on this host. When not, nothing was done.
  returned: success
  type: bool
path:
  description: The file, nothing when the server is elsewhere.
  returned: success
  type: str
  sample: /etc/postgresql/15/main/conf.d/zz-catmaid.conf
content:
  description: Its text, as it is or has to be.
  returned: success
  type: str
settings:
  description: Every setting of the file as it was and as it is now.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    wanted:
      description: Its value in the file, nothing when it is no longer there.
      type: str
    before:
      description: Its value in the server before.
      type: str
    after:
      description: Its value in the server now; in check mode, as it would be.
      type: str
    reason:
      description: Why.
      type: str
    source:
      description: Where its value comes from now, by the server's word.
      type: str
      sample: configuration file /etc/postgresql/15/main/conf.d/zz-catmaid.conf:4
    pending_restart:
      description: Whether it waits for a restart.
      type: bool
    conflict:
      description: What keeps it from its value.
      type: str
pending_restart:
  description: Settings that wait for a restart of the server.
  returned: success
  type: list
  elements: str
conflicts:
  description: What others say otherwise.
  returned: success
  type: list
  elements: str
reloaded:
  description: Whether the server has read its files again, or would.
  returned: success
  type: bool
restarted:
  description: Whether it was restarted, or would be.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import dropin, unsettled
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres.server import Server
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning import database
from ansible_collections.catmaid.admin.plugins.module_utils.engine.tuning.model import DATABASE

ELSEWHERE = "The server runs on another host, and its files cannot be reached from here: put the content there by hand."


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.lock_argument_spec(),
            "name": {"type": "str", "default": "zz-catmaid"},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "settings": {"type": "dict", "default": {}},
            "plan": {"type": "list", "elements": "dict"},
            "leave_out": {"type": "list", "elements": "str", "default": []},
            "statements": {"type": "bool", "default": False},
            "restart": {"type": "bool", "default": False},
            "state_dir": {"type": "path", "default": "/var/lib/catmaid/tuning"},
        },
        supports_check_mode=True,
    )
    restarts = module.params["restart"]
    names = [module.params["login_db"]] if restarts else []
    _ansible.run(module, lambda: work(module), job="postgres_settings", databases=names)


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    server = _ansible.server(params)
    recovered = unsettled.recover(server, params["state_dir"], check=module.check_mode)
    request = dropin.Request(
        server=server,
        name=params["name"],
        wanted=wanted(server, params) if params["state"] == "present" else None,
        restart=params["restart"],
        state_dir=params["state_dir"],
    )
    outcome = dropin.activate(request, check=module.check_mode, recovered=recovered)
    for text in [*outcome.conflicts, *filter(None, [outcome.recovered])]:
        module.warn(text)
    if not outcome.local:
        module.warn(ELSEWHERE)
    header = outcome.path or "nothing"
    return {
        "changed": outcome.changed,
        "local": outcome.local,
        "path": outcome.path,
        "content": outcome.after,
        "settings": outcome.settings,
        "pending_restart": outcome.waiting,
        "conflicts": outcome.conflicts,
        "reloaded": outcome.reloaded,
        "restarted": outcome.restarted,
        "diff": {
            "before_header": header,
            "after_header": header,
            "before": outcome.before,
            "after": outcome.after if outcome.path else "",
        },
    }


def wanted(server: Server, params: dict[str, Any]) -> tuple[dropin.Wanted, ...]:
    """Return what the options ask for, with the reasons of those who ask."""
    present = database.ask(server, f"{params['name']}.conf")
    found: dict[str, dropin.Wanted] = {}
    if params["plan"] is not None:
        rows = [row for row in params["plan"] if row["part"] == DATABASE]
        plan = [dropin.Wanted(row["name"], row["text"], f"{row['reason']} ({row['source']})") for row in rows]
        found = {one.name: one for one in database.advise(plan, present)}
    for name, told in params["settings"].items():
        value, reason = (told["value"], told.get("reason", "")) if isinstance(told, dict) else (told, "")
        text = ("on" if value else "off") if isinstance(value, bool) else str(value)
        known = found.get(name)
        found[name] = dropin.Wanted(name, text, reason or (known.reason if known else "as wanted"))
    kept = [one for name, one in found.items() if name not in params["leave_out"]]
    return database.with_statements(kept, present) if params["statements"] else tuple(kept)


if __name__ == "__main__":
    main()
