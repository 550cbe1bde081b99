#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: adopt_info
short_description: Look at an instance of CATMAID that somebody has set up by hand
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Finds a checkout of CATMAID and what belongs to it, namely virtual environment, settings, database, services, web
    site, image data, commits and edits that were made on the host, old dumps. It also says what is unusual, and why.
  - Nothing of the instance is run, and nothing is changed. Settings are read by their syntax. Git is asked by a folder
    of its own that borrows the checkout's objects, so that nothing counts that the checkout's configuration says.
  - Passwords are neither returned nor looked for. It is only said that there is one.
extends_documentation_fragment:
  - catmaid.admin.attributes
attributes:
  diff_mode:
    support: N/A
    description: It changes nothing.
options:
  path:
    description:
      - The checkout, the folder that holds C(django/). Left out, it is looked for in the usual places and among the
        folders that processes work in. If there are several, the module fails and names them in RV(checkouts).
    type: path
  virtualenv:
    description: The virtual environment, if it is not the one that services are started from.
    type: path
  root:
    description: Folder for what this collection makes. Left out, it is one that is free, or that was made before.
    type: path
requirements:
  - git
  - pg_restore, to read old archives
"""

EXAMPLES = r"""
- name: Look at what somebody has set up here
  catmaid.admin.adopt_info:
  register: catmaid_found

- name: Say what is unusual
  ansible.builtin.debug:
    msg: "{{ catmaid_found.unusual }}"
"""

RETURN = r"""
checkouts:
  description: The checkouts that were found, when there was not just one.
  returned: failure
  type: list
  elements: str
source:
  description: The checkout.
  returned: success
  type: str
  sample: /srv/my catmaid
root:
  description: The folder for what this collection makes.
  returned: success
  type: str
  sample: /opt/catmaid
state:
  description:
    - How far it was taken over before, empty for not at all. V(linked) is after the role P(catmaid.admin.adopt#role),
      V(led) when its services were led to the links, V(upgraded) when another release serves since.
  returned: success
  type: str
  sample: linked
keep:
  description: Files in the checkout that git does not track and an upgrade has to take along.
  returned: success
  type: list
  elements: str
  sample: [django/projects/mysite/settings.py]
code:
  description:
    - Where it stands, as git tells. C(upstream) is the newest commit that was not made here, C(local) names
      those that were, C(edited) the files that were edited and not committed.
  returned: success
  type: dict
  sample:
    commit: 7d9f836180d199d9d7321f3c57d1d1ed96dcfdd5
    describe: 2021.12.21-1-g7d9f83618
    branch: master
    upstream: 22487fe0c2964e04e6d199d9d7321f3c57d1d1ed
    upstream_describe: 2021.12.21
    remote: https://github.com/catmaid/CATMAID.git
    local: [7d9f83618 Our own colours]
    edited: []
    shallow: false
virtualenv:
  description: The virtual environment; empty if none was found.
  returned: success
  type: str
python:
  description: The interpreter that it was made with.
  returned: success
  type: str
  sample: /usr/bin/python3.8
user:
  description: The OS user that owns the code, or that the services run as where that is root.
  returned: success
  type: str
settings:
  description: The settings file.
  returned: success
  type: str
database:
  description:
    - C(name), C(user), C(host) and C(port) by the settings. C(password) is V(written), V(computed) or empty, never the
      password itself.
  returned: success
  type: dict
db_host:
  description: Host of the database server; empty for this host.
  returned: success
  type: str
server_name:
  description: The name that people visit the web site by.
  returned: success
  type: str
subdirectory:
  description: The folder of its URL, by the settings or else the web site; empty for none.
  returned: success
  type: str
  sample: catmaid
direct:
  description: Where the application answers HTTP itself, without that folder.
  returned: success
  type: list
  elements: str
  sample: ["127.0.0.1:8000"]
https:
  description: Whether by TLS.
  returned: success
  type: bool
services:
  description: What starts the code, in the order in which it is started, with the names that an upgrade has for them.
  returned: success
  type: list
  elements: dict
  sample:
    - name: supervisor:catmaid:catmaid-uwsgi
      kind: wsgi
      file: /etc/supervisor/conf.d/catmaid.conf
      user: www-data
sites:
  description: The web sites of nginx that lead to it.
  returned: success
  type: list
  elements: dict
image_data:
  description: Folders that the site shows besides, by location.
  returned: success
  type: dict
  sample:
    /data/: /srv/images/
media:
  description: MEDIA_ROOT, empty if unknown.
  returned: success
  type: str
static:
  description: STATIC_ROOT, empty if unknown.
  returned: success
  type: str
dumps:
  description: Lines of cron that dump the database, how many files they have left, and what is wrong with the newest.
  returned: success
  type: list
  elements: dict
unusual:
  description: What is unusual, and why that matters.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import run
from ansible_collections.catmaid.admin.plugins.module_utils.engine.adoption import survey
from ansible_collections.catmaid.admin.plugins.module_utils.engine.adoption.found import as_dict


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Return what there is."""
    source = survey.choose(params["path"] or "")
    return {"changed": False, **as_dict(survey.look(source, params["virtualenv"] or "", params["root"] or ""))}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path"}, "virtualenv": {"type": "path"}, "root": {"type": "path"}},
        supports_check_mode=True,
    )
    run(module, lambda: look(module.params))


if __name__ == "__main__":
    main()
