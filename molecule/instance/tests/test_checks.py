# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new instance is proved by a report, and what is wrong fails by its name."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

ALL = {"services", "version", "pages", "login", "websocket", "celery"}
ALL |= {"migrations", "database", "permissions", "hardening", "logs"}
PROOFS = {"provision", "restart", "restore", "tls"}
SETTINGS = "/opt/catmaid/current/source/django/projects/mysite/settings.py"


def states(folder, instance) -> dict[str, str]:
    """Return what the report for programs tells, which is what that for people tells."""
    found = json.loads((folder / f"{instance.name}.json").read_text())
    told = {check["name"]: check["state"] for check in found["checks"]}
    suite = ElementTree.parse(folder / f"{instance.name}.xml").getroot().find("testsuite")
    wrong = [case.get("name").partition(":")[0] for case in suite.iter("testcase") if case.find("failure") is not None]
    assert wrong == [name for name, state in told.items() if state == "failed"]
    assert (int(suite.get("tests")), int(suite.get("failures"))) == (len(told), len(wrong))
    return told


def test_a_new_instance_passes_all_checks(instances, play, tmp_path):
    """On one host, as it takes long: on the one where everything runs."""
    instance = instances[-1]
    done = play("provision", "--limit", instance.name, catmaid_https=True, catmaid_checks_report=str(tmp_path))
    found = states(tmp_path, instance)
    assert set(found) >= ALL | PROOFS
    assert set(found.values()) == {"ok"}, done.messages(instance.name)
    assert done.rc == 0, done.output


def test_what_is_wrong_is_named_by_the_playbook_verify(instances, play, tmp_path):
    """On the same host, which is the one with TLS."""
    instance = instances[-1]
    there = ("--limit", instance.name)
    instance.run(f"chmod o+r {SETTINGS}")
    instance.run("systemctl disable --quiet catmaid")
    instance.sql("INSERT INTO django_migrations (app, name, applied) VALUES ('catmaid', '9999_<&>', now())")
    try:
        failed = play("verify", *there, catmaid_https=True, catmaid_checks_report=str(tmp_path))
    finally:
        instance.run(f"chmod o-r {SETTINGS}")
        instance.run("systemctl enable --quiet catmaid")
        instance.sql("DELETE FROM django_migrations WHERE name LIKE '9999%'")
    assert failed.rc != 0
    found = states(tmp_path, instance)
    assert {name for name, state in found.items() if state == "failed"} == {"services", "migrations", "permissions"}
    assert not PROOFS & set(found)
    told = failed.results(instance.name)["catmaid_checks"]
    assert (told["ok"], told["checks"], len(told["failed"])) == (False, len(found), 3)
    assert "3 of " in failed.messages(instance.name) and "does not start at boot" in failed.messages(instance.name)
    well = play("verify", *there, catmaid_https=True, catmaid_checks_leave_out=["hardening"])
    assert well.rc == 0, well.output
    assert well.changed(instance.name) == []
    assert well.results(instance.name)["catmaid_checks"]["ok"] and well.results(instance.name)["catmaid_verify"]["ok"]
