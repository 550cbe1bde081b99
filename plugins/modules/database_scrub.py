#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_scrub
short_description: Take sessions, tokens, passwords and addresses out of a copy of a CATMAID database
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - For a copy that others are to work with, such as a training server. It is done in one transaction.
  - C(sessions), C(tokens) of the API and of projects, C(social) logins and OAuth, C(messages), C(client_data) (what
    browsers keep on the server, keys of other instances among it) and the C(admin_log) are emptied, as far as the
    database has such tables. C(passwords) become unusable, C(emails) empty.
  - Names and passwords in the addresses of images and data sources are C(urls), and are replaced there.
  - Old rows of all these tables in their C(history) go as well.
  - Then every address, key, token and hash that was found there is looked for in all text and JSON of the database, and
    replaced. So an address that somebody has written into an annotation is not forgotten.
  - Names of people and of their accounts stay, so that it is known whose work something is.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
  - catmaid.admin.lock
attributes:
  check_mode:
    details:
      - In check mode it is done, and rolled back.
  diff_mode:
    support: none
options:
  login_db:
    description: Name of the database.
  login_user:
    description: A superuser, as triggers would write into the history what is removed.
  confirm:
    description:
      - The name of the database once more, as what is removed is gone.
      - Nobody may be connected to it. The database of an instance that runs is refused therefore.
    type: str
    required: true
  keep:
    description: What is not to be removed.
    type: list
    elements: str
    default: []
    choices: [admin_log, client_data, emails, history, messages, passwords, sessions, social, tokens, urls]
  domain:
    description: Where the copy is to be reached, for C(django_site) where there is such a table. Empty changes nothing.
    type: str
    default: ""
  label:
    description: What the title of each project is to begin with, so that everybody sees where he is.
    type: str
    default: ""
requirements:
  - psycopg2
seealso:
  - module: catmaid.admin.pg_restore
"""

EXAMPLES = r"""
- name: Let the copy let nobody in
  catmaid.admin.database_scrub:
    login_db: catmaid_training_restore
    confirm: catmaid_training_restore
    label: TRAINING
"""

RETURN = r"""
emptied:
  description: Rows that were removed, by table.
  returned: success
  type: dict
replaced:
  description: Rows in which a value was replaced, by table and column.
  returned: success
  type: dict
elsewhere:
  description: Rows of other tables in which secrets stood as well, by table and column.
  returned: success
  type: dict
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import scrub
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def work(module: AnsibleModule) -> dict[str, Any]:
    """Scrub it, and tell of it."""
    params = module.params
    database = params["login_db"]
    if params["confirm"] != database:
        remedy = f"Nothing was changed. To say that it is meant: confirm={database}."
        raise CatmaidError(f"scrubbing database {database}", "its name was not confirmed", remedy)
    server = _ansible.server(params)
    scrub.check_unused(server, database)
    wanted = scrub.Scrubbing(params["keep"], params["domain"], params["label"])
    done = scrub.scrub(server, database, wanted, check=module.check_mode)
    return {"changed": done.changed, **asdict(done)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            **_ansible.lock_argument_spec(),
            "confirm": {"type": "str", "required": True},
            "keep": {"type": "list", "elements": "str", "default": [], "choices": scrub.KEEPABLE},
            "domain": {"type": "str", "default": ""},
            "label": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    database = module.params["login_db"]
    _ansible.run(module, lambda: work(module), job=f"scrubbing database {database}", databases=[database])


if __name__ == "__main__":
    main()
