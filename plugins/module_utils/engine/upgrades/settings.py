# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a settings file does, read from its syntax. It is never executed: it is old and was edited by many hands."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from ..errors import CatmaidError


@dataclass
class Settings:
    """``assigned`` are the names that are set as a whole, ``filled`` those of which a part is set or which are added
    to; ``imported`` the modules; ``values`` the strings of names that are set to one; ``digests`` the names that a
    hash is made of as they are. Each with its line. ``problem`` says why the file cannot be read as Python 3."""

    assigned: dict[str, int] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)
    imported: dict[str, int] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    digests: dict[str, int] = field(default_factory=dict)
    problem: str = ""


def read(path: str) -> Settings:
    """Return what the settings file at ``path`` does; there may be none, as when settings are a package."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return parse(file.read())
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise CatmaidError(f"reading {path}", str(error.strerror or error)) from error


def parse(text: str) -> Settings:
    """Return what the text of a settings file does."""
    found = Settings()
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        # Without the line itself: it may hold a password.
        found.problem = f"line {error.lineno} is no Python 3"
        return found
    for node in ast.walk(tree):
        _note(node, found)
    return found


def _note(node: ast.AST, found: Settings) -> None:
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            _assigned(target, node, found)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            found.imported.setdefault(alias.name, node.lineno)
    elif isinstance(node, ast.ImportFrom):
        found.imported.setdefault("." * node.level + (node.module or ""), node.lineno)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("md5", "sha1"):
        for argument in node.args:
            if isinstance(argument, ast.Name):
                found.digests.setdefault(argument.id, node.lineno)


def _assigned(target: ast.expr, node: ast.Assign | ast.AugAssign, found: Settings) -> None:
    if isinstance(target, ast.Name):
        if isinstance(node, ast.AugAssign):
            found.filled.setdefault(target.id, node.lineno)
            return
        found.assigned.setdefault(target.id, node.lineno)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.values[target.id] = node.value.value
    while isinstance(target, (ast.Subscript, ast.Attribute)):
        target = target.value
        if isinstance(target, ast.Name):
            found.filled.setdefault(target.id, node.lineno)
