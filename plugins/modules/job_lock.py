#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job_lock
short_description: Hold the job lock of a database for a whole play
version_added: 1.0.0
description:
  - Only one job at a time works on a database on a host. The modules that do so take the lock themselves, each for as
    long as it runs. This one holds it from task to task.
  - A small process on the host holds the lock until it is released or O(max_age) is over. The tasks of the play give
    the token to the modules, which are let through.
  - The lock ends with its play, however that ends. The controller keeps a connection to the host open for it, and some
    seconds after an interrupt, a kill or the loss of the controller the lock is free. A job that goes on then, because
    nothing interrupts it, has the database for itself until it has ended, and other jobs tell which one that is.
  - Where no such connection can be kept, a play whose controller has died leaves the lock behind. Then it is released
    with O(state=released) and O(force=true), or at the latest when it is O(max_age) old.
author:
  - catmaid.admin contributors (@catmaid)
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.login
attributes:
  check_mode:
    details:
      - In check mode a lock that is held by another job is an error as well, and no process is started or ended.
  idempotent:
    description: A second run without a change in between changes nothing.
    support: partial
    details:
      - To hold a lock that is held already is an error, unless it is held with the same O(token). To release one that
        is free changes nothing.
options:
  login_db:
    description: Name of the database. It need not exist.
  state:
    description: Whether the lock is to be held or released.
    type: str
    default: held
    choices: [held, released]
  job:
    description: What the lock is held for, and for whom. Other jobs tell it when they find it held.
    type: str
    default: a play
  wait:
    description: For how many seconds to wait for another job to end. With V(0) it fails at once.
    type: float
    default: 0
  max_age:
    description:
      - After this time the lock is free whatever happens. Seconds, or a number with C(s), C(m), C(h), C(d) or C(w).
      - Modules that come later with the token take the lock themselves, each for as long as it runs.
    type: str
    default: 12h
  token:
    description:
      - With O(state=held), a token of one's own instead of one that is made.
      - With O(state=released), what this module returned. A lock that another job holds by now stays as it is.
    type: str
    default: ""
  leash:
    description:
      - The lock is free, too, when processes were seen on the host whose command line has this word in it, and all of
        them have ended. Left out, the action plugin of this module sees to it that they end with the play.
      - With an empty word only O(max_age) ends it.
    type: str
  force:
    description:
      - With O(state=released), release the lock without its token, whichever play holds it.
      - A job that is running in this moment is never ended by it.
    type: bool
    default: false
requirements:
  - psycopg2 (Debian and Ubuntu C(python3-psycopg2))
seealso:
  - module: catmaid.admin.pg_dump
  - module: catmaid.admin.backup_prune
"""

EXAMPLES = r"""
- name: Do something of several tasks
  block:
    - name: Let no other job work on the database
      catmaid.admin.job_lock:
        login_db: catmaid
        job: clean-up by {{ lookup('env', 'USER') }}
      register: job_lock

    - name: Make a backup
      catmaid.admin.pg_dump:
        login_db: catmaid
        dest: /var/backups/catmaid
        lock_token: "{{ job_lock.token }}"
  always:
    - name: Let others work on the database
      catmaid.admin.job_lock:
        login_db: catmaid
        state: released
        token: "{{ job_lock.token }}"
      when: job_lock is succeeded

- name: Release what a play left whose controller has died
  catmaid.admin.job_lock:
    login_db: catmaid
    state: released
    force: true
"""

RETURN = r"""
token:
  description: What lets the tasks of this play through. Empty in check mode, and when the lock was released.
  returned: success
  type: str
lock:
  description: Name of the lock, the same for all ways to the database.
  returned: success
  type: str
  sample: 7711559312458154172-catmaid
holder:
  description:
    - Who holds the lock or held it until now, with C(job), C(pid), C(since), C(until) and C(user), the number of the OS
      user. Empty when nobody did.
  returned: always, unless the server cannot be reached
  type: dict
  sample:
    job: upgrade to 2021.12.21 (AWX job 7)
    pid: 4711
    since: "2026-11-24T03:00:00Z"
    until: "2026-11-24T15:00:00Z"
    user: 0
"""

import uuid
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils import _ansible
from ansible_collections.catmaid.admin.plugins.module_utils.engine import locks
from ansible_collections.catmaid.admin.plugins.module_utils.engine.backups import store
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError
from ansible_collections.catmaid.admin.plugins.module_utils.engine.postgres import identity


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_ansible.login_argument_spec(),
            "state": {"type": "str", "default": "held", "choices": ["held", "released"]},
            "job": {"type": "str", "default": "a play"},
            "wait": {"type": "float", "default": 0},
            "max_age": {"type": "str", "default": "12h"},
            # No secret: it tells jobs of one play from others, and who may run a module needs none.
            "token": {"type": "str", "default": "", "no_log": False},
            "leash": {"type": "str"},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _ansible.run(module, lambda: work(module))


def work(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    key = identity.database_key(_ansible.server(params), params["login_db"])
    before = locks.holder(key)
    hold = params["state"] == "held"
    changed, token, after = (held if hold else released)(module, key, before)
    told = after or before
    return {
        "changed": changed,
        "token": token,
        "lock": key,
        "holder": told.details if told else {},
        "diff": {"before": diff(before), "after": diff(after)},
    }


def held(module: AnsibleModule, key: str, before: locks.Note | None) -> tuple[bool, str, locks.Note | None]:
    params = module.params
    max_age = store.seconds(params["max_age"])
    if max_age <= 0:
        raise CatmaidError("holding a job lock", f"max_age {params['max_age']} is over at once", "Give a longer one.")
    if before and params["token"] and before.belongs_to(params["token"]):
        return False, params["token"], before
    if module.check_mode:
        locks.check(key, params["job"])
        return True, "", None
    token = params["token"] or uuid.uuid4().hex
    leash = params["leash"] or ""
    return True, token, locks.start_holder(key, params["job"], token, max_age, params["wait"], leash)


def released(module: AnsibleModule, key: str, before: locks.Note | None) -> tuple[bool, str, locks.Note | None]:
    token, force = module.params["token"], module.params["force"]
    ended = locks.releasable(key, token, force=force) if module.check_mode else locks.release(key, token, force=force)
    if before and not ended:
        module.warn(f"The job lock is not this play's any more: it is held by {before}. It stays.")
    return ended is not None, "", None if ended else before


def diff(note: locks.Note | None) -> dict[str, Any]:
    return {"job_lock": note.job if note else ""}


if __name__ == "__main__":
    main()
