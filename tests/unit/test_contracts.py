# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contracts that hold the house together: see tests/unit/contracts for how each is checked."""

from __future__ import annotations

import ast

import pytest

from .contracts import coverage, floors, modules, variables
from .contracts.house import CHECKOUT, ENGINE, MODULES, PLAYBOOKS, ROLES, read, relative, yaml_files

each_role = pytest.mark.parametrize("role", ROLES)
each_module = pytest.mark.parametrize("module", MODULES)
SPECS = {role: read(CHECKOUT / f"roles/{role}/meta/argument_specs.yml").get("argument_specs", {}) for role in ROLES}
DEFAULTS = {role: read(CHECKOUT / f"roles/{role}/defaults/main.yml") for role in ROLES}
VARIABLES = {
    role: {*DEFAULTS[role], *(name for entry in SPECS[role].values() for name in entry.get("options") or {})}
    for role in ROLES
}


def expect_none(problems):
    """Fail with one problem a line."""
    assert not problems, "\n".join(["", *problems])


def tasks(role):
    """Return all that a role does."""
    return [read(path) for folder in ("tasks", "handlers") for path in yaml_files(f"roles/{role}/{folder}")]


def python_files(*folders):
    """Return the Python files below these folders."""
    return sorted(path for folder in folders for path in (CHECKOUT / folder).rglob("*.py"))


def test_there_is_something_to_check():
    assert MODULES
    assert ROLES
    assert PLAYBOOKS


@each_role
def test_specs_are_defaults(role):
    expect_none(variables.spec_problems(SPECS[role], DEFAULTS[role]))


@each_role
def test_variables_have_their_prefix(role):
    expect_none(variables.prefix_problems(role, VARIABLES[role]))


@each_role
def test_internal_variables_are_marked(role):
    documented = (CHECKOUT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8")
    expect_none(variables.made_problems(tasks(role), documented))
    internal = {name for path in yaml_files(f"roles/{role}/vars") for name in read(path)}
    assert [name for name in sorted(internal) if not name.startswith("__catmaid_")] == []


@each_role
def test_roles_pass_variables_that_exist(role):
    expect_none(variables.passed_problems(tasks(role), set().union(*VARIABLES.values())))


@each_role
def test_conditions_know_the_texts_true_and_false(role):
    """They come from -e on the command line, and from surveys."""
    known = {
        name
        for specs in SPECS.values()
        for entry in specs.values()
        for name, option in (entry.get("options") or {}).items()
        if option.get("type") == "bool"
    }
    files = [
        path
        for folder in ("tasks", "vars", "templates")
        for path in (CHECKOUT / f"roles/{role}").glob(f"{folder}/**/*.*")
    ]
    expect_none([line for path in files for line in variables.bare_bools(path.read_text(encoding="utf-8"), known)])


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbooks_use_variables_that_exist(playbook):
    content = read(CHECKOUT / f"playbooks/{playbook}.yml")
    expect_none(variables.passed_problems(content, set().union(*VARIABLES.values())))
    expect_none(variables.made_problems(content, documented=""))


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_roles_find_the_facts_that_they_read(playbook):
    for play in read(CHECKOUT / f"playbooks/{playbook}.yml"):
        if play.get("gather_facts", True):
            continue
        for role in {"common", *(one["role"].rpartition(".")[2] for one in play.get("roles", []))}:
            for path in yaml_files(f"roles/{role}"):
                assert "ansible_facts." not in path.read_text(encoding="utf-8"), relative(path)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_lab_can_start_each_playbook_from_its_own_folder(playbook):
    (play,) = read(CHECKOUT / f"examples/site/{playbook}.yml")
    assert play["import_playbook"] == f"catmaid.admin.{playbook}"


@each_module
def test_documentation_is_the_argument_spec(module):
    arguments = modules.given_arguments(module)
    document = modules.documentation(modules.module_file(module))
    expect_none(modules.argument_problems(document.get("options") or {}, arguments["argument_spec"]))


@each_module
def test_modules_tell_about_check_and_diff_mode(module):
    document = modules.documentation(modules.module_file(module))
    expect_none(modules.attribute_problems(document.get("attributes") or {}, modules.given_arguments(module)))


@each_module
def test_modules_import_no_other(module):
    expect_none(floors.module_problems(modules.module_file(module).read_text(encoding="utf-8")))


def test_action_group_is_the_modules():
    assert read(CHECKOUT / "meta/runtime.yml")["action_groups"]["catmaid"] == MODULES


@each_module
def test_modules_have_an_integration_test(module):
    path = CHECKOUT / f"tests/integration/test_{module}.py"
    assert path.exists()
    defined = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [name for name in defined if name.startswith("test_")]


def test_roles_and_playbooks_are_used_by_a_scenario():
    expect_none(coverage.uncovered())


@pytest.mark.parametrize(
    "path", [path for path in python_files(relative(ENGINE)) if path.stem != "__init__"], ids=relative
)
def test_engine_imports_downwards(path):
    inside = list(path.relative_to(ENGINE).with_suffix("").parts)
    expect_none(floors.engine_problems(path.read_text(encoding="utf-8"), inside))


def test_names_in_the_documentation_exist():
    known = coverage.things()
    texts = [
        *CHECKOUT.glob("*.md"),
        *(path for path in (CHECKOUT / "docs").rglob("*") if path.suffix in (".md", ".rst", ".yml")),
        *yaml_files("examples", "playbooks", "roles", "molecule"),
        *(CHECKOUT / "examples").rglob("*.md"),
        *python_files("plugins"),
    ]
    unknown = {relative(path): coverage.unknown_names(path.read_text(encoding="utf-8"), known) for path in texts}
    assert {path: names for path, names in unknown.items() if names} == {}


def test_files_of_code_are_short():
    folders = ("plugins", "roles", "playbooks", "molecule", "tests", "bench", "demo", ".ci")
    files = [path for folder in folders for path in (CHECKOUT / folder).rglob("*") if path.is_file()]
    lines = {relative(path): path.read_bytes().count(b"\n") for path in files if coverage.is_code(path)}
    assert {path: count for path, count in lines.items() if count > coverage.LINES_AT_MOST} == {}


def test_python_files_carry_the_licence():
    files = [
        path for path in python_files("plugins", "tests/unit", "tests/integration", "molecule") if path.stat().st_size
    ]
    assert [
        relative(path) for path in files if b"SPDX-License-Identifier: GPL-3.0-or-later" not in path.read_bytes()
    ] == []
