# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller as the modules of awx.awx see it: the API of AWX, in memory, that refuses what AWX refuses."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import rules, specs

API = "/api/v2"
TOKEN = "the token of a test"
SURVEYS = ("job_templates", "workflow_job_templates")
# What a new AWX has
MACHINE = {"name": "Machine", "kind": "ssh", "managed": True, "inputs": {}, "injectors": {}}


class Refused(Exception):
    """A request that AWX answers with an error."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(body)
        self.status, self.body = status, body


class Controller:
    """The objects of a controller, and what was asked of it."""

    def __init__(self, playbooks: set[str]) -> None:
        self.playbooks = playbooks
        self.objects: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in specs.KINDS}
        self.objects |= {"workflow_approval_templates": {}, "project_updates": {}}
        self.associated: dict[tuple[str, int, str], list[int]] = {}
        self.surveys: dict[tuple[str, int], dict[str, Any]] = {}
        self.written: list[tuple[str, str]] = []
        self.last_id = 0
        self.keep("credential_types", MACHINE)

    def keep(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Keep a new object, with what each has."""
        self.last_id += 1
        type_ = specs.KINDS[name][0] if name in specs.KINDS else name.removesuffix("s")
        url = f"{API}/{name}/{self.last_id}/"
        kept = {**fields, "id": self.last_id, "url": url, "type": type_, "summary_fields": {}, "related": {}}
        if name in SURVEYS:
            kept["related"]["survey_spec"] = f"{url}survey_spec/"
        self.objects[name][self.last_id] = kept
        return kept

    def find(self, name: str, key: int) -> dict[str, Any]:
        """Return an object by the name of its list and its id."""
        for listed in specs.RUNNABLE if name == "unified_job_templates" else (name,):
            if key in self.objects.get(listed, {}):
                return self.objects[listed][key]
        raise Refused(404, {"detail": "Not found."})

    def check(self, kind: specs.Kind, fields: dict[str, Any], complete: dict[str, Any]) -> None:
        """Refuse fields that the kind does not have, or not with such values, and what there is already."""
        faults = {}
        for name, value in fields.items():
            if name not in kind.fields:
                faults[name] = "Unknown field."
            elif fault := specs.fault_of_value(name, kind.fields[name], value):
                faults[name] = fault
            elif name in specs.REFERENCES:
                try:
                    self.find(specs.REFERENCES[name], value)
                except Refused:
                    faults[name] = f'Invalid pk "{value}" - object does not exist.'
        faults |= {name: "This field is required." for name in kind.required if name not in complete}
        others = [o for o in self.objects[kind.name].values() if o["id"] != complete.get("id")]
        if any(all(o.get(name) == complete.get(name) for name in kind.identity) for o in others):
            faults["__all__"] = f"{kind.module} with this {', '.join(kind.identity)} already exists."
        if faults:
            raise Refused(400, {name: [fault] for name, fault in faults.items()})
        if fault := self.fault(kind.name, complete):
            raise Refused(400, {"__all__": [fault]})

    def fault(self, name: str, made: dict[str, Any]) -> str:
        """Return what AWX would not like about an object as a whole."""
        if name == "credential_types":
            inputs, injectors = made.get("inputs", {}), made.get("injectors", {})
            return rules.fault_of_inputs(inputs) or rules.fault_of_injectors(inputs, injectors)
        if name == "notification_templates":
            return rules.fault_of_notification(made["notification_type"], made["notification_configuration"])
        if name == "job_templates" and made["playbook"] not in self.playbooks:
            return f"Playbook {made['playbook']} not found for project."
        if name == "credentials":
            type_ = self.find("credential_types", made["credential_type"])
            known = {field["id"] for field in type_["inputs"].get("fields", [])}
            unknown = set(made.get("inputs", {})) - known
            return f"Additional properties are not allowed: {sorted(unknown)}" if unknown and known else ""
        if name in ("schedules", "workflow_job_template_nodes") and "unified_job_template" in made:
            template = self.find("unified_job_templates", made["unified_job_template"])
            survey = next((s for (_kind, key), s in self.surveys.items() if key == template["id"]), {})
            fault = rules.fault_of_launch(made, template, survey, strict=name == "schedules")
            return fault or (rules.fault_of_rule(made["rrule"]) if name == "schedules" else "")
        return ""

    def create(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Make a new object."""
        kind = specs.kinds()[name]
        self.check(kind, fields, fields)
        made = self.keep(name, fields)
        if name == "projects":
            update = self.keep("project_updates", {"status": "successful", "finished": True})
            made["summary_fields"]["current_update"] = {"id": update["id"]}
            made["scm_revision"] = "1" * 40
        return made

    def change(self, name: str, key: int, fields: dict[str, Any]) -> dict[str, Any]:
        """Change an object."""
        found = self.find(name, key)
        if name in specs.KINDS:
            self.check(specs.kinds()[name], fields, found | fields)
        found |= fields
        return found

    def approve(self, node: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        """Make a node of a workflow wait for an approval."""
        if set(fields) - {"name", "description", "timeout"} or not isinstance(fields.get("timeout", 0), int):
            raise Refused(400, {"__all__": ["An approval has a name, a description and a timeout in seconds."]})
        made = self.keep("workflow_approval_templates", fields)
        node["related"]["unified_job_template"] = made["url"]
        return made

    def associate(self, name: str, key: int, association: str, asked: dict[str, Any]) -> None:
        """Add an object to a list of another, or take it out."""
        kind = specs.kinds()[name]
        if association not in kind.associations:
            raise Refused(404, {"detail": "Not found."})
        other = self.find(kind.associations[association], asked["id"])
        there = self.associated.setdefault((name, key, association), [])
        if asked.get("disassociate"):
            there.remove(asked["id"])
            return
        if association == "credentials":
            types = [self.find("credentials", i)["credential_type"] for i in there]
            if other["credential_type"] in types:
                raise Refused(400, {"detail": "Cannot assign multiple credentials of one type."})
        if association.endswith("_nodes"):
            here = self.find(name, key)
            if other["workflow_job_template"] != here["workflow_job_template"] or self.leads_to(asked["id"], key):
                raise Refused(400, {"detail": "Cycle detected, or another workflow."})
        there.append(asked["id"])

    def leads_to(self, start: int, end: int) -> bool:
        """Tell whether a node of a workflow leads to another, or is it."""
        lists = [found for (_name, key, what), found in self.associated.items() if key == start and "_node" in what]
        return start == end or any(self.leads_to(key, end) for found in lists for key in found)

    def listed(self, name: str, query: dict[str, str]) -> dict[str, Any]:
        """Return the objects of a list that a query asks for."""
        names = specs.RUNNABLE if name == "unified_job_templates" else (name,)
        found = [each for listed in names for each in self.objects[listed].values()]
        for field, value in query.items():
            if field not in ("name", "identifier", *specs.REFERENCES):
                raise Refused(403, {"detail": f"Filtering on {field} is not known here."})
            found = [each for each in found if str(each.get(field)) == value]
        return {"count": len(found), "next": None, "results": found}

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        """Answer a request."""
        parts = path.removeprefix(API).strip("/").split("/")
        name, key = parts[0], int(parts[1]) if len(parts) > 1 else 0
        if name not in self.objects and name not in ("unified_job_templates", "instance_groups"):
            raise Refused(404, {"detail": "Not found."})
        if len(parts) == 1:
            return (200, self.listed(name, query)) if method == "GET" else (201, self.create(name, body))
        found = self.find(name, key)
        if len(parts) == 2:
            return 200, found if method == "GET" else self.change(name, key, body)
        if parts[2] == "survey_spec":
            if method == "POST":
                if fault := rules.fault_of_survey(body):
                    raise Refused(400, {"error": fault})
                self.surveys[name, key] = body
            return 200, self.surveys.get((name, key), {})
        if parts[2] == "create_approval_template":
            return 201, self.approve(found, body)
        if method == "POST":
            self.associate(name, key, parts[2], body)
            return 204, None
        kind = specs.kinds()[name]
        ids = self.associated.get((name, key, parts[2]), [])
        results = [self.find(kind.associations[parts[2]], each) for each in ids]
        return 200, {"count": len(results), "next": None, "results": results}


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for a controller."""

    controller: Controller

    def do(self) -> None:
        """Answer a request."""
        url = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Refused(401, {"detail": "Authentication credentials were not provided."})
            if self.command != "GET":
                self.controller.written.append((self.command, url.path))
            status, body = self.controller.answer(
                self.command, url.path, dict(parse_qsl(url.query)), json.loads(text or "{}")
            )
        except Refused as error:
            status, body = error.status, error.body
        answer = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = do_DELETE = do  # noqa: N815 (the names of the standard library)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (as above)
        """Say nothing."""


class Server:
    """A controller that can be reached at ``url`` as long as it is entered."""

    def __init__(self, controller: Controller) -> None:
        handler = type("Bound", (Handler,), {"controller": controller})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Server:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
