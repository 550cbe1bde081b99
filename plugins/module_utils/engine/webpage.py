# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as one page of HTML that needs no network and no script, light or dark as the reader likes it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1f2328; --line: #d1d9e0; --bad: #b00020; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #121212; --text: #e6e6e6; --line: #444; --bad: #ff8a80; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; padding: 0 1em;
  background: var(--ground); color: var(--text); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3em .6em; border-bottom: 1px solid var(--line); }
"""


def escape(text: object) -> str:
    """Return a text so that it can stand in HTML, also between quotes."""
    return html.escape(str(text))


def document(title: str, style: str, body: Iterable[str]) -> str:
    """Return the page."""
    lines = ["<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">']
    lines += ['<meta name="viewport" content="width=device-width, initial-scale=1">', f"<title>{escape(title)}</title>"]
    lines += [f"<style>{STYLE}{style}</style>", "</head>", "<body>", "<main>", *body, "</main>", "</body>", "</html>"]
    return "\n".join([*lines, ""])


def heads(titles: Sequence[str]) -> str:
    """Return the first row of a table."""
    return "<tr>" + "".join(f'<th scope="col">{escape(title)}</th>' for title in titles) + "</tr>"
