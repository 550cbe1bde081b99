# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What objects of AWX have for fields, taken from the documentation of awx.awx's modules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ansible
import yaml

COLLECTION = Path(ansible.__file__).parent.parent / "ansible_collections/awx/awx"
TYPES = {"str": str, "int": int, "bool": bool, "dict": dict, "float": (int, float)}
# Options that the modules use themselves, or send elsewhere
NO_FIELDS = {
    *("copy_from", "destroy_current_nodes", "interval", "lookup_organization", "new_name", "state", "survey_spec"),
    *("approval_node", "update_project", "update_secrets", "vault_credential", "wait", "workflow_nodes"),
    *(f"controller_{name}" for name in ("config_file", "host", "oauthtoken", "password", "username")),
    *("request_timeout", "validate_certs"),
}
# Options that are sent as the text of a JSON object
AS_TEXT = {"extra_vars", "source_vars", "variables"}
NOTIFICATIONS = {f"notification_templates_{event}" for event in ("approvals", "error", "started", "success")}
ASSOCIATIONS = {
    **dict.fromkeys(NOTIFICATIONS, "notification_templates"),
    **dict.fromkeys(("always_nodes", "failure_nodes", "success_nodes"), "workflow_job_template_nodes"),
    "credentials": "credentials",
    "galaxy_credentials": "credentials",
    "instance_groups": "instance_groups",
    "labels": "labels",
}
REFERENCES = {
    "credential": "credentials",
    "credential_type": "credential_types",
    "default_environment": "execution_environments",
    "execution_environment": "execution_environments",
    "inventory": "inventories",
    "organization": "organizations",
    "project": "projects",
    "source_project": "projects",
    "unified_job_template": "unified_job_templates",
    "webhook_credential": "credentials",
    "workflow_job_template": "workflow_job_templates",
}
# What may be run: AWX finds all of it in one list.
RUNNABLE = ("job_templates", "workflow_job_templates", "projects", "inventory_sources")
KINDS = {
    "organizations": ("organization", ("name",)),
    "execution_environments": ("execution_environment", ("name",)),
    "credential_types": ("credential_type", ("name",)),
    "credentials": ("credential", ("organization", "name", "credential_type")),
    "labels": ("label", ("name", "organization")),
    "notification_templates": ("notification_template", ("organization", "name")),
    "projects": ("project", ("organization", "name")),
    "inventories": ("inventory", ("organization", "name")),
    "inventory_sources": ("inventory_source", ("inventory", "name")),
    "job_templates": ("job_template", ("organization", "name")),
    "workflow_job_templates": ("workflow_job_template", ("organization", "name")),
    "workflow_job_template_nodes": ("workflow_job_template_node", ("workflow_job_template", "identifier")),
    "schedules": ("schedule", ("unified_job_template", "name")),
}
NULLABLE = {"host_filter"}
# Fields that a module sends without having an option for them, or of another type than the option
EXTRA: dict[str, dict[str, dict[str, Any]]] = {
    "credential_type": {"managed": {"type": "bool"}},
    "workflow_job_template_node": {"type": {"choices": ["workflow_job_template_node"]}},
}
REQUIRED: dict[str, tuple[str, ...]] = {
    "execution_environment": ("image",),
    "credential_type": ("kind",),
    "inventory_source": ("source",),
    "notification_template": ("organization", "notification_type", "notification_configuration"),
    "job_template": ("inventory", "project", "playbook", "job_type"),
    "schedule": ("rrule", "unified_job_template"),
}


@dataclass(frozen=True)
class Kind:
    """One kind of objects: their fields, the lists of others that they have, and what must be unique."""

    name: str
    module: str
    fields: dict[str, dict[str, Any]]
    associations: dict[str, str]
    identity: tuple[str, ...]
    required: tuple[str, ...]


def options(module: str) -> dict[str, dict[str, Any]]:
    """Return the documented options of one of awx.awx's modules."""
    text = (COLLECTION / f"plugins/modules/{module}.py").read_text(encoding="utf-8")
    quote = '"""' if 'DOCUMENTATION = """' in text else "'''"
    return yaml.safe_load(text.split(f"DOCUMENTATION = {quote}", 1)[1].split(quote, 1)[0])["options"]


@cache
def kinds() -> dict[str, Kind]:
    """Return every kind, by the name of its list in the API."""
    found = {}
    for name, (module, identity) in KINDS.items():
        known = {option: spec for option, spec in options(module).items() if option not in NO_FIELDS}
        lists = {option: ASSOCIATIONS[option] for option in known if option in ASSOCIATIONS}
        # Of a job template, "credential" is an older name for one of its credentials.
        ignored = {"credential"} if module == "job_template" else set()
        fields = {option: spec for option, spec in known.items() if option not in {*lists, *ignored}}
        needed = {option for option, spec in known.items() if spec.get("required")} | set(REQUIRED.get(module, ()))
        found[name] = Kind(name, module, {**fields, **EXTRA.get(module, {})}, lists, identity, tuple(sorted(needed)))
    return found


def fault_of_value(name: str, spec: dict[str, Any], value: Any) -> str:
    """Return what is wrong with the value of a field, if anything."""
    if value is None:
        return "" if name in NULLABLE else "This field may not be null."
    if name in REFERENCES:
        return "" if type(value) is int else f"Incorrect type. Expected pk value, received {type(value).__name__}."
    if name in AS_TEXT:
        try:
            return "" if isinstance(json.loads(value), dict) else "Not an object."
        except (TypeError, ValueError):
            return "Not the text of a JSON object."
    wanted = TYPES[spec.get("type", "str")]
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        return f"Not a valid {spec.get('type', 'str')}."
    if "choices" in spec and value not in [*spec["choices"], ""]:
        return f'"{value}" is not a valid choice.'
    return ""
