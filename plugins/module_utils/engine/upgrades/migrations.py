# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The migrations of a version that is not installed yet: read from its files, none of which is ever executed.

Those of Django itself and of other packages are no files of CATMAID: they are known once the version is prepared, and
Django is asked.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..catmaid.commits import Commits

FOLDER = "django"
_FILE = re.compile(r"^(?:.*/)?(?P<app>\w+)/migrations/(?P<name>\d{4}_\w+)\.py$")
# What names the thing that an operation is about, in Django's own words
_ABOUT = ("model_name", "name", "old_name", "new_name")


@dataclass(frozen=True)
class Step:
    """A migration to come, with what it does in Django's words."""

    app: str
    name: str
    operations: list[str]

    @property
    def label(self) -> str:
        """Its name as Django prints it."""
        return f"{self.app}.{self.name}"


def steps(commits: Commits, commit: str, recorded: Iterable[str]) -> list[Step]:
    """Return the migrations of a commit that a database has not recorded, by app and number."""
    done = set(recorded)
    known = _known(commits, commit)
    return [
        Step(app, name, operations(commits.show(commit, path)))
        for (app, name), path in sorted(known.items())
        if f"{app}.{name}" not in done
    ]


def unknown(commits: Commits, commit: str, recorded: Iterable[str]) -> list[str]:
    """Return the recorded migrations that a commit lacks, of apps that it has: then the database is newer."""
    known = _known(commits, commit)
    apps = {app for app, _name in known}
    labels = {f"{app}.{name}" for app, name in known}
    return [label for label in recorded if label not in labels and label.partition(".")[0] in apps]


def _known(commits: Commits, commit: str) -> dict[tuple[str, str], str]:
    found = {}
    for path in commits.files(commit, FOLDER):
        match = _FILE.match(path)
        if match:
            found[match["app"], match["name"]] = path
    return found


def operations(source: str) -> list[str]:
    """Return the operations of a migration's source."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ["not readable as Python 3"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            for statement in node.body:
                if isinstance(statement, ast.Assign) and _names(statement) == ["operations"]:
                    listed = statement.value.elts if isinstance(statement.value, (ast.List, ast.Tuple)) else []
                    return [_describe(item) for item in listed] or ["made when it runs"]
    return []


def _names(statement: ast.Assign) -> list[str]:
    return [target.id for target in statement.targets if isinstance(target, ast.Name)]


def _describe(item: ast.expr) -> str:
    """Return "AddField deeplink is_exportable" for a call of such an operation."""
    if not isinstance(item, ast.Call):
        return "made when it runs"
    called = item.func.attr if isinstance(item.func, ast.Attribute) else getattr(item.func, "id", "something")
    named = {keyword.arg: keyword.value for keyword in item.keywords}
    if called.startswith("Run"):  # what it runs is no name
        return called
    values = [named[key] for key in _ABOUT if key in named] or list(item.args[:2])
    words = [str(value.value) for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return " ".join([called, *words])
