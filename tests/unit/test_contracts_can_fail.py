# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each contract can fail: fed with a bad example, it says so."""

from __future__ import annotations

import pytest

from .contracts import coverage, floors, modules, variables

GOOD = {"type": "int", "default": 2}


@pytest.mark.parametrize(
    ("option", "defaults", "problem"),
    [
        (GOOD, {"x": 2}, None),
        ({"type": "str", "required": True}, {}, None),
        ({"type": "list", "elements": "int", "default": [1]}, {"x": [1]}, None),
        ({"type": "str", "default": "{{ y }}"}, {"x": "{{ y }}"}, None),
        (GOOD, {"x": 3}, "default 2 in the spec, 3 in defaults"),
        (GOOD, {"x": "2"}, "default 2 in the spec, '2' in defaults"),
        (GOOD, {}, "none in defaults"),
        (GOOD, {"x": 2, "y": 1}, "y: is in defaults/main.yml, in no spec"),
        ({"type": "bool", "default": 1}, {"x": 1}, "is no bool"),
        ({"type": "int", "default": True}, {"x": True}, "is no int"),
        ({"type": "path", "default": ["/a"]}, {"x": ["/a"]}, "is no path"),
        ({"type": "list", "elements": "int", "default": ["a"]}, {"x": ["a"]}, "is no list"),
        ({"type": "dict", "options": {"a": {"type": "bool"}}, "default": {"a": 1}}, {"x": {"a": 1}}, "is no dict"),
        ({"type": "bool", "default": True}, {"x": 1}, "default True in the spec, 1 in defaults"),
        ({"type": "str", "choices": ["a"], "default": "b"}, {"x": "b"}, "none of the choices"),
        ({"type": "str"}, {}, "no default and is not required"),
        ({"type": "str", "required": True}, {"x": "a"}, "is required, and yet has a default in the defaults"),
        ({"type": "str", "required": True, "default": "a"}, {}, "is required, and yet has a default in the spec"),
    ],
)
def test_specs(option, defaults, problem):
    found = variables.spec_problems({"main": {"options": {"x": option}}}, defaults)
    assert (found == []) if problem is None else any(problem in line for line in found), found


@pytest.mark.parametrize(
    ("role", "names", "problems"),
    [
        ("backup", {"catmaid_backup_jobs"}, 0),
        ("common", {"catmaid_user", "catmaid_common_x"}, 0),
        ("backup", {"catmaid_jobs", "jobs", "catmaid_restore_jobs"}, 3),
        ("common", {f"catmaid_{number}" for number in range(40)}, 1),
    ],
)
def test_prefixes(role, names, problems):
    assert len(variables.prefix_problems(role, names)) == problems


@pytest.mark.parametrize(
    ("task", "problems"),
    [
        ({"register": "__catmaid_x"}, 0),
        ({"block": [{"register": "result"}]}, 1),
        ({"ansible.builtin.set_fact": {"catmaid_x": 1, "cacheable": True}}, 1),
        ({"loop_control": {"loop_var": "item_"}}, 1),
        ({"ansible.builtin.set_fact": {"catmaid_backup_result": 1}}, 0),
    ],
)
def test_made_names(task, problems):
    assert len(variables.made_problems([task], "Returns V(catmaid_backup_result).")) == problems


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ("  when: catmaid_x", 1),
        ("    - catmaid_x", 1),
        ("  a: \"{{ 'b' if not catmaid_x else 'c' }}\"", 1),
        ("  when: catmaid_x | bool and catmaid_other", 0),
        ('  globals: "{{ catmaid_x }}"', 0),
        ("  # or catmaid_x", 0),
        ("  fail_msg: Or set catmaid_x.", 0),
    ],
)
def test_bare_bools(line, problems):
    assert len(variables.bare_bools(line, {"catmaid_x"})) == problems


def test_passed_names():
    task = {"vars": {"catmaid_backup_jobs": 1, "__catmaid_x": 1, "ansible_python_interpreter": "x", "catmaid_typo": 1}}
    assert len(variables.passed_problems([task], {"catmaid_backup_jobs"})) == 1


@pytest.mark.parametrize(
    ("documented", "argument", "problem"),
    [
        ({"type": "int", "default": 1}, {"type": "int", "default": 1}, None),
        ({"choices": ["a", "b"]}, {"choices": ("a", "b")}, None),
        ({"suboptions": {"a": {}}}, {"options": {"a": {}}}, None),
        ({"type": "int"}, {"type": "str"}, "type"),
        ({}, {"required": True}, "required"),
        ({"default": 1}, {"default": 2}, "default"),
        ({"choices": ["a"]}, {"choices": ["b"]}, "choices"),
        ({"choices": ["a"]}, {}, "choices"),
        ({"type": "list", "elements": "str"}, {"type": "list", "elements": "int"}, "elements"),
        ({}, {"aliases": ["y"]}, "aliases"),
        ({"suboptions": {"a": {}}}, {"options": {"b": {}}}, "x.a"),
    ],
)
def test_arguments(documented, argument, problem):
    found = modules.argument_problems({"x": documented}, {"x": argument})
    assert (found == []) if problem is None else any(problem in line for line in found), found
    assert modules.argument_problems({"x": {}}, {}) == ["x: is documented only"]
    assert modules.argument_problems({}, {"x": {}}) == ["x: is not documented"]


def test_attributes():
    full = {"support": "full"}
    assert modules.attribute_problems({"check_mode": full, "diff_mode": full}, {"supports_check_mode": True}) == []
    assert len(modules.attribute_problems({"check_mode": full}, {"supports_check_mode": True})) == 1
    assert len(modules.attribute_problems({"check_mode": full, "diff_mode": full}, {})) == 1


@pytest.mark.parametrize(
    ("source", "inside", "problems"),
    [
        ("from ..errors import CatmaidError", ["postgres", "dump"], 0),
        ("from .. import command", ["postgres", "dump"], 0),
        ("from .server import Server", ["postgres", "dump"], 0),
        ("from .errors import CatmaidError", ["command"], 0),
        ("import ansible.module_utils.basic", ["files"], 1),
        ("from ansible_collections.catmaid.admin.plugins.module_utils.engine import errors", ["files"], 1),
        ("from ..django import project", ["postgres", "dump"], 1),
        ("from ..catmaid.facts import tables", ["django", "project"], 1),
        ("from ..tuning import budget", ["backups", "store"], 1),
        ("from .postgres import server", ["files"], 1),
        ("def f():\n    from ..backups import store", ["catmaid", "facts"], 1),
        ("import os", ["elsewhere"], 1),
    ],
)
def test_floors(source, inside, problems):
    assert len(floors.engine_problems(source, inside)) == problems


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        ("from ..module_utils._ansible import run", 0),
        ("from . import pg_dump", 1),
        ("from .pg_dump import main", 1),
        ("import ansible_collections.catmaid.admin.plugins.modules.pg_dump", 1),
    ],
)
def test_modules_apart(source, problems):
    assert len(floors.module_problems(source)) == problems


def test_uses_are_found():
    plays = [
        {"import_playbook": "catmaid.admin.upgrade"},
        {"hosts": "all", "roles": ["catmaid.admin.backup", {"role": "restore"}]},
        {"tasks": [{"ansible.builtin.include_role": {"name": "catmaid.admin.common"}}]},
        {"tasks": [{"ansible.builtin.command": {"argv": ["ansible-playbook", "../playbooks/rebuild.yml"]}}]},
    ]
    assert coverage.used_playbooks(plays) == {"upgrade", "rebuild"}
    assert coverage.used_roles(plays) == {"backup", "restore", "common"}
    assert coverage.closure({"a"}, {"a": {"b"}, "b": {"a", "c"}}) == {"a", "b", "c"}


def test_unknown_names_are_found():
    text = "catmaid.admin.migrate, catmaid.admin.migrato, ansible_collections.catmaid.admin.plugins, catmaid.admin."
    assert coverage.unknown_names(text, {"migrate"}) == ["migrato"]
