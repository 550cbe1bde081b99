#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade_plan
short_description: Tell what an upgrade to a version of CATMAID means for an instance
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Compares the release that serves with the wanted one. Tells the commits between them, what CATMAID's own notes say
    of the versions between, what is known of these releases and whether the host meets it, how requirements change,
    which migrations come, and what was changed on the host.
  - Changes nothing. Commits that are not on the host yet are fetched to a temporary repository, which is removed.
    The settings file is read by its syntax and never executed.
  - Fails only when there is no plan to be had. What forbids the upgrade is in RV(problems).
notes:
  - Migrations are read from the files of the version, and so those of Django and other packages are not among them. As
    soon as the release is prepared (M(catmaid.admin.checkout), virtual environment) its Django is asked.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.project
attributes:
  diff_mode:
    support: N/A
    description: It changes nothing.
options:
  repository:
    description: URL or path of a git repository of CATMAID, which may be a fork.
    type: str
    required: true
  version:
    description: Tag, branch or commit, or V(latest_release) for the newest tag that is named like C(2021.12.21).
    type: str
    required: true
  root:
    description: Folder of the instance, as M(catmaid.admin.checkout) keeps it.
    type: path
    required: true
  interpreter:
    description: Interpreter that the virtual environment of the wanted version will be made with.
    type: path
    default: /usr/bin/python3
  interpreter_version:
    description:
      - Version such as V(3.9) that O(interpreter) will have, if it is only there when the environment is made.
      - Empty if it has to be there.
    type: str
    default: ""
  local_commits:
    description:
      - What is to become of commits that were made on the host, as in M(catmaid.admin.checkout).
      - Whether they fit on the wanted version is tried in the temporary repository.
    type: str
    choices: [refuse, rebase, merge]
    default: refuse
  protect:
    description:
      - What is to bring the database back, as in M(catmaid.admin.upgrade_switch). The disk must have room for it.
      - Where a copy finds no room, that is an error only if a dump finds none in O(backup_dir) either.
    type: str
    choices: [copy, dump, none]
    default: copy
  backup_dir:
    description: Folder of the backups.
    type: path
  state_dir:
    description:
      - Folder of the instance. What M(catmaid.admin.upgrade_rehearsal) has found of this very upgrade is told too, and
        how long the last upgrades took is read there.
    type: path
  title:
    description: Name of the host in RV(markdown).
    type: str
    default: this host
requirements:
  - psycopg2 for the Python that runs the module
  - git
seealso:
  - module: catmaid.admin.checkout
"""

EXAMPLES = r"""
- name: See what an upgrade means
  catmaid.admin.upgrade_plan:
    repository: https://github.com/catmaid/CATMAID.git
    version: latest_release
    root: /opt/catmaid
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    project_user: catmaid
    login_db: catmaid
  register: catmaid_plan
"""

RETURN = r"""
needed:
  description: Whether there is anything to upgrade. Otherwise only RV(from), RV(to) and RV(problems) are looked at.
  returned: success
  type: bool
from:
  description: Commit that serves, what C(git describe) calls it, the release before it and the commits since that.
  returned: success
  type: dict
  sample:
    commit: b74f51f08f994456e08d7068855828ef2d84605a
    describe: "2021.12.21"
    release: "2021.12.21"
    ahead: 0
to:
  description: The same of the wanted one, and the version's name. Local commits are not counted.
  returned: success
  type: dict
release:
  description: The release that is wanted, as M(catmaid.admin.checkout) will return it.
  returned: success
  type: dict
commits:
  description: How many commits come and go, and the newest of each.
  returned: success
  type: dict
local_commits:
  description: Commits that were made on the host and that the wanted version lacks, oldest first.
  returned: success
  type: list
  elements: dict
edited:
  description: Files of CATMAID that were edited on the host.
  returned: success
  type: list
  elements: str
notes:
  description:
    - What C(UPDATE.md), C(CHANGELOG.md) and C(API_CHANGELOG.md) of the wanted version say of the versions between,
      oldest first. C(notes) is the part of C(text) for administrators.
  returned: success
  type: list
  elements: dict
  sample: [{"file": "UPDATE.md", "release": "2021.12.21", "text": "- ...", "notes": "- ..."}]
rules:
  description:
    - What the releases between are known to want. C(level) is C(error), C(action), C(automatic), C(note) or
      C(fulfilled); C(found) is what of the host does not meet it.
  returned: success
  type: list
  elements: dict
requirements:
  description: Changes of the requirement files, by package.
  returned: success
  type: list
  elements: dict
  sample: [{"file": "django/requirements.txt", "package": "django", "before": "==3.0.14", "after": "==3.2.18"}]
migrations:
  description: Migrations to come with their operations, in C(steps); C(known_from) is C(files) or C(Django).
  returned: success
  type: dict
estimated_seconds:
  description:
    - About how long people wait; C(downtime) is the sum of the others. What does not depend on the version is as the
      last upgrades of this host took it, by their history in O(state_dir); a dump at the stop is not counted.
  returned: success
  type: dict
  sample: {"copy": 2.2, "migrate": 7.9, "restart": 4.0, "downtime": 14.1}
estimated_from:
  description: Where each of these numbers is from.
  returned: success
  type: dict
  sample:
    copy: as the last one here
    migrate: a guess by their number and the size of the database
    restart: the longest of the last 3 upgrades here
rehearsal:
  description:
    - What a rehearsal of this upgrade has found, as M(catmaid.admin.upgrade_rehearsal) returns it; empty if there was
      none. Its C(predicted) is in RV(estimated_seconds) then, and C(objections) are why it cannot go online.
  returned: success
  type: dict
postgis:
  description: PostGIS in the database and on the server, and in C(problem) why its library cannot be loaded.
  returned: success
  type: dict
acknowledge:
  description: The version whose notes an administrator has to acknowledge; empty when they ask for nothing.
  returned: success
  type: str
  sample: 2021.12.21
problems:
  description: What forbids the upgrade.
  returned: success
  type: list
  elements: str
summary:
  description: What to read before an upgrade, line by line.
  returned: success
  type: list
  elements: str
markdown:
  description: The whole plan as a Markdown document.
  returned: success
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import (
    login_argument_spec,
    project,
    project_argument_spec,
    run,
    server,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import local
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner
from ansible_collections.catmaid.admin.plugins.module_utils.engine.upgrades import planning, report


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Return the plan."""
    where = project(params)
    wish = planning.Wish(
        project=where,
        repository=params["repository"],
        version=params["version"],
        root=params["root"],
        interpreter=params["interpreter"],
        interpreter_version=params["interpreter_version"],
        local_commits=params["local_commits"],
        protect=params["protect"],
        backup_dir=params["backup_dir"] or "",
        state_dir=params["state_dir"] or "",
    )
    plan = planning.read(Runner(where, server(params), params["login_db"]), wish)
    return {
        "changed": False,
        **report.as_dict(plan),
        "summary": report.summary(plan),
        "markdown": report.markdown(plan, params["title"]),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **login_argument_spec(),
            **project_argument_spec(),
            "repository": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "root": {"type": "path", "required": True},
            "interpreter": {"type": "path", "default": "/usr/bin/python3"},
            "interpreter_version": {"type": "str", "default": ""},
            "local_commits": {"type": "str", "choices": list(local.CHOICES), "default": local.REFUSE},
            "protect": {"type": "str", "choices": ["copy", "dump", "none"], "default": "copy"},
            "backup_dir": {"type": "path"},
            "state_dir": {"type": "path"},
            "title": {"type": "str", "default": "this host"},
        },
        supports_check_mode=True,
    )
    run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
