# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX makes of a credential for a job: files, and an environment that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment


class Named:
    """What templates find under AWX's name ``tower``."""

    filename: Any


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file that only its owner reads."""
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def inject(injectors: dict[str, Any], values: dict[str, str], folder: Path, at: str = "") -> dict[str, str]:
    """Write a credential's files into a folder, and return its environment. ``at`` is the folder as the job sees it."""
    tower = Named()
    names = {"tower": tower, **{name: value for name, value in values.items() if value}}

    def rendered(template: str) -> str:
        return ImmutableSandboxedEnvironment().from_string(template).render(names)

    for label, template in injectors["file"].items():
        path = write(folder, f"credential-{len(list(folder.iterdir()))}", rendered(template))
        seen = f"{at or folder}/{path.name}"
        if label == "template":
            tower.filename = seen
        else:
            tower.filename = getattr(tower, "filename", Named())
            setattr(tower.filename, label.removeprefix("template."), seen)
    return {name: rendered(template) for name, template in injectors["env"].items()}
