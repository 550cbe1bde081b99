# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong in settings files of ten years of CATMAID, found without running them."""

from __future__ import annotations

import ast
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..django import settings_file

# What CATMAID refuses to start with, when it is of another type.
LISTS = ("STATIC_EXTENSION_FILES", "NEW_USER_DEFAULT_GROUPS")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, where, and what to do."""

    setting: str
    line: int
    problem: str
    remedy: str


# What is asked of the value of a setting, if that is written out: what is wrong, and what to do. None is good.
Rule = Callable[[Any], "tuple[str, str] | None"]


def _debug(value: Any) -> tuple[str, str] | None:
    return ("visitors see tracebacks, and memory grows with every query", "Set it to False.") if value else None


def _hosts(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, (list, tuple)):
        return "CATMAID does not start unless it is a list", "List the names of the site."
    if not value:
        return "every request is answered with 400", "List the names of the site."
    return ("any Host header is taken", "List the names of the site.") if "*" in value else None


def _extension_root(value: Any) -> tuple[str, str] | None:
    if str(value).rstrip("/") not in ("/tmp", "/var/tmp"):
        return None
    return "everybody's temporary files would be served", "Name a folder of its own."


def _list(value: Any) -> tuple[str, str] | None:
    return None if isinstance(value, list) else ("CATMAID does not start unless it is a list", "Use [ and ].")


def _maximum(value: Any) -> tuple[str, str] | None:
    good = value is None or (isinstance(value, int) and not isinstance(value, bool))
    return None if good else ("CATMAID does not start unless it is a whole number or None", "Correct it.")


def _providers(value: Any) -> tuple[str, str] | None:
    return ("each of its letters is taken for a provider", "Make it a list.") if isinstance(value, str) else None


RULES: Mapping[str, Rule] = {
    "ALLOWED_HOSTS": _hosts,
    "DEBUG": _debug,
    "NODE_LIST_MAXIMUM_COUNT": _maximum,
    "NODE_PROVIDERS": _providers,
    "STATIC_EXTENSION_ROOT": _extension_root,
    **dict.fromkeys(LISTS, _list),
}


# Names that once meant something, or that the manual misspelt: what to use.
UNREAD: Mapping[str, str] = {"NODE_PROVIDER": "NODE_PROVIDERS, a list", "CHANNELS_LAYERS": "CHANNEL_LAYERS"}
GONE = ("djcelery", "kombu")  # since 2017.07.28


def lint(path: str, text: str) -> list[dict[str, Any]]:
    """Return the findings of a settings file, by line."""
    tree = settings_file.parse(path, text)
    found = []
    for name, assigned in settings_file.assignments(tree).items():
        last = assigned[-1]  # of what is assigned twice the last counts
        wrong = RULES[name](last.value) if name in RULES and last.known else None
        if wrong:
            found.append(Finding(name, last.line, *wrong))
    for node in ast.walk(tree):
        found += _of_node(node)
    if settings_file.mode(path) & stat.S_IROTH and "SECRET_KEY" in text:
        found.append(Finding("SECRET_KEY", 0, f"everybody on this host can read {path}", "Make its mode 0640."))
    return [asdict(finding) for finding in sorted(found, key=lambda finding: finding.line)]


def current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by the names that CATMAID reads today: the manual page still gives the old one."""
    named = dict(values)
    if "NODE_PROVIDER" in named:
        provider = named.pop("NODE_PROVIDER")
        named.setdefault("NODE_PROVIDERS", [provider])
    return named


def _of_node(node: ast.AST) -> list[Finding]:
    """Return what is wrong wherever it stands."""
    if isinstance(node, ast.Name) and node.id in UNREAD and isinstance(node.ctx, ast.Store):
        return [Finding(node.id, node.lineno, "nothing reads it", f"Use {UNREAD[node.id]}.")]
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in UNREAD:
        return [Finding(node.value.id, node.lineno, "nothing reads it", f"Use {UNREAD[node.value.id]}.")]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("md5") and _is_name(node.args[:1]):
        return [Finding("COOKIE_SUFFIX", node.lineno, "Python 3 hashes no text", "Hash its .encode('utf-8').")]
    if isinstance(node, ast.Import):
        return _gone(node.lineno, [alias.name for alias in node.names])
    if isinstance(node, ast.ImportFrom):
        return _gone(node.lineno, [node.module or ""])
    return []


def _is_name(arguments: list[ast.expr]) -> bool:
    return any(isinstance(argument, ast.Name) for argument in arguments)


def _gone(line: int, modules: list[str]) -> list[Finding]:
    gone = [module for module in modules if module.split(".")[0] in GONE]
    return [Finding("INSTALLED_APPS", line, f"{module} is not used any more", "Remove it.") for module in gone]
