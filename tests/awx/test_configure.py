# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""awx/configure.yml makes what AWX accepts, once, and what it makes fits this collection's playbooks and roles.

The modules are awx.awx's own. The controller is ours, in memory: it refuses what AWX refuses.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from tests.unit.contracts import coverage
from tests.unit.contracts.house import CHECKOUT, PLAYBOOKS, mappings, read, yaml_files

from . import rules, specs
from .controller import TOKEN, Controller, Refused, Server

SITE = CHECKOUT / "examples/site"
# Playbooks that no template is for, and why
LEFT_OUT = {"adopt": "it writes host_vars into the folder of whoever calls it, and AWX throws its folder away"}
# Variables that only a playbook has
PLAYED = re.compile(r"\b(catmaid_(?:drill|verify|rebuild|integrity|rollback)_\w+)")


class Run:
    """How the playbook ended."""

    def __init__(
        self, controller: Controller, url: str, *options: str, token: str = TOKEN, **variables: object
    ) -> None:
        before = len(controller.written)
        argv = ["ansible-playbook", str(CHECKOUT / "awx/configure.yml"), *options]
        environment = os.environ | {
            "CONTROLLER_HOST": url,
            "CONTROLLER_OAUTH_TOKEN": token,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        }
        done = subprocess.run(
            [*argv, "-e", json.dumps(variables)], env=environment, capture_output=True, text=True, check=False
        )
        self.rc, self.output = done.returncode, done.stdout + done.stderr
        begin = done.stdout.find("{\n")
        self.stats = json.loads(done.stdout[begin:])["stats"]["localhost"] if begin >= 0 else {}
        self.written = controller.written[before:]


@pytest.fixture(scope="module")
def controller() -> Controller:
    """A new AWX, whose project is examples/site."""
    return Controller({path.name for path in SITE.glob("*.yml")})


@pytest.fixture(scope="module")
def configured(controller: Controller) -> Iterator[dict[str, Run]]:
    """What the playbook did: a check of a new AWX, the first run, the second, and a check and a run of a change."""
    with Server(controller) as server:
        runs = {"check of a new one": Run(controller, server.url, "--check")}
        runs["first"] = Run(controller, server.url)
        runs["second"] = Run(controller, server.url)
        # What is not to change is left out: it takes its time.
        others = (
            "organizations",
            "execution_environments",
            "credential_types",
            "credentials",
            "labels",
            "notifications",
        )
        others += ("projects", "inventories", "inventory_sources", "job_templates", "workflows")
        others += ("workflow_nodes", "workflow_links")
        change = {f"catmaid_awx_{name}": [] for name in others} | {"catmaid_awx_time_zone": "Europe/Berlin"}
        runs["check of a change"] = Run(controller, server.url, "--check", **change)
        yield runs


def named(controller: Controller, kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind by their names."""
    return {each.get("name", each.get("identifier")): each for each in controller.objects[kind].values()}


def test_a_check_of_a_new_controller_writes_nothing_and_says_what_it_lacks(configured):
    run = configured["check of a new one"]
    assert run.rc == 0, run.output
    assert run.written == []
    assert run.stats["changed"] == 1
    assert "Would make the organization CATMAID" in run.output


def test_the_first_run_makes_everything(controller, configured):
    run = configured["first"]
    assert run.rc == 0, run.output
    assert {kind: bool(found) for kind, found in controller.objects.items() if kind in specs.KINDS} == dict.fromkeys(
        specs.KINDS, True
    )


def test_the_second_run_changes_nothing(configured):
    run = configured["second"]
    assert (run.rc, run.stats["changed"], run.written) == (0, 0, []), run.output


def test_a_check_predicts_a_change_and_does_not_make_it(controller, configured):
    run = configured["check of a change"]
    assert run.rc == 0, run.output
    assert run.written == []
    # A task, whose loop goes through all of them
    assert run.stats["changed"] == 1
    assert all("TZID=Etc/UTC:" in each["rrule"] for each in controller.objects["schedules"].values())


def templates(controller: Controller) -> list[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Return each job template with the collection's playbook that it runs, and its survey."""
    found = []
    for each in controller.objects["job_templates"].values():
        (play,) = read(SITE / each["playbook"])
        survey = controller.surveys.get(("job_templates", each["id"]), {"spec": []})
        found.append((each, play["import_playbook"].removeprefix("catmaid.admin."), survey))
    return found


def test_every_playbook_has_a_template(controller, configured):
    assert {playbook for _template, playbook, _survey in templates(controller)} == set(PLAYBOOKS) - set(LEFT_OUT)


def options_of(playbook: str) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Return the options of a playbook's roles, and variables that the playbook itself reads."""
    content = read(CHECKOUT / f"playbooks/{playbook}.yml")
    roles, waiting = set(), {"common", *coverage.used_roles(content)}
    while waiting:
        role = waiting.pop()
        roles.add(role)
        waiting |= coverage.used_roles([read(path) for path in yaml_files(f"roles/{role}")]) - roles
    found: dict[str, dict[str, Any]] = {}
    for role in roles:
        for entry in read(CHECKOUT / f"roles/{role}/meta/argument_specs.yml").get("argument_specs", {}).values():
            found |= entry.get("options") or {}
    return found, set(PLAYED.findall((CHECKOUT / f"playbooks/{playbook}.yml").read_text(encoding="utf-8")))


def fault_of_question(question: dict[str, Any], option: dict[str, Any]) -> str:
    """Return why an answer would be no value for an option, if so."""
    kind, choices = option.get("type", "str"), question.get("choices")
    fits = {
        "text": kind in ("str", "path", "raw"),
        "integer": kind == "int",
        "multiplechoice": choices == ["false", "true"]
        if kind == "bool"
        else set(choices or ()) <= set(option.get("choices", ())),
    }
    if not fits[question["type"]]:
        return f"{question['variable']}: {question['type']} is no {kind}"
    default, usual = question["default"], option.get("default")
    usual = str(usual).lower() if isinstance(usual, bool) else usual
    # Who must answer has seen it. Who need not, gets what he would get without a survey.
    return "" if question["required"] or default == usual else f"{question['variable']}: {default!r} is not {usual!r}"


def test_what_surveys_and_templates_set_are_variables_of_their_playbooks(controller, configured):
    faults = []
    for template, playbook, survey in templates(controller):
        options, own = options_of(playbook)
        assert survey["spec"] or not template.get("survey_enabled")
        for question in survey["spec"]:
            if question["variable"] in options:
                faults.append(fault_of_question(question, options[question["variable"]]))
            elif question["variable"] not in own:
                faults.append(f"{template['name']}: nothing reads {question['variable']}")
        given = json.loads(template.get("extra_vars", "{}"))
        faults += [f"{template['name']}: nothing reads {name}" for name in given if name not in options]
    assert [fault for fault in faults if fault] == []


def test_templates_select_parts_that_there_are(controller, configured):
    for template, playbook, _survey in templates(controller):
        content = read(CHECKOUT / f"playbooks/{playbook}.yml")
        roles = coverage.used_roles(content)
        parts = [content, *(read(path) for role in roles for path in yaml_files(f"roles/{role}/tasks"))]
        known = {tag for mapping in mappings(parts) for tag in mapping.get("tags") or []}
        assert set(filter(None, template.get("job_tags", "").split(","))) <= known, template["name"]


def test_whoever_looks_after_it_is_told_of_failures(controller, configured):
    (who,) = controller.objects["notification_templates"]
    told = {(kind, key, event) for (kind, key, event), ids in controller.associated.items() if who in ids}
    assert {
        key for kind, key, event in told if (kind, event) == ("job_templates", "notification_templates_error")
    } == set(controller.objects["job_templates"])
    # A workflow whose rollback went well has not failed.
    rollback = named(controller, "job_templates")["CATMAID rollback"]["id"]
    assert ("job_templates", rollback, "notification_templates_success") in told
    (workflow,) = controller.objects["workflow_job_templates"]
    for event in ("error", "approvals"):
        assert ("workflow_job_templates", workflow, f"notification_templates_{event}") in told


def test_the_workflow_asks_before_it_upgrades_and_takes_back_what_does_not_verify(controller, configured):
    nodes = controller.objects["workflow_job_template_nodes"]
    links = {
        (nodes[key]["identifier"], what.removesuffix("_nodes"), nodes[other]["identifier"])
        for (_kind, key, what), others in controller.associated.items()
        if what.endswith("_nodes")
        for other in others
    }
    assert links == {
        ("plan", "success", "approval"),
        ("approval", "success", "backup"),
        ("backup", "success", "upgrade"),
        ("upgrade", "success", "verify"),
        ("verify", "failure", "rollback"),
    }
    (approval,) = controller.objects["workflow_approval_templates"].values()
    assert approval["timeout"] > 0
    runs = {
        n["identifier"]: controller.objects["job_templates"].get(n.get("unified_job_template"), {})
        for n in nodes.values()
    }
    played = {identifier: (each.get("playbook"), each.get("job_tags", "")) for identifier, each in runs.items()}
    assert played == {
        "plan": ("upgrade.yml", "plan"),
        "approval": (None, ""),
        "backup": ("backup.yml", ""),
        "upgrade": ("upgrade.yml", ""),
        "verify": ("upgrade.yml", "verify"),
        "rollback": ("rollback.yml", ""),
    }


def test_schedules_keep_to_the_clock_in_summer_and_in_winter(controller, configured):
    schedules = named(controller, "schedules")
    assert len(schedules) >= 5
    for name, each in schedules.items():
        here = each["rrule"].replace("TZID=Etc/UTC", "TZID=Europe/Berlin")
        times = list(islice(rules.occurrences(here), 400 if "DAILY" in here else 60))
        assert {(time.hour, time.minute) for time in times} == {(times[0].hour, times[0].minute)}, name
        assert {time.utcoffset() for time in times} == {timedelta(hours=1), timedelta(hours=2)}, name


WRONG = {
    "an unknown field": ("labels", {"name": "x", "organization": 0, "colour": "red"}, "Unknown field"),
    "a wrong type": ("organizations", {"name": "x", "max_hosts": "many"}, "Not a valid int"),
    "a choice that there is not": ("projects", {"name": "x", "scm_type": "cvs"}, "not a valid choice"),
    "a reference to nothing": ("labels", {"name": "x", "organization": 4711}, "does not exist"),
    "a name instead of an id": ("labels", {"name": "x", "organization": "CATMAID"}, "Incorrect type"),
    "what is there": ("organizations", {"name": "CATMAID"}, "already exists"),
    "too little": ("execution_environments", {"name": "x"}, "required"),
    "a null": ("organizations", {"name": "x", "description": None}, "may not be null"),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_controller_refuses(what):
    kind, fields, complaint = WRONG[what]
    controller = Controller(set())
    key = controller.create("organizations", {"name": "CATMAID"})["id"]
    with pytest.raises(Refused, match=complaint) as error:
        controller.create(kind, {name: key if value == 0 else value for name, value in fields.items()})
    assert error.value.status == 400


@pytest.mark.parametrize(
    "rule",
    [
        "DTSTART:20260101T030000 RRULE:FREQ=DAILY;INTERVAL=1",
        "DTSTART;TZID=Mars/Olympus:20260101T030000 RRULE:FREQ=DAILY;INTERVAL=1",
        "DTSTART;TZID=Etc/UTC:20260101T030000 RRULE:FREQ=DAILY",
        "DTSTART;TZID=Etc/UTC:20260101T030000 RRULE:FREQ=NIGHTLY;INTERVAL=1",
        "DTSTART;TZID=Etc/UTC:20260101T030000 RRULE:FREQ=MONTHLY;INTERVAL=1;BYDAY=1MO",
        "RRULE:FREQ=DAILY;INTERVAL=1",
    ],
)
def test_the_controller_refuses_times(rule):
    assert rules.fault_of_rule(rule)


def test_the_controller_refuses_a_survey_with_a_wrong_default():
    question = {"question_name": "?", "variable": "x", "type": "multiplechoice", "required": True, "choices": ["a"]}
    survey = {"name": "", "description": "", "spec": [{**question, "default": "b"}]}
    assert "none of the choices" in rules.fault_of_survey(survey)
    assert "twice" in rules.fault_of_survey({**survey, "spec": [question, question]})


def test_a_token_that_is_not_good_is_said_so():
    controller = Controller(set())
    with Server(controller) as server:
        run = Run(controller, server.url, token="another")
    assert run.rc != 0
    assert "Invalid authentication credentials" in run.output
    assert run.written == []
