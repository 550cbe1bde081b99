# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What settings.py says, worked out from its syntax: text and numbers, paths that are put together, configuration.py.

Nothing is executed. A value that would need that is unknown, and said to be.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = object()
WRITTEN, COMPUTED = "written", "computed"  # where the password is
PATHS = ("MEDIA_ROOT", "STATIC_ROOT", "STATIC_EXTENSION_ROOT", "HDF5_STORAGE_PATH", "CATMAID_IMPORT_PATH")
SHOWN = ("ALLOWED_HOSTS", "CATMAID_URL", "DEBUG", "FORCE_SCRIPT_NAME", "STATIC_URL", *PATHS)
# What is taken of os.path. Links are followed by nobody: another one may be there when CATMAID starts.
FUNCTIONS: dict[str, Callable[[str], str]] = {
    "abspath": os.path.abspath,
    "basename": os.path.basename,
    "dirname": os.path.dirname,
    "normpath": os.path.normpath,
    "realpath": os.path.abspath,
}


@dataclass
class Settings:
    """``database`` has NAME, HOST, PORT and USER, as texts; ``password`` says where that is; ``values`` are settings
    that were worked out; ``unknown`` the names of those that were not, with their lines."""

    path: str
    database: dict[str, str] = field(default_factory=dict)
    password: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    problem: str = ""


def read(path: str) -> Settings:
    """Return what a settings file says; ``problem`` is why it could not be read."""
    found = Settings(path)
    names: dict[str, Any] = {"__file__": path}
    configuration = os.path.join(path.partition("/projects/")[0], "configuration.py")
    for file in (configuration, path):
        try:
            with open(file, encoding="utf-8", errors="replace") as opened:
                tree = ast.parse(opened.read())
        except FileNotFoundError:
            found.problem = found.problem or ("there is none" if file == path else "")
            continue
        except OSError as error:
            found.problem = str(error.strerror or error)
            continue
        except (SyntaxError, ValueError) as error:
            # Without the line itself: it may hold a password.
            found.problem = f"line {getattr(error, 'lineno', None) or '?'} is no Python 3"
            continue
        if file == path or _imports_configuration(path):
            _walk(tree.body, names, found)
    _database(names.get("DATABASES"), found)
    found.values = {name: names[name] for name in SHOWN if name in names and names[name] is not UNKNOWN}
    found.values.update({name: os.path.normpath(str(found.values[name])) for name in PATHS if found.values.get(name)})
    found.unknown = {name: line for name, line in found.unknown.items() if name in (*SHOWN, "DATABASES")}
    return found


def _imports_configuration(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.ImportFrom) and node.module == "configuration" for node in ast.walk(tree))


def _walk(body: list[ast.stmt], names: dict[str, Any], found: Settings) -> None:
    """Take note of what statements assign, also below ``if`` and ``try``: the last one wins, as a rule."""
    for node in body:
        if isinstance(node, ast.Assign):
            value = evaluate(node.value, names)
            for target in node.targets:
                _assign(target, value, names, found)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            _assign(node.target, evaluate(node.value, names), names, found)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = names.get(node.target.id, UNKNOWN)
            _assign(node.target, _added(before, evaluate(node.value, names)), names, found)
        else:
            for part in ("body", "orelse", "finalbody"):
                if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                    _walk(getattr(node, part, []), names, found)


def _assign(target: ast.expr, value: Any, names: dict[str, Any], found: Settings) -> None:
    if isinstance(target, ast.Name):
        names[target.id] = value
        found.unknown.pop(target.id, None)
        if value is UNKNOWN:
            found.unknown[target.id] = target.lineno
    elif isinstance(target, ast.Tuple):
        values = value if isinstance(value, (list, tuple)) and len(value) == len(target.elts) else None
        for number, one in enumerate(target.elts):
            _assign(one, values[number] if values else UNKNOWN, names, found)
    elif isinstance(target, ast.Subscript):
        holder, key = evaluate(target.value, names), evaluate(target.slice, names)
        if isinstance(holder, dict) and isinstance(key, (str, int)):
            holder[key] = value


def evaluate(node: ast.expr, names: dict[str, Any]) -> Any:
    """Return the value of an expression, UNKNOWN if that needs more than reading."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id, UNKNOWN)
    if isinstance(node, (ast.List, ast.Tuple)):
        return [evaluate(item, names) for item in node.elts]
    if isinstance(node, ast.Dict):
        pairs = [(evaluate(key, names), evaluate(item, names)) for key, item in zip(node.keys, node.values) if key]
        return {key: item for key, item in pairs if isinstance(key, (str, int))}
    if isinstance(node, ast.BinOp):
        return _operation(node, names)
    if isinstance(node, ast.JoinedStr):
        parts = [evaluate(getattr(part, "value", part), names) if isinstance(part, ast.FormattedValue)
                 else part.value if isinstance(part, ast.Constant) else UNKNOWN for part in node.values]  # fmt: skip
        return UNKNOWN if UNKNOWN in parts else "".join(map(str, parts))
    if isinstance(node, ast.Subscript):
        holder, key = evaluate(node.value, names), evaluate(node.slice, names)
        return holder.get(key, UNKNOWN) if isinstance(holder, dict) and isinstance(key, (str, int)) else UNKNOWN
    return _call(node, names) if isinstance(node, ast.Call) else UNKNOWN


def _operation(node: ast.BinOp, names: dict[str, Any]) -> Any:
    left, right = evaluate(node.left, names), evaluate(node.right, names)
    if isinstance(node.op, ast.Add):
        return _added(left, right)
    if isinstance(node.op, ast.Mod) and isinstance(left, str):
        values = right if isinstance(right, list) else [right]
        try:
            return UNKNOWN if UNKNOWN in values else left % tuple(values)
        except (TypeError, ValueError):
            return UNKNOWN
    if isinstance(node.op, ast.Mult) and isinstance(left, int) and isinstance(right, int):
        return left * right if max(abs(left), abs(right)) < 1 << 40 else UNKNOWN
    return UNKNOWN


def _added(left: Any, right: Any) -> Any:
    alike = any(isinstance(left, kind) and isinstance(right, kind) for kind in (str, list, int))
    return left + right if alike else UNKNOWN


def _call(node: ast.Call, names: dict[str, Any]) -> Any:
    """Return what the functions of os.path make of known texts."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    values = [evaluate(argument, names) for argument in node.args]
    if node.keywords or not values or not all(isinstance(value, str) for value in values):
        return UNKNOWN
    if name == "join":
        return os.path.join(*values)
    function = FUNCTIONS.get(name)
    return function(values[0]) if function and len(values) == 1 else UNKNOWN


def _database(databases: Any, found: Settings) -> None:
    default = databases.get("default") if isinstance(databases, dict) else None
    if not isinstance(default, dict):
        return
    for key in ("NAME", "HOST", "PORT", "USER"):
        value = default.get(key, "")
        if value is UNKNOWN:
            found.unknown.setdefault("DATABASES", 0)
        else:
            found.database[key] = str(value)
    password = default.get("PASSWORD", "")
    found.password = COMPUTED if password is UNKNOWN else WRITTEN if password else ""
