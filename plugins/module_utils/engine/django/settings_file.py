# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A settings.py that people edit, with a block in it that is ours. It is parsed, never executed, by ourselves.

What the block says is tried by the release itself (shim.Runner.trial) before the file is replaced.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CatmaidError
from .literals import literal

BEGIN = "# BEGIN catmaid.admin: written by a program, what is changed in here is lost"
END = "# END catmaid.admin"
BLOCK = re.compile(rf"\n{re.escape(BEGIN)}\n.*?^{re.escape(END)}\n", re.DOTALL | re.MULTILINE)
SECRET = re.compile(r"^[^=]*(SECRET|PASSWORD|PASSWD|TOKEN|KEY|DSN|BROKER|RESULT_BACKEND)")
NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Assignment:
    """Where a setting is assigned outside of functions: its line, and its value, if that is written out."""

    line: int
    value: Any
    known: bool


def read(path: str) -> str:
    """Return the text of a settings file."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as error:
        raise CatmaidError(f"reading {path}", error.strerror or str(error), "Configure the instance first.") from error
    except UnicodeDecodeError as error:
        raise CatmaidError(f"reading {path}", f"it is not in UTF-8: {error}", "Save it in UTF-8.") from error


def parse(path: str, text: str) -> ast.Module:
    """Return the syntax tree."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise CatmaidError(
            f"parsing {path}", f"line {line or '?'}: {error}", "Somebody has broken it: mend it, or put a backup back."
        ) from error


def own_part(path: str, text: str) -> str:
    """Return the text without our block, as it was before there was one."""
    rest, blocks = BLOCK.subn("", text)
    if blocks > 1 or re.search(rf"^({re.escape(BEGIN)}|{re.escape(END)})$", rest, re.MULTILINE):
        raise CatmaidError(
            f"reading {path}",
            "the marks of the block of catmaid.admin are there, but not just one pair of them",
            f"Remove the lines that begin with '{BEGIN[:21]}' and '{END}', and what was between them.",
        )
    return rest


def with_block(path: str, text: str, values: Mapping[str, Any], database: Mapping[str, Any]) -> str:
    """Return the text with our block at its end, where it wins over what is said before; without one if it is empty."""
    rest = own_part(path, text)
    lines = [f"{_checked(name)} = {literal(value)}" for name, value in sorted(values.items())]
    lines += [f'DATABASES["default"][{literal(_checked(key))}] = {literal(database[key])}' for key in sorted(database)]
    if not lines:
        return rest
    return "\n".join([f"{rest}\n{BEGIN}", *lines, END, ""])


def assignments(tree: ast.Module) -> dict[str, list[Assignment]]:
    """Return what the file assigns to names of settings, also below ``if`` and ``try``, by name."""
    found: dict[str, list[Assignment]] = {}
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for name in _targets(node):
            found.setdefault(name, []).append(_assignment(node))
        waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
    return found


def shown(text: str, secret: Collection[str]) -> str:
    """Return our block without the values that nobody may see: of ``secret``, and of names that sound like one.

    The rest of the file is never shown: it does not change, and nobody knows what is in it.
    """
    found = BLOCK.search(text)
    lines = found.group().strip().splitlines(keepends=True) if found else []
    return "".join(
        _hidden(line) if line.partition(" = ")[0] in secret or SECRET.search(line) else line for line in lines
    )


def mode(path: str) -> int:
    """Return who may read it."""
    return os.stat(path).st_mode & 0o7777


def _hidden(line: str) -> str:
    name, equals, _value = line.partition(" = ")
    return f"{name} = (hidden)\n" if equals else line


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise CatmaidError(
            "writing settings", f"{name!r} is no name of a setting", "Names are in capitals, such as NODE_PROVIDERS."
        )
    return name


def _targets(node: ast.AST) -> list[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name) and NAME.fullmatch(target.id)]


def _assignment(node: Any) -> Assignment:
    try:
        return Assignment(node.lineno, ast.literal_eval(node.value), not isinstance(node, ast.AugAssign))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Assignment(node.lineno, None, False)
