# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan for people: in a few lines, as Markdown, and as one page of HTML with the memory as a bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..errors import CatmaidError
from ..webpage import document, escape, heads
from .model import APPLICATION, DATABASE, KERNEL, WEB, Budget, Value, about, bytes_of

TITLES = {DATABASE: "PostgreSQL", KERNEL: "Kernel", APPLICATION: "Application", WEB: "nginx"}
# Told apart also by those who see few colours, on white and on black: Okabe and Ito's, without black.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
STYLE = """
main { max-width: 70em; margin: auto; }
.bar { display: flex; height: 2.2em; border: 1px solid var(--line); border-radius: 4px; overflow: hidden; }
td.size { text-align: right; white-space: nowrap; }
.key { display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin-right: .5em; }
.fatal { color: var(--bad); font-weight: bold; }
.changes { font-weight: bold; }
"""


def summary(budget: Budget, live: Mapping[str, str]) -> list[str]:
    """Return what to read in a terminal, line by line."""
    lines = [_host(budget)]
    lines += [f"{share.name}: {about(share.bytes)}, {share.reason}" for share in budget.shares]
    for value in budget.values:
        if not is_so(value, live):
            lines.append(f"{value.name}: {live.get(value.name, 'not known')} -> {value.text}, {value.reason}")
    return lines + [_told(conflict.fatal, str(conflict)) for conflict in budget.conflicts]


def is_so(value: Value, live: Mapping[str, str]) -> bool:
    """Tell whether a setting has its value already, or more of what is only raised."""
    if value.name not in live:
        return False
    now = live[value.name]
    try:
        found, wanted = (_quantity(value.name, given) for given in (now, value.text))
    except CatmaidError:  # they are words
        return now == value.text
    return found >= wanted if value.at_least else found == wanted


def _quantity(name: str, text: str) -> float:
    try:
        return float(text)  # also 1e+06, as PostgreSQL writes costs
    except ValueError:
        return bytes_of(name, text)


def markdown(budget: Budget, live: Mapping[str, str], host: str) -> str:
    """Return the whole plan as a document."""
    lines = [f"# Tuning of {host}", "", _host(budget), ""]
    lines += ["## Memory", "", "| share | size | of all | what for |", "| --- | ---: | ---: | --- |"]
    for share in budget.shares:
        part = f"{100 * share.bytes / budget.host.memory:.0f} %"
        lines.append(f"| {share.name} | {about(share.bytes)} | {part} | {share.reason} |")
    lines.append("")
    if budget.conflicts:
        lines += ["## Conflicts", ""]
        lines += [f"- {_told(conflict.fatal, str(conflict))}" for conflict in budget.conflicts]
        lines.append("")
    for part, values in _parts(budget):
        lines += [
            f"## {TITLES[part]}",
            "",
            "| setting | now | advised | why | source |",
            "| --- | --- | --- | --- | --- |",
        ]
        for value in values:
            cells = (f"`{value.name}`", live.get(value.name, "-"), _advised(value, live), value.reason, value.source)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def page(budget: Budget, live: Mapping[str, str], host: str) -> str:
    """Return the same as a page that needs nothing else."""
    title = f"Tuning of {host}"
    lines = [f"<h1>{escape(title)}</h1>", f"<p>{escape(_host(budget))}</p>", *_bar(budget)]
    if budget.conflicts:
        lines += ["<h2>Conflicts</h2>", "<ul>"]
        for conflict in budget.conflicts:
            mark = ' class="fatal"' if conflict.fatal else ""
            lines.append(f"<li{mark}>{escape(_told(conflict.fatal, str(conflict)))}</li>")
        lines.append("</ul>")
    for part, values in _parts(budget):
        lines += [f"<h2>{TITLES[part]}</h2>", "<table>"]
        lines.append(heads(("setting", "now", "advised", "why", "source")))
        for value in values:
            mark = "" if is_so(value, live) else ' class="changes"'
            cells = (live.get(value.name, "-"), _advised(value, live), value.reason, value.source)
            row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            lines.append(f"<tr><td{mark}>{escape(value.name)}</td>{row}</tr>")
        lines.append("</table>")
    return document(title, STYLE, lines)


def _bar(budget: Budget) -> Iterator[str]:
    yield "<h2>Memory</h2>"
    yield '<div class="bar" role="img" aria-label="How the memory is shared; the table below says the same">'
    parts = [(share, 100 * share.bytes / budget.host.memory) for share in budget.shares]
    for (share, percent), colour in zip(parts, COLOURS):
        label = escape(f"{share.name}: {about(share.bytes)}, {percent:.0f} %")
        yield f'<div style="width: {percent:.2f}%; background: {colour}" title="{label}"></div>'
    yield "</div>"
    yield "<table>"
    yield heads(("share", "size", "of all", "what for"))
    for (share, percent), colour in zip(parts, COLOURS):
        name = f'<span class="key" style="background: {colour}"></span>{escape(share.name)}'
        numbers = f'<td class="size">{about(share.bytes)}</td><td class="size">{percent:.0f} %</td>'
        yield f"<tr><td>{name}</td>{numbers}<td>{escape(share.reason)}</td></tr>"
    yield "</table>"


def _parts(budget: Budget) -> Iterator[tuple[str, list[Value]]]:
    for part in TITLES:
        values = list(budget.of(part).values())
        if values:
            yield part, values


def _host(budget: Budget) -> str:
    host = budget.host
    return f"{about(host.memory)} of memory, {host.cores} cores, {host.disk.upper()}, with {', '.join(host.parts)}."


def _advised(value: Value, live: Mapping[str, str]) -> str:
    if value.at_least and is_so(value, live):
        return f"as it is ({value.text} at least)"
    return value.text


def _told(fatal: bool, text: str) -> str:
    return f"CONFLICT: {text}" if fatal else f"Note: {text}"
