#!/usr/bin/python
# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migrate
short_description: Apply Django's migrations to a database of CATMAID
version_added: "1.0.0"
author: catmaid.admin contributors (@catmaid)
description:
  - Brings the schema of a database to the state of the project's code, or to another migration, forwards or backwards.
  - Check mode returns the same plan as the real run, with the operations of every migration. Plans are made in a
    read-only session and without Django's system checks, which in CATMAID write to the database.
  - Refuses a database that has migrations the code does not know, because Django itself does not notice them.
  - A database from before CATMAID 2015.12.21 is refused, with what to do first. One at exactly that release is
    continued as CATMAID's manual says, C(catmaid.0001_initial) being recorded and not run.
notes:
  - The login options say which database is meant and are used for looking at it. C(manage.py) itself logs in as the
    settings module says, so that new tables belong to the role of the instance; only the name of the database is taken
    from O(login_db). Before anything runs it is proved in the same process that this leads to the same database.
  - Where the settings lead to another server than the login options do, O(follow_login) or O(login_password) must be
    given. With a password, C(manage.py) logs in with the login options and acts as the owner of the database.
  - On another database than that of the settings, the instance's media folder, message broker and mail are not used.
extends_documentation_fragment:
  - catmaid.admin.attributes
  - catmaid.admin.lock
  - catmaid.admin.login
  - catmaid.admin.project
options:
  app:
    description: Migrate this Django app only.
    type: str
    default: ""
  migration:
    description:
      - Migrate O(app) to this migration, given by name or by a prefix that is unique. V(zero) means none of them.
      - An older one than the database has means going backwards. What cannot be reversed is refused beforehand.
    type: str
    default: ""
  fake:
    description: Record the migrations as applied, or as not applied, without running them.
    type: bool
    default: false
  fake_initial:
    description: Record first migrations of an app without running them if all tables that they make exist.
    type: bool
    default: false
  lock_timeout:
    description:
      - Seconds that each statement waits for a lock; V(0) means for ever.
      - When it is over, the module fails and names the sessions that hold the lock.
    type: int
    default: 30
  allow_unknown:
    description:
      - Run although the database has migrations that the code does not know.
      - Such a database is newer than the code. In check mode they are always just returned.
    type: bool
    default: false
requirements:
  - psycopg2 for the Python that runs the module
"""

EXAMPLES = r"""
- name: Apply all migrations of the release
  catmaid.admin.migrate:
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    login_db: catmaid

- name: See what a prepared release would do to the database, while the old one serves
  catmaid.admin.migrate:
    project_path: /opt/catmaid/releases/2021.12.21/source
    virtualenv: /opt/catmaid/releases/2021.12.21/env
    login_db: catmaid
  check_mode: true
  register: catmaid_plan

- name: Go back to the last migration of the former release
  catmaid.admin.migrate:
    project_path: /opt/catmaid/current/source
    virtualenv: /opt/catmaid/current/env
    login_db: catmaid
    app: catmaid
    migration: "0114"
"""

RETURN = r"""
plan:
  description: What was to be done when the module started, in order.
  returned: success
  type: list
  elements: dict
  contains:
    app:
      description: Django app.
      type: str
      sample: catmaid
    name:
      description: Name of the migration.
      type: str
      sample: 0115_add_point_set_table
    operations:
      description: What it does, in Django's words.
      type: list
      elements: str
    backwards:
      description: Whether it is reverted.
      type: bool
    atomic:
      description: Whether it is a transaction, which leaves nothing when it fails.
      type: bool
    fake:
      description: Whether it is recorded only.
      type: bool
applied:
  description: Migrations that this run has applied, in order. Empty in check mode.
  returned: always, once migrations have begun
  type: list
  elements: str
  sample: [catmaid.0115_add_point_set_table]
reverted:
  description: Migrations that this run has reverted, in order. Empty in check mode.
  returned: always, once migrations have begun
  type: list
  elements: str
unapplied:
  description: Migrations of the code that the database lacks when the module ends; in check mode, those it lacks now.
  returned: success
  type: list
  elements: str
unknown:
  description: Migrations that the database has and the code lacks, of apps that the code has.
  returned: success
  type: list
  elements: str
orphaned:
  description: Migrations that the database has of apps that the code does not have at all, as former releases had them.
  returned: success
  type: list
  elements: str
unfinished:
  description:
    - Content types and permissions that are missing though all migrations are applied, when the module starts.
    - A run that was ended after its last migration leaves that. They are made by this run.
  returned: success
  type: list
  elements: str
  sample: [permission add_treenode]
recorded:
  description: How many migrations the database has recorded when the module ends.
  returned: success
  type: int
  sample: 152
duration:
  description: Seconds.
  returned: always, once migrations have begun
  type: dict
  contains:
    total:
      description: The whole run, with the start of Django.
      type: float
    migrations:
      description: Each migration, by C(app.name).
      type: dict
failed:
  description: The migration that failed.
  returned: when a migration fails
  type: str
  sample: catmaid.0115_add_point_set_table
blockers:
  description: The sessions that held the lock.
  returned: when a lock was not to be had in time
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.catmaid.admin.plugins.module_utils._ansible import (
    lock_argument_spec,
    login_argument_spec,
    project,
    project_argument_spec,
    run,
    server,
)
from ansible_collections.catmaid.admin.plugins.module_utils.engine.catmaid import south
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django import migrations
from ansible_collections.catmaid.admin.plugins.module_utils.engine.django.shim import Runner
from ansible_collections.catmaid.admin.plugins.module_utils.engine.errors import CatmaidError


def predicted(recorded: list[str], plan: migrations.Plan) -> list[str]:
    """Return what the database will have recorded after the plan."""
    done = list(recorded)
    for step in plan.steps:
        name = f"{step['app']}.{step['name']}"
        if step["backwards"]:
            done.remove(name)
        else:
            done.append(name)
    return done


def lines(names: list[str]) -> str:
    """Return one line for each name, for a diff."""
    return "".join(f"{name}\n" for name in sorted(names))


def migrate(module: AnsibleModule) -> dict[str, Any]:
    """Plan, and outside check mode carry the plan out."""
    params = module.params
    runner = Runner(project(params), server(params), params["login_db"])
    fake_first = south.look(runner.server, runner.database)
    target = {"app": params["app"], "migration": params["migration"]}
    plan = migrations.plan(runner, fake_first=fake_first, **target)
    if params["fake"]:
        plan.steps[:] = [{**step, "fake": True} for step in plan.steps]
    if plan.unknown and not params["allow_unknown"] and not module.check_mode:
        raise CatmaidError(
            f"migrating database {runner.database}",
            f"it has {len(plan.unknown)} migrations that the code in {runner.project.path} lacks "
            f"({', '.join(plan.unknown)}): it belongs to a newer release",
            "Use the code of the release that the database belongs to, or set allow_unknown if you know better.",
            unknown=plan.unknown,
            plan=plan.steps,
        )
    outcome = migrations.Outcome()
    after = predicted(plan.recorded, plan)
    unapplied = plan.unapplied
    changed = bool(plan.steps or plan.unfinished)
    if changed and not module.check_mode:
        outcome = migrations.run(
            runner,
            plan,
            fake=params["fake"],
            fake_initial=params["fake_initial"],
            lock_timeout=params["lock_timeout"],
            **target,
        )
        after = migrations.recorded(runner)
        unapplied = [name for name in plan.unapplied if name not in after] + outcome.unapplied
    return {
        "changed": changed,
        "plan": plan.steps,
        "applied": outcome.applied,
        "reverted": outcome.unapplied,
        "unapplied": unapplied,
        "unknown": plan.unknown,
        "orphaned": plan.orphaned,
        "unfinished": plan.unfinished,
        "recorded": len(plan.recorded if module.check_mode else after),
        "duration": {"total": outcome.total, "migrations": outcome.seconds},
        "diff": {"before": lines(plan.recorded), "after": lines(after)},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **lock_argument_spec(),
            **login_argument_spec(),
            **project_argument_spec(),
            "app": {"type": "str", "default": ""},
            "migration": {"type": "str", "default": ""},
            "fake": {"type": "bool", "default": False},
            "fake_initial": {"type": "bool", "default": False},
            "lock_timeout": {"type": "int", "default": 30},
            "allow_unknown": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    database = module.params["login_db"]
    run(module, lambda: migrate(module), job=f"migrating database {database}", databases=[database])


if __name__ == "__main__":
    main()
