# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All instances on one page of HTML: how they are, what is wrong, the table, and how their backups have grown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..webpage import document, escape
from .charts import charts
from .judgement import FAILED, OK, UNREACHABLE, WARNING
from .style import STYLE
from .table import COLUMNS, HEADS, Host, counts, summary

# A sign for those who see no colours
SIGNS = {OK: "✓", WARNING: "!", FAILED: "✕", UNREACHABLE: "?"}
SAID = {OK: "all right", WARNING: "with a warning", FAILED: "failed", UNREACHABLE: "unreachable"}
TITLE = "CATMAID's instances"


def page(hosts: Sequence[Host], time: str) -> str:
    """Return the page."""
    return document(TITLE, STYLE, _body(hosts, time))


def _body(hosts: Sequence[Host], time: str) -> Iterator[str]:
    yield f'<header><h1>{TITLE}</h1><p>Looked at <time datetime="{escape(time)}">{_moment(time)}</time></p></header>'
    yield f'<ul class="counts" aria-label="{escape(summary(hosts))}">'
    for state, number in counts(hosts).items():
        none = "" if number else " none"
        yield f'<li class="{state}{none}"><strong>{number}</strong> {SAID[state]}</li>'
    yield "</ul>"
    yield from _problems([host for host in hosts if host["reasons"]])
    yield from _table(hosts)
    told = [host for host in hosts if host["status"].get("backups")]
    if told:
        yield "<h2>Backups</h2>"
        yield '<div class="cards">'
        for number, host in enumerate(told):
            yield f'<section class="card" aria-labelledby="b{number}">'
            yield f'<h3 id="b{number}">{escape(host["name"])}</h3>'
            yield from charts(host["status"]["backups"]["history"], host["name"])
            yield "</section>"
        yield "</div>"


def _problems(hosts: Sequence[Host]) -> Iterator[str]:
    if not hosts:
        return
    yield "<h2>To look after</h2>"
    yield '<div class="cards problems">'
    for host in hosts:
        yield f'<section class="card {host["state"]}">'
        yield f"<h3>{escape(host['name'])} {_badge(host['state'])}</h3>"
        yield "<ul>"
        for reason in host["reasons"]:
            yield f'<li class="{reason["level"]}">{_sign(reason["level"])}<span>{escape(reason["text"])}</span></li>'
        yield "</ul>"
        yield "</section>"
    yield "</div>"


def _table(hosts: Sequence[Host]) -> Iterator[str]:
    # The roles are what a table has by itself, until a narrow screen shows its rows as cards.
    yield '<h2 id="all">All of them</h2>'
    yield '<table class="fleet" role="table" aria-labelledby="all">'
    titles = "".join(f'<th scope="col" role="columnheader">{title}</th>' for title in HEADS)
    yield f'<thead role="rowgroup"><tr role="row">{titles}</tr></thead>'
    yield '<tbody role="rowgroup">'
    for host in hosts:
        site = f'<span class="site">{escape(host["site"])}</span>' if host["site"] else ""
        yield f'<tr role="row" class="{host["state"]}">'
        yield f'<th scope="row" role="rowheader">{escape(host["name"])}{site}</th>'
        yield f'<td role="cell" data-head="State"><span class="value">{_badge(host["state"])}</span></td>'
        if host["state"] == UNREACHABLE:
            yield f'<td role="cell" class="silent" colspan="{len(COLUMNS)}">It could not be asked.</td>'
        for column in [] if host["state"] == UNREACHABLE else COLUMNS:
            level = column.level(host)
            text = f'<span class="value">{_parts(level, column.cell(host))}</span>'
            yield f'<td role="cell" class="{level}" data-head="{column.title}">{text}</td>'
        yield "</tr>"
    yield "</tbody>"
    yield "</table>"


def _parts(level: str, cell: str) -> str:
    """Return the text of a cell so that its lines break between its parts, if they have to."""
    first, *others = [escape(part) for part in cell.split(", ")]
    parts = [first if level == OK else f"{_sign(level)} {first}", *others]
    return " ".join(f'<span class="part">{part}</span>' for part in [*(f"{part}," for part in parts[:-1]), parts[-1]])


def _badge(state: str) -> str:
    return f'<span class="badge {state}">{_sign(state)} {state}</span>'


def _sign(level: str) -> str:
    said = "" if level == OK else f'<span class="hidden">{level}: </span>'
    return f'<span class="sign" aria-hidden="true">{SIGNS[level]}</span>{said}'


def _moment(time: str) -> str:
    return f"{escape(time[:10])}, {escape(time[11:16])} UTC"
