# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX refuses although fields and types are right: rules for surveys, schedules, credentials and prompts."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import rrule
from jinja2 import StrictUndefined
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

ANSWERS = {
    **dict.fromkeys(("text", "textarea", "password", "multiplechoice"), str),
    "multiselect": (str, list),
    "integer": int,
    "float": (float, int),
}
QUESTION = {
    *("choices", "default", "max", "min", "new_question", "question_description", "question_name"),
    *("required", "type", "variable"),
}
START = re.compile(r"DTSTART(?:;TZID=([^:]+))?:(\d{8}T\d{6})(Z?) ")
RULE_PARTS = {"FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYHOUR", "BYMINUTE", "COUNT", "UNTIL", "WKST"}
INPUT = {"id", "type", "label", "help_text", "secret", "multiline", "choices", "format", "default", "ask_at_runtime"}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
# Each setting of a notification with its type
NOTIFICATIONS: dict[str, dict[str, type]] = {
    "email": {
        "host": str,
        "port": int,
        "username": str,
        "password": str,
        "use_tls": bool,
        "use_ssl": bool,
        "sender": str,
        "recipients": list,
        "timeout": int,
    },
    "webhook": {
        "url": str,
        "http_method": str,
        "disable_ssl_verification": bool,
        "username": str,
        "password": str,
        "headers": dict,
    },
}
# What a node or a schedule may give only if its template asks for it
PROMPTS = {
    "inventory": "ask_inventory_on_launch",
    "job_tags": "ask_tags_on_launch",
    "job_type": "ask_job_type_on_launch",
    "limit": "ask_limit_on_launch",
    "skip_tags": "ask_skip_tags_on_launch",
    "verbosity": "ask_verbosity_on_launch",
    "credentials": "ask_credential_on_launch",
}


def fault_of_question(question: dict[str, Any]) -> str:
    """Return what is wrong with a question of a survey."""
    if missing := {"type", "question_name", "variable", "required"} - set(question):
        return f"{sorted(missing)} missing"
    if unknown := set(question) - QUESTION:
        return f"{sorted(unknown)} unknown"
    if question["type"] not in ANSWERS or not VARIABLE.match(question["variable"]):
        return "type or variable not allowed"
    if not isinstance(question["required"], bool) or not isinstance(question["question_name"], str):
        return "required or question_name of a wrong type"
    return fault_of_limits(question) or fault_of_choices(question)


def fault_of_limits(question: dict[str, Any]) -> str:
    """Return what is wrong with the default of a question, and with what is the least and the most."""
    default = question.get("default", "")
    if default != "" and (not isinstance(default, ANSWERS[question["type"]]) or isinstance(default, bool)):
        return f"default {default!r} is no {question['type']}"
    wrong = [limit for limit in ("min", "max") if type(question.get(limit, 0)) is not int]
    return f"{wrong} expected to be integer" if wrong else ""


def fault_of_choices(question: dict[str, Any]) -> str:
    """Return what is wrong with the choices of a question."""
    if not question["type"].startswith("multi"):
        return ""
    choices = question.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        return "no list of choices"
    return "the default is none of the choices" if question.get("default", choices[0]) not in choices else ""


def fault_of_survey(survey: dict[str, Any]) -> str:
    """Return what is wrong with a survey."""
    if set(survey) != {"name", "description", "spec"}:
        return "a survey has a name, a description and a spec"
    if not survey["spec"]:
        return "'spec' doesn't contain any items."
    variables = [question.get("variable") for question in survey["spec"]]
    if len(set(variables)) < len(variables):
        return "a variable is asked for twice"
    faults = [fault_of_question(question) for question in survey["spec"]]
    return "; ".join(fault for fault in faults if fault)


def occurrences(rule: str) -> rrule.rruleset | rrule.rrule:
    """Return when a schedule runs, in its own time zone."""
    start = START.match(rule)
    if not start:
        raise ValueError("begins with no DTSTART, or with more than one, or is naive")
    zone, _time, utc = start.groups()
    if bool(zone) == bool(utc):
        raise ValueError("DTSTART has no time zone")
    return rrule.rrulestr(rule.replace(" ", "\n"), tzids=ZoneInfo)


def fault_of_rule(rule: str) -> str:
    """Return what is wrong with the times of a schedule."""
    try:
        times = occurrences(rule)
        parts = [part.split("=")[0] for part in rule.rpartition("RRULE:")[2].split(";")]
        if rule.count("DTSTART") != 1 or "INTERVAL" not in parts or set(parts) - RULE_PARTS or "DATE:" in rule:
            return "one DTSTART, an INTERVAL, no EXDATE and no RDATE are wanted"
        if "FREQ=SECONDLY" in rule or re.search(r"BYDAY=[+-]?\d", rule):
            return "SECONDLY, and days with a number, are not supported"
        return "" if next(iter(times), None) else "it never runs"
    except (ValueError, KeyError, OSError) as error:
        return f"rrule parsing failed validation: {error}"


class Named:
    """What templates find under AWX's name ``tower``."""

    filename: Any


def fault_of_inputs(inputs: dict[str, Any]) -> str:
    """Return what is wrong with the fields of a credential type."""
    fields = inputs.get("fields", [])
    ids = [field.get("id", "") for field in fields]
    if set(inputs) - {"fields", "required"} or len(set(ids)) < len(ids) or set(inputs.get("required", [])) - set(ids):
        return "inputs are fields, each once, and which of them are required"
    for field in fields:
        if set(field) - INPUT or not {"id", "label"} <= set(field) or not VARIABLE.match(field["id"]):
            return f"field {field} has no id and label, or what AWX does not know"
        if field.get("type", "string") not in ("string", "boolean"):
            return f"field {field['id']} is neither string nor boolean"
    return ""


def fault_of_injectors(inputs: dict[str, Any], injectors: dict[str, Any]) -> str:
    """Return what is wrong with what a credential type makes of its fields."""
    files = injectors.get("file", {})
    if "template" in files and len(files) > 1:
        return "several files need names"
    if set(injectors) - {"file", "env", "extra_vars"} or any(
        n.startswith("ANSIBLE_") for n in injectors.get("env", {})
    ):
        return "an injector that AWX does not allow"
    tower = Named()
    tower.filename = "/tmp/file" if "template" in files else Named()
    for name in files:
        if name != "template":
            setattr(tower.filename, name.removeprefix("template."), "/tmp/file")
    values = {"tower": tower} | {field["id"]: "EXAMPLE" for field in inputs.get("fields", [])}
    for template in [text for group in injectors.values() for text in group.values()]:
        try:
            ImmutableSandboxedEnvironment(undefined=StrictUndefined).from_string(template).render(values)
        except TemplateError as error:
            return f"{template}: {error}"
    return ""


def fault_of_notification(kind: str, configuration: dict[str, Any]) -> str:
    """Return what is wrong with the settings of a notification."""
    wanted = NOTIFICATIONS.get(kind)
    if wanted is None:
        return f"{kind} is not known here"
    if set(wanted) != set(configuration):
        return f"Missing or unknown fields: {sorted(set(wanted) ^ set(configuration))}"
    wrong = [name for name, type_ in wanted.items() if type(configuration[name]) is not type_]
    return f"incorrect type of {wrong}" if wrong else ""


def fault_of_launch(given: dict[str, Any], template: dict[str, Any], survey: dict[str, Any], strict: bool) -> str:
    """Return what a node or schedule gives that its template does not ask for, and, if ``strict``, what is missing."""
    refused = [name for name, asked in PROMPTS.items() if given.get(name) and not template.get(asked)]
    if refused:
        return f"{template['name']} does not ask for {refused} on launch"
    questions = {question["variable"]: question for question in survey.get("spec", [])}
    answers = given.get("extra_data") or {}
    if set(answers) - set(questions) and not template.get("ask_variables_on_launch"):
        return f"Variables {sorted(set(answers) - set(questions))} are not allowed on launch."
    missing = [name for name, q in questions.items() if q["required"] and name not in answers and not q.get("default")]
    # 0 is an answer, and "" is none.
    missing = [name for name in missing if questions[name].get("default") != 0]
    return f"{missing} needed to start" if strict and missing else ""
